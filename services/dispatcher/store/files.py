"""Documents on their way into mails: fetched before the claim, kept a little for the next mail, bounded in bytes."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

from services.dispatcher.domain.expected import Looked
from shared.content import Attachment
from shared.documents import Documents
from shared.ledger.send import Claim

KEPT_BYTES = 64 * 1024 * 1024
AT_ONCE = 4


class Files:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._fetching = asyncio.Semaphore(AT_ONCE)

    async def prepare(self, rows: Iterable[Looked]) -> None:
        """Brings the documents of these reminders near, so that the hand-off does not wait for a store. What is
        missing then fails its own mail, not the batch."""
        missing = {row.document_key for row in rows if row.document_key} - self._kept.keys()
        if missing:
            await asyncio.gather(*(self._fetch(key) for key in missing if key), return_exceptions=True)

    async def attachment(self, claim: Claim) -> Attachment | None:
        key = claim.document_key
        if key is None:
            return None
        content = self._kept.get(key) or await self._fetch(key)
        return Attachment(
            claim.document_name or "document", claim.document_type or "application/octet-stream", content, key
        )

    async def _fetch(self, key: str) -> bytes:
        async with self._fetching:
            if key in self._kept:
                return self._kept[key]
            content = await self._documents.get(key)
        self._kept[key] = content
        self._bytes += len(content)
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped)
        return content
