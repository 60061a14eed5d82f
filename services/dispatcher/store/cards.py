"""What many messages share and that changes rarely: flow versions (never) and creditors (seen within seconds)."""

from collections.abc import Iterable, Mapping
from time import monotonic

import asyncpg

from services.dispatcher.domain.creditor import CreditorCard
from services.dispatcher.store.own_texts import OwnTexts
from shared.flow import Flow

CREDITOR = (
    "SELECT id, name, email_from, reply_to, sms_from, voice_from, iban, bic, logo_url, logo FROM creditor"
    " WHERE id = ANY ($1::bigint[])"
)
FRESH_SECONDS = 5.0


async def logo_of_default(connection: asyncpg.Connection) -> str | None:
    """For examples."""
    found: str | None = await connection.fetchval("SELECT logo FROM creditor WHERE ref = 'default'")
    return found


class Cards:
    """`email_from`, `sms_from`: for creditors that have none of their own."""

    def __init__(self, email_from: str, sms_from: str | None, texts: OwnTexts) -> None:
        self._texts = texts
        self._email_from = email_from
        self._sms_from = sms_from
        self._flows: dict[int, Flow] = {}
        self._creditors: dict[int, tuple[float, CreditorCard]] = {}

    async def flows(self, connection: asyncpg.Connection, ids: Iterable[int]) -> Mapping[int, Flow]:
        """All that are known by now, these among them."""
        missing = [key for key in ids if key not in self._flows]
        if missing:
            for row in await connection.fetch(
                "SELECT id, spec FROM flow_version WHERE id = ANY ($1::bigint[])", missing
            ):
                self._flows[row["id"]] = Flow.parse(row["spec"])
        return self._flows

    async def load(self, connection: asyncpg.Connection, ids: Iterable[int]) -> None:
        """Makes `creditor` answer for these, with what is at most some seconds old; operators' texts too."""
        now = monotonic()
        missing = [key for key in ids if self._creditors.get(key, (0.0,))[0] < now]
        if missing:
            for row in await connection.fetch(CREDITOR, missing):
                self._creditors[row["id"]] = (now + FRESH_SECONDS, self._card(row))
        await self._texts.refresh(connection)

    @property
    def known(self) -> Mapping[int, Flow]:
        """All flow versions that were asked for."""
        return self._flows

    def flow(self, key: int) -> Flow:
        return self._flows[key]

    def creditor(self, key: int) -> CreditorCard:
        return self._creditors[key][1]

    def _card(self, row: asyncpg.Record) -> CreditorCard:
        return CreditorCard(
            name=row["name"],
            email_from=row["email_from"] or self._email_from,
            reply_to=row["reply_to"],
            sms_from=row["sms_from"] or self._sms_from,
            voice_from=row["voice_from"],
            iban=row["iban"],
            bic=row["bic"],
            logo_url=row["logo_url"],
            logo=row["logo"],
        )
