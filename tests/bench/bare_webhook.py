"""Baseline: an endpoint that verifies the signature, inserts one row and answers. `python -m tests.bench.bare_webhook DATABASE PORT`"""

import base64
import sys
import time

import asyncpg
import uvloop
from fastapi import FastAPI, Request, Response

from services.payments.domain.signature import Signed, is_signed
from services.payments.wiring import LIMITS
from shared.db.engine import Database
from shared.web.server import make_server
from tests.bench.webhook_bodies import SECRET

KEYS = (base64.b64decode(SECRET.removeprefix("whsec_")),)
TABLE = "CREATE TABLE IF NOT EXISTS bare_event (event_ref text PRIMARY KEY, body bytea NOT NULL)"
INSERT = "INSERT INTO bare_event VALUES ($1, $2) ON CONFLICT DO NOTHING"


def build(db: Database) -> FastAPI:
    app = FastAPI()

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/webhooks/bank")
    async def hear(request: Request) -> Response:
        body = await request.body()
        given = dict(request.scope["headers"])
        signed = Signed(given.get(b"webhook-id"), given.get(b"webhook-timestamp"), given.get(b"webhook-signature"))
        if signed.id is None or not is_signed(signed, body, KEYS, time.time()):
            return Response(status_code=401)
        async with db.connection() as connection:
            await connection.execute(INSERT, signed.id.decode(), body)
        return Response(b'{"result":"stored"}', media_type="application/json")

    return app


async def main(database: str, port: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(TABLE)
    await connection.close()
    db = Database(database, limits=LIMITS)
    await make_server(build(db), "127.0.0.1", int(port)).serve()
    await db.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
