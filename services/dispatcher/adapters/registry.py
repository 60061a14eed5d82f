"""Every provider that can carry a message. A new channel is one file and one line here."""

from services.dispatcher.adapters.email_smtp import EmailSmtp
from services.dispatcher.adapters.sms_twilio import SmsTwilio
from services.dispatcher.domain.ports import Channel

CHANNELS: dict[str, type[Channel]] = {
    "email_smtp": EmailSmtp,
    "sms_twilio": SmsTwilio,
}
