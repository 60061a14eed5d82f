"""What would have reached the world, joined with the invoice and step it belongs to. Reading changes nothing."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.sandbox.store import Message, Store

Reminders = Callable[[Collection[int]], Awaitable[Mapping[int, tuple[str, str]]]]
"""Given reminder ids: the ERP's invoice id and the step of each that exists."""
AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A message as the API shows it; `sent_at` is business time."""

    message_id: str
    channel: str
    to: str
    subject: str | None
    text: str
    html: str | None
    attachments: list[dict[str, Any]]
    pictures: list[dict[str, Any]]
    sent_at: datetime
    status: str
    invoice_id: str | None
    step: str | None


class Mailroom:
    def __init__(self, store: Store, reminders: Reminders | None) -> None:
        self._store, self._reminders = store, reminders

    async def read(
        self, channel: str | None, to: str | None, invoice_id: str | None, after: int, limit: int
    ) -> tuple[list[Listed], int | None]:
        """The messages, oldest first, and where the next page starts (None: that was all)."""
        address = to.strip().lower() if to else None
        wanted = await self._reminders_of(invoice_id, channel, address) if invoice_id else None
        found = await self._store.messages(channel, address, reminders=wanted, after=after, limit=limit + 1)
        page = found[:limit]
        known = await self._look_up({m.reminder_id for m in page if m.reminder_id is not None})
        return [_listed(message, known) for message in page], page[-1].seq if len(found) > limit else None

    async def _reminders_of(self, invoice_id: str, channel: str | None, to: str | None) -> list[int]:
        known = await self._look_up(await self._store.reminder_ids(channel, to))
        return [reminder_id for reminder_id, (invoice, _) in known.items() if invoice == invoice_id]

    async def _look_up(self, ids: Collection[int]) -> dict[int, tuple[str, str]]:
        known: dict[int, tuple[str, str]] = {}
        if self._reminders is not None:
            ordered = sorted(ids)
            for start in range(0, len(ordered), AT_ONCE):
                known.update(await self._reminders(ordered[start : start + AT_ONCE]))
        return known


def _listed(message: Message, known: Mapping[int, tuple[str, str]]) -> Listed:
    nobody: tuple[str | None, str | None] = (None, None)
    invoice_id, step = known.get(message.reminder_id, nobody) if message.reminder_id is not None else nobody
    return Listed(
        message.message_id,
        message.channel,
        message.to,
        message.subject,
        message.text,
        message.html,
        [{"filename": a.filename, "media_type": a.media_type, "size": a.size} for a in message.attachments],
        [
            {"content_id": p.content_id, "filename": p.filename, "media_type": p.media_type, "size": p.size}
            for p in message.pictures
        ],
        message.sent_at,
        message.status,
        invoice_id,
        step,
    )
