"""An ERP that can be asked what is owed: `/invoices/{id}` one by one, `/customers/{id}/open` all at once, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from tests.doubles.web_server import answer, served, whole_body

TOKEN = "Bearer the-erps-own-token"


@dataclass
class ErpBooks:
    """`open_amounts`: by the ERP's id of an invoice; `status` other than 200 is answered to everything; `hang`: a request is
    taken and never answered; `release` lets those that wait be answered."""

    origin: str = ""
    currency: str = "EUR"
    open_amounts: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    strangers: int = 0
    status: int = 200
    body: bytes | None = None
    slow: float = 0.0
    open_now: int = 0
    most_open: int = 0

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "kind": "http_poll",
            "url": f"{self.origin}/invoices/{{invoice_id}}",
            "headers": {"Authorization": TOKEN},
            "read": {"open_amount": "balance.open", "currency": "balance.currency"},
            "cache_seconds": 0,
            "per_second": 1000,
            "timeout_seconds": 2,
            **more,
        }

    def batch(self, **more: Any) -> dict[str, Any]:
        return {
            "url": f"{self.origin}/customers/{{customer_id}}/open?only={{invoice_ids}}",
            "items": "items",
            "invoice_id": "id",
            **more,
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await whole_body(receive)
        headers = dict(scope["headers"])
        self.strangers += headers.get(b"authorization") != TOKEN.encode()
        path = unquote(scope["path"])
        self.asked.append(path)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        await asyncio.sleep(self.slow)  # as long as the ERP takes
        self.open_now -= 1
        body = self.body if self.body is not None else json.dumps(self._says(path)).encode()
        await answer(send, self.status, body, {"content-type": "application/json", "location": f"{self.origin}/other"})

    def _says(self, path: str) -> Any:
        kind, name = path.strip("/").split("/")[:2]
        if kind == "invoices":
            return self._balance(self.open_amounts.get(name))
        return {
            "items": [
                {"id": ref, **self._balance(amount)} for ref, amount in self.open_amounts.items() if Decimal(amount)
            ]
        }

    def _balance(self, amount: str | None) -> dict[str, Any]:
        return {"balance": None if amount is None else {"open": amount, "currency": self.currency}}


@asynccontextmanager
async def erp_books() -> AsyncIterator[ErpBooks]:
    books = ErpBooks()
    async with served(books) as origin:
        books.origin = origin
        yield books
