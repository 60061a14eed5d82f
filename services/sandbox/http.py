"""The double of any HTTP API: reads whatever was posted to `/sandbox/http/{name}` as a message of the channel http."""

import re
import secrets
from datetime import datetime

from fastapi import Request

from services.sandbox.store import Message
from shared.kernel.errors import TooLarge

LIMIT = 1024 * 1024
ATTEMPT = re.compile(r"(?P<reminder>\d+)\.\d+")


async def read_request(name: str, request: Request, now: datetime) -> Message:
    """`Idempotency-Key: {reminder_id}.{fence}` ties it to its reminder."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT:
            raise TooLarge(f"the sandbox keeps bodies up to {LIMIT} bytes")
    attempt = ATTEMPT.fullmatch(request.headers.get("idempotency-key", ""))
    return Message(
        message_id="HT" + secrets.token_hex(16),
        channel="http",
        to=name.lower(),
        sent_at=now,
        text=body.decode("utf-8", "replace"),
        reminder_id=int(attempt["reminder"]) if attempt else None,
    )
