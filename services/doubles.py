"""The sandbox beside a dispatcher: what a process does to send to the doubles instead of to the world.

True here: only an explicit choice leads here (the embedded process, or DUNNOCK_SANDBOX=1), never a missing setting.
"""

import hmac
import socket
from pathlib import Path

from pydantic import SecretStr

from services.dispatcher.adapters.http_api import HttpChannel
from services.dispatcher.adapters.push import Push, PushConfig
from services.dispatcher.adapters.rcs_twilio import RcsConfig
from services.dispatcher.adapters.twilio_account import TwilioConfig
from services.dispatcher.adapters.voice_twilio import VoiceConfig
from services.dispatcher.adapters.whatsapp_twilio import WhatsAppConfig
from services.dispatcher.domain.http_api import HttpApi
from services.dispatcher.domain.ports import Channel
from services.dispatcher.wiring import Outside, TwilioDoubles, from_doubles
from services.sandbox import Sandbox, SandboxConfig
from services.sandbox.timeline import LedgerTimeline
from services.sandbox.twilio_contents import RCS_SERVICE, contents_for
from shared.db.engine import Database
from shared.outgoing import LOOPBACK, Allowed, Guard
from shared.web.service import Service

SENDER = "+15005550006"  # Twilio's magic number for a sender that works
PERSON = "+15005550014"  # of the double: somebody who always picks up


async def start_doubles(
    data_dir: Path, public_url: str, local_url: str, secret_key: bytes, db: Database
) -> tuple[Outside, Service]:
    """What the dispatcher shall use, and the service that serves `/sandbox`. `db` takes the role dunnock_sandbox."""
    bounce_address = ("127.0.0.1", free_port())
    token = hmac.digest(secret_key, b"dunnock sandbox twilio", "sha256").hex()[:32]
    config = SandboxConfig(data_dir, public_url, bounce_address, token, local_url=local_url, stall_seconds=120.0)
    timeline = LedgerTimeline(db)
    sandbox = Sandbox(config, timeline, timeline.reminders)
    smtp_url = await sandbox.start()
    account = TwilioConfig(
        account_sid=sandbox.account_sid,
        auth_token=SecretStr(token),
        base_url=sandbox.twilio_url,
        sms_from=SENDER,
    )
    twilio = TwilioDoubles(
        account,
        RcsConfig(rcs_service_sid=RCS_SERVICE, rcs_templates=contents_for("rcs")),
        WhatsAppConfig(whatsapp_from=SENDER, whatsapp_templates=contents_for("whatsapp")),
        VoiceConfig(voice_from=SENDER, voice_person=PERSON),
    )
    outside = from_doubles(
        public_url,
        secret_key,
        smtp_url=smtp_url,
        twilio=twilio,
        bounce_address=bounce_address,
        further=_further(sandbox),
    )

    async def started() -> None:
        return None

    return outside, Service("sandbox", sandbox.routers(), (), started, sandbox.stop)


def _further(sandbox: Sandbox) -> list[Channel]:
    """Whatever addresses they are given, nothing of it leaves this machine."""
    home = Guard(Allowed.parse(LOOPBACK))
    push = PushConfig(
        fcm_account=SecretStr(sandbox.push.account),
        fcm_url=sandbox.push.fcm_url,
        vapid_key=SecretStr(sandbox.push.vapid_key),
        vapid_subject="mailto:sandbox@dunnock.invalid",
    )
    api = HttpApi.model_validate(
        {
            "url": sandbox.http.url,
            "body": {
                "to": "{{ address }}",
                "subject": "{{ subject }}",
                "text": "{{ text }}",
                "attempt_id": "{{ attempt_id }}",
                "callback_url": "{{ callback_url }}",
            },
            "auth": {"kind": "standard_webhook", "secret": sandbox.http.calls},
            "message_id": "message_id",
            "refusals": {
                "invalid_address": "error.code == 'invalid_recipient'",
                "opted_out": "error.code == 'opted_out'",
            },
            "receipts": {"secrets": [sandbox.http.reports]},
        }
    )
    return [Push(push, home, web_double=sandbox.push.web_url), HttpChannel("sandbox", api, home)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
