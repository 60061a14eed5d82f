"""A bank that says what was paid, again and again until somebody takes it, and once more after that."""

import asyncio
import base64
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import orjson
from standardwebhooks.webhooks import Webhook

SECRET = "whsec_" + base64.b64encode(os.urandom(24)).decode()
PATIENCE = 120.0


@dataclass
class Bank:
    """`url`: of payments, asked before every try. `acknowledged`: invoice -> when its 2xx had come (monotonic)."""

    url: Callable[[], str]
    acknowledged: dict[int, float] = field(default_factory=dict)
    tries: int = 0

    async def pay(self, invoices: Mapping[int, str], within: float) -> None:
        """Each invoice (id -> ref) in full; their first tries spread evenly over so many seconds."""
        async with httpx.AsyncClient(timeout=10) as http:
            pauses = [within * n / len(invoices) for n in range(len(invoices))]
            pairs = zip(invoices.items(), pauses, strict=True)
            await asyncio.gather(*(self._pay(http, one, ref, pause) for (one, ref), pause in pairs))

    async def _pay(self, http: httpx.AsyncClient, invoice_id: int, ref: str, pause: float) -> None:
        await asyncio.sleep(pause)  # when the customer pays
        data = {"payment_id": f"P-{ref}", "amount": "100.00", "currency": "EUR", "invoice_id": ref}
        body = orjson.dumps({"type": "payment.confirmed", "data": data})
        deadline = time.monotonic() + PATIENCE
        while not await self._said(http, ref, body):
            assert time.monotonic() < deadline, f"payments never took the payment of {ref}"
            await asyncio.sleep(0.1)
        self.acknowledged[invoice_id] = time.monotonic()
        await self._said(http, ref, body)

    async def _said(self, http: httpx.AsyncClient, event: str, body: bytes) -> bool:
        self.tries += 1
        now = datetime.now(UTC)
        signed = {
            "webhook-id": f"msg-{event}",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(f"msg-{event}", now, body.decode()),
        }
        try:
            answer = await http.post(f"{self.url()}/v1/webhooks/bank", content=body, headers=signed)
        except httpx.TransportError:
            return False
        assert answer.is_success or answer.status_code >= 500, f"{answer.status_code}: {answer.text}"
        return answer.is_success
