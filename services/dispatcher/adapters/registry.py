"""Every provider that can carry a message. A new channel is one file and one line here."""

from services.dispatcher.adapters.email_smtp import EmailSmtp
from services.dispatcher.adapters.events_postmark import PostmarkEvents
from services.dispatcher.adapters.events_sendgrid import SendGridEvents
from services.dispatcher.adapters.events_ses import SesEvents
from services.dispatcher.adapters.http_api import HttpChannel
from services.dispatcher.adapters.push import Push
from services.dispatcher.adapters.rcs_twilio import RcsTwilio
from services.dispatcher.adapters.sms_twilio import SmsTwilio
from services.dispatcher.adapters.voice_twilio import VoiceTwilio
from services.dispatcher.adapters.whatsapp_twilio import WhatsAppTwilio
from services.dispatcher.domain.ports import Channel

CHANNELS: dict[str, type[Channel]] = {
    "email_smtp": EmailSmtp,
    "sms_twilio": SmsTwilio,
    "rcs_twilio": RcsTwilio,
    "whatsapp_twilio": WhatsAppTwilio,
    "voice_twilio": VoiceTwilio,
    "push_fcm_web": Push,
    "http_api": HttpChannel,
}

MAIL_EVENTS: dict[str, type[SesEvents | SendGridEvents | PostmarkEvents]] = {
    "ses": SesEvents,
    "sendgrid": SendGridEvents,
    "postmark": PostmarkEvents,
}
"""Services that report about mails which a relay of theirs carried."""
