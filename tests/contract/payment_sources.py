"""One rig for each kind of source that says that money came: how it says so, and how it takes it back."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from services.payments.adapters.registry import reader_of
from services.payments.domain.matching import Rules
from services.payments.domain.pick_up import Place
from services.payments.handlers.pick_up import PickUp
from services.payments.handlers.record_payment import PaymentRecorder
from tests.contract.statement_places import RIGS as PLACES
from tests.contract.statement_places import Rig
from tests.contract.webhook_senders import SECRETS, SENDERS, message, signed
from tests.doubles.erp_books import ErpBooks, erp_books
from tests.integration.payments_running import BEARER, Payments
from tests.statement_files import Line, camt, mt940

WINDOW = 0.4


@dataclass(frozen=True)
class Said:
    """What is said: `amount` of `of` (what was owed) came for `invoice`, or went back. `key` tells two payments apart."""

    invoice: str
    reference: str
    key: str
    amount: str = "100.00"
    of: str = "100.00"
    currency: str = "EUR"


@dataclass
class Source:
    """It returns when the other side would believe that it was heard."""

    payments: Payments

    async def pay(self, said: Said) -> None:
        raise NotImplementedError

    async def take_back(self, said: Said) -> None:
        raise NotImplementedError


@dataclass
class Gateway(Source):
    kind: str

    async def pay(self, said: Said) -> None:
        await self._say("confirmed", said)

    async def take_back(self, said: Said) -> None:
        await self._say("reversed", said)

    async def _say(self, what: str, said: Said) -> None:
        sender = SENDERS[self.kind]
        body = sender.say(what, said.key, int(Decimal(said.amount) * 100), said.invoice)
        text = json.dumps(body).replace("EUR", said.currency).replace("eur", said.currency.lower())
        raw, event = message(sender, json.loads(text), f"{what}-{said.key}"), f"{what}-{said.key}"
        headers = signed(sender, SECRETS[0], raw, event)
        answer = await self.payments.http.post("/v1/webhooks/line", content=raw, headers=headers)
        assert answer.status_code in (200, 202), answer.text


@dataclass
class Clerk(Source):
    async def pay(self, said: Said) -> None:
        await self._record("confirmed", said)

    async def take_back(self, said: Said) -> None:
        await self._record("reversed", said)

    async def _record(self, kind: str, said: Said) -> None:
        body = {"payment_id": said.key, "amount": said.amount, "currency": said.currency, "invoice_id": said.invoice}
        headers = BEARER | {"Idempotency-Key": f"{kind}-{said.key}"}
        answer = await self.payments.http.post(
            "/v1/payments", json={"type": f"payment.{kind}", **body}, headers=headers
        )
        assert answer.status_code in (200, 201, 202), answer.text


@dataclass
class Bank(Source):
    make: Callable[[list[Line]], bytes]

    async def pay(self, said: Said) -> None:
        await self.send(self.make([self._line(said, "C")]))

    async def take_back(self, said: Said) -> None:
        await self.send(self.make([self._line(said, "RC")]))

    async def send(self, file: bytes) -> None:
        await self.payments.book(file)

    def _line(self, said: Said, sign: str) -> Line:
        place = f"{sign}-{said.key}"
        return Line(
            said.amount, rf=said.reference, sign=sign, end_to_end=said.key, bank_ref=place, currency=said.currency
        )


@dataclass
class PickedUp(Bank):
    rig: Rig
    pick_up: PickUp
    files: int = 0

    async def send(self, file: bytes) -> None:
        self.files += 1
        self.rig.put(f"{self.files:03}.xml", file)
        assert await self.pick_up.look() == 1


@dataclass
class Erp(Source):
    books: ErpBooks
    paid: dict[str, Decimal] = field(default_factory=dict)

    async def pay(self, said: Said) -> None:
        await self._says(said, Decimal(said.amount))

    async def take_back(self, said: Said) -> None:
        await self._says(said, Decimal(0))

    async def _says(self, said: Said, paid: Decimal) -> None:
        self.books.currency = said.currency
        self.books.open_amounts[said.invoice] = f"{Decimal(said.of) - paid:.2f}"
        answer = await self.payments.http.post(f"/v1/payment-status/{said.invoice}/refresh", headers=BEARER)
        assert answer.status_code == 200, answer.text


async def _put(payments: Payments, name: str, settings: dict[str, Any]) -> int:
    answer = await payments.http.put(f"/v1/sources/{name}", json=settings, headers=BEARER)
    assert answer.status_code == 201, answer.text
    found: int = await payments.owner.fetchval("SELECT id FROM source WHERE ref = $1", name)
    return found


@asynccontextmanager
async def _gateway(kind: str, payments: Payments, folder: Path) -> AsyncIterator[Source]:
    await _put(payments, "line", SENDERS[kind].settings)
    yield Gateway(payments, kind)


@asynccontextmanager
async def _clerk(payments: Payments, folder: Path) -> AsyncIterator[Source]:
    yield Clerk(payments)


@asynccontextmanager
async def _bank(make: Callable[[list[Line]], bytes], payments: Payments, folder: Path) -> AsyncIterator[Source]:
    yield Bank(payments, make)


@asynccontextmanager
async def _picked_up(place: Place, payments: Payments, folder: Path) -> AsyncIterator[Source]:
    source = await _put(payments, "files", {"kind": "statement"})
    recorder = PaymentRecorder(payments.db, timedelta(seconds=WINDOW))
    async with PLACES[place](folder) as rig:
        yield PickedUp(payments, camt, rig, PickUp(rig.place(), place, source, recorder, Rules(), reader_of))


@asynccontextmanager
async def _erp(payments: Payments, folder: Path) -> AsyncIterator[Source]:
    async with erp_books() as books:
        await _put(payments, "erp", books.settings())
        yield Erp(payments, books)


Opened = Callable[[Payments, Path], AbstractAsyncContextManager[Source]]
SOURCES: dict[str, Opened] = {
    **{kind: partial(_gateway, kind) for kind in SENDERS},
    "camt": partial(_bank, camt),
    "mt940": partial(_bank, mt940),
    **{place.value: partial(_picked_up, place) for place in Place},
    "http_poll": _erp,
    "manual": _clerk,
}


def elapsed(began: float) -> float:
    return time.monotonic() - began
