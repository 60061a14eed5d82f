"""A sandbox on real ports, with what stands around it: an app that takes callbacks, a listener that takes bounces.

`python -m tests.servers.sandbox FOLDER BOUNCE_PORT` runs one until it is killed and prints its two URLs.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI, Request, Response

from services.sandbox import Sandbox, SandboxConfig, Timeline
from services.sandbox.messages import Reminders
from shared.web.app import build_app, mount
from shared.web.health import Readiness

TOKEN = "the-auth-token"
PUBLIC_URL = "https://dunnock.example"


@dataclass(frozen=True, slots=True)
class Callback:
    url: str
    params: dict[str, str]
    signature: str


@dataclass(slots=True)
class Callbacks:
    """What our webhook got; the first `refuse` ones are answered 503, the others with what it `says`."""

    got: list[Callback] = field(default_factory=list)
    refuse: int = 0
    refused: int = 0
    says: str = ""

    async def take(self, request: Request) -> Response:
        if self.refused < self.refuse:
            self.refused += 1
            return Response(status_code=503)
        query = f"?{request.url.query}" if request.url.query else ""
        params = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        self.got.append(Callback(PUBLIC_URL + request.url.path + query, params, request.headers["x-twilio-signature"]))
        return Response(self.says, media_type="application/xml") if self.says else Response(status_code=204)


class BounceListener:
    """Keeps every mail with its envelope."""

    def __init__(self) -> None:
        self.got: list[tuple[str, list[str], Message]] = []
        self.address = ("127.0.0.1", 0)
        self._server: asyncio.Server | None = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.got.append((envelope.mail_from or "", envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"

    async def start(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SMTP(self, hostname="test", loop=loop), "127.0.0.1", port)
        self.address = ("127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()


@dataclass(slots=True)
class Running:
    sandbox: Sandbox
    url: str
    callbacks: Callbacks
    bounces: BounceListener
    app: FastAPI


@contextlib.asynccontextmanager
async def running_sandbox(
    folder: Path, timeline: Timeline | None = None, reminders: Reminders | None = None, **settings: Any
) -> AsyncIterator[Running]:
    bounces, callbacks, listening = BounceListener(), Callbacks(), socket.create_server(("127.0.0.1", 0))
    await bounces.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = SandboxConfig(folder, PUBLIC_URL, bounces.address, TOKEN, local_url=url, **settings)
    sandbox = Sandbox(config, timeline, reminders)
    app = _app(sandbox)
    for path in ("/v1/receipts/twilio", "/v1/receipts/twilio/call"):
        app.add_api_route(path, callbacks.take, methods=["POST"])
    async with _served(app, listening):
        await sandbox.start()
        try:
            yield Running(sandbox, url, callbacks, bounces, app)
        finally:
            await sandbox.stop()
            await bounces.stop()


def _app(sandbox: Sandbox) -> FastAPI:
    app = build_app("sandbox", readiness=Readiness())
    mount(app, *sandbox.routers())
    return app


@contextlib.asynccontextmanager
async def _served(app: FastAPI, listening: socket.socket) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


async def _run(folder: Path, bounce_port: int) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    sandbox = Sandbox(SandboxConfig(folder, url, ("127.0.0.1", bounce_port), TOKEN))
    async with _served(_app(sandbox), listening):
        print(await sandbox.start(), url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1]), int(sys.argv[2])))
