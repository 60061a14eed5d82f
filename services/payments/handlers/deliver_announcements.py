"""Delivers announcements: signed, at least once, in order within an invoice, each endpoint at its own pace.

True here: an endpoint has at most AT_ONCE requests of this process open, so a slow one holds up nobody else; what was
not recorded (a crash, a lost database) is leased again when its lease is over; a secret and an answer's body are never
logged.
"""

import asyncio
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import prometheus_client
import structlog
from standardwebhooks.webhooks import Webhook

from services.payments.domain.delivery import Answer, backoff, explained
from services.payments.store.announcements import Parcel, lease, record_failed, record_taken
from shared.db.engine import Database
from shared.kernel import json

AT_ONCE = 4  # requests to one endpoint
LEASE_MARGIN = 15.0  # seconds that recording may take after the answer
SOON = 0.3  # seconds
TRIES = prometheus_client.Counter("dunnock_announcement_tries", "Events handed to endpoints", ["result"])
GIVEN_UP = prometheus_client.Counter("dunnock_announcements_given_up", "Events that an endpoint did not take in 5 days")
DISABLED = prometheus_client.Counter(
    "dunnock_endpoints_disabled", "Endpoints disabled for failing, or because they are gone"
)

log = structlog.get_logger("payments")


class Announcer:
    """`client`: for URLs that somebody wrote. `timeout`: seconds for one request."""

    def __init__(self, db: Database, client: httpx.AsyncClient, timeout: float) -> None:
        self._db = db
        self._client = client
        self._lease = timeout + LEASE_MARGIN
        self._busy: Counter[int] = Counter()
        self._sending: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def deliver(self) -> None:
        """Until nothing is due for which there is room; what is slow goes on by itself."""
        while not self._stopping and (await self._begin() or await self._ended()):
            continue

    def stop(self) -> None:
        """Nothing new is begun; `close` next."""
        self._stopping = True

    async def _begin(self) -> bool:
        async with self._db.connection() as connection:
            parcels = await lease(connection, dict(self._busy), AT_ONCE, self._lease)
        for parcel in parcels:
            self._busy[parcel.endpoint_id] += 1
            self._sending.add(asyncio.create_task(self._send(parcel)))
        return bool(parcels)

    async def _ended(self) -> bool:
        """Whether something ended soon, so that there is room, or the next of its lane may go."""
        if not self._sending:
            return False
        done, _ = await asyncio.wait(self._sending, timeout=SOON, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    async def close(self) -> None:
        """What is open is waited for, no longer than a request may take."""
        if self._sending:
            await asyncio.wait(self._sending)
        await self._client.aclose()

    async def _send(self, parcel: Parcel) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            began = time.monotonic()
            answer = await self._ask(parcel)
            await self._record(parcel, answer, round(1000 * (time.monotonic() - began)))
        except Exception as error:  # noqa: BLE001  # its lease ends and it is sent again
            log.warning("announcement_not_recorded", endpoint=parcel.endpoint_id, error=type(error).__name__)
        finally:
            self._sending.discard(task)
            self._busy[parcel.endpoint_id] -= 1
            self._busy = +self._busy

    async def _ask(self, parcel: Parcel) -> Answer:
        body = json.dumps({"type": parcel.type, "timestamp": parcel.at.isoformat(), "data": parcel.data})
        try:
            async with self._client.stream(
                "POST", parcel.url, content=body, headers=signed(parcel, body, datetime.now(UTC))
            ) as response:
                status = response.status_code
                retry_after = _retry_after(response.headers.get("Retry-After", ""))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(None, str(error)[:200] or type(error).__name__)
        answer = Answer(status, "", retry_after)
        return answer if answer.taken else Answer(status, explained(status), retry_after)

    async def _record(self, parcel: Parcel, answer: Answer, milliseconds: int) -> None:
        TRIES.labels("taken" if answer.taken else "failed").inc()
        async with self._db.connection() as connection:
            if answer.taken:
                await record_taken(connection, parcel, answer, milliseconds)
                return
            retry_in = backoff(parcel.tries, answer, random.random())
            disabled, given_up = await record_failed(connection, parcel, answer, milliseconds, retry_in)
        _alarm(parcel, answer, disabled, given_up)


def signed(parcel: Parcel, body: bytes, at: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks, with a signature of each secret that is valid: so that secrets can be changed."""
    name = f"evt_{parcel.event_id}"
    signatures = [Webhook(secret).sign(name, at, body.decode()) for secret in parcel.secrets]
    return {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _alarm(parcel: Parcel, answer: Answer, disabled: str | None, given_up: bool) -> None:
    said = {"endpoint": parcel.endpoint_id, "announcement": parcel.event_id, "status": answer.status}
    if disabled:
        DISABLED.inc()
        log.error("endpoint_disabled", **said, reason=disabled, hint="repair it, then POST .../enable")
    if given_up:
        GIVEN_UP.inc()
        log.error("announcement_given_up", **said, hint="the endpoint did not take it in 5 days; see its deliveries")


def _retry_after(value: str) -> timedelta | None:
    return timedelta(seconds=int(value)) if value.isascii() and value.isdigit() and len(value) < 8 else None
