"""The sandbox beside a dispatcher: what a process does to send to the doubles instead of to the world.

True here: only an explicit choice leads here (the embedded process, or DUNNOCK_SANDBOX=1), never a missing setting.
"""

import hmac
import socket
from pathlib import Path

from pydantic import SecretStr

from services.dispatcher.adapters.sms_twilio import TwilioConfig
from services.dispatcher.wiring import Outside, from_doubles
from services.sandbox import Sandbox, SandboxConfig
from services.sandbox.timeline import LedgerTimeline
from shared.db.engine import Database
from shared.web.service import Service

SENDER = "+15005550006"  # Twilio's magic number for a sender that works


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
    twilio = TwilioConfig(
        account_sid=sandbox.account_sid,
        auth_token=SecretStr(token),
        base_url=sandbox.twilio_url,
        sms_from=SENDER,
    )
    outside = from_doubles(public_url, secret_key, smtp_url=smtp_url, twilio=twilio, bounce_address=bounce_address)

    async def started() -> None:
        return None

    return outside, Service("sandbox", sandbox.routers(), (), started, sandbox.stop)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
