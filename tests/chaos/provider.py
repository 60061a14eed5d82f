"""A mail relay in a process of its own: `python -m tests.chaos.provider FILE PORT SECONDS`.

True here: a mail is on the disk before it is acknowledged, and stays accepted when whoever sent it is gone by then.
`SECONDS` is what the acknowledgement takes. Times are those of the clock that all processes of a machine share.
"""

import asyncio
import json
import os
import re
import sys
import time
from typing import Any

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


class Relay:
    def __init__(self, file: int, seconds: float) -> None:
        self._file = file
        self._seconds = seconds

    def note(self, what: str, envelope: Envelope, message_id: str | None = None) -> None:
        line = {"what": what, "at": time.monotonic(), "return_path": envelope.mail_from, "message_id": message_id}
        os.write(self._file, json.dumps(line).encode() + b"\n")

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        found = MESSAGE_ID.search(envelope.content)
        self.note("accepted", envelope, found and found[1].decode())
        os.fsync(self._file)
        await asyncio.sleep(self._seconds)
        return "250 2.0.0 taken"


class Conversation(SMTP):
    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        relay: Any = self.event_handler
        relay.note("begun", self.envelope)
        await super().smtp_DATA(arg)


async def main(file: str, port: str, seconds: str) -> None:
    relay = Relay(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT), float(seconds))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(relay, hostname="relay", loop=loop), "127.0.0.1", int(port))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
