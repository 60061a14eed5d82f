"""An ERP beside the running system: it can be asked what is open, and it hears what happens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from standardwebhooks import Webhook


@dataclass
class Erp:
    """`open_amounts`: by invoice; one that is not there is answered with 500. `heard`: (type, data) of signed events."""

    origin: str = ""
    secret: str = ""
    open_amounts: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def source(self, **more: Any) -> dict[str, Any]:
        url = f"{self.origin}/invoices/{{invoice_id}}"
        return {"kind": "http_poll", "url": url, "read": {"open_amount": "open"}, "cache_seconds": 0, **more}

    def told_of(self, invoice: str) -> list[str]:
        return [kind for kind, data in self.heard if data.get("invoice_id") == invoice]


@contextmanager
def running_erp() -> Iterator[Erp]:
    erp = Erp()

    class Desk(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            invoice = self.path.rpartition("/")[2]
            erp.asked.append(invoice)
            amount = erp.open_amounts.get(invoice)
            self._answer(200 if amount else 500, json.dumps({"open": amount}).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            Webhook(erp.secret).verify(body.decode(), dict(self.headers))
            event = json.loads(body)
            erp.heard.append((event["type"], event["data"]))
            self._answer(204, b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        erp.origin = f"http://127.0.0.1:{server.server_port}"
        yield erp
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
