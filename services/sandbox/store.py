"""What the doubles accepted and what they still owe. Both are on the disk before a double gives its positive answer.

A message and the errands that follow from it (a bounce, callbacks) are one transaction: an accepted message never
forgets its bounce. Survives SIGKILL; nothing is ever deleted except an errand that is done.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from services.sandbox.writer import Writer

SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL, channel TEXT NOT NULL, recipient TEXT NOT NULL,
    reminder_id INTEGER, sent_at TEXT NOT NULL, status TEXT NOT NULL, content BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS message_by_id ON message (message_id);
CREATE INDEX IF NOT EXISTS message_by_reminder ON message (reminder_id);
CREATE TABLE IF NOT EXISTS errand (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, not_before REAL NOT NULL, tries INTEGER NOT NULL,
    payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS errand_by_time ON errand (not_before);
CREATE TABLE IF NOT EXISTS opted_out (number TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS wrote (address TEXT PRIMARY KEY, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS picture (digest TEXT PRIMARY KEY, content BLOB NOT NULL);
"""
MESSAGES = """
SELECT seq, message_id, channel, recipient, reminder_id, sent_at, status, content FROM message
WHERE seq > :after AND (:channel IS NULL OR channel = :channel) AND (:recipient IS NULL OR lower(recipient) = :recipient)
  AND (:reminders IS NULL OR reminder_id IN (SELECT value FROM json_each(:reminders)))
ORDER BY seq LIMIT :limit
"""
REMINDER_IDS = """
SELECT DISTINCT reminder_id FROM message
WHERE reminder_id IS NOT NULL AND (:channel IS NULL OR channel = :channel)
  AND (:recipient IS NULL OR lower(recipient) = :recipient)
"""


@dataclass(frozen=True, slots=True)
class Attachment:
    filename: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Shown by the html as `cid:` and its `content_id`. `content` is kept once for all mails, and not read with them."""

    content_id: str
    filename: str
    media_type: str
    size: int
    digest: str
    content: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Message:
    """`sent_at` is business time; `data` is what the double itself wants to remember (never shown)."""

    message_id: str
    channel: str
    to: str
    sent_at: datetime
    subject: str | None = None
    text: str = ""
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()
    pictures: tuple[Picture, ...] = ()
    reminder_id: int | None = None
    status: str = "accepted"
    data: Mapping[str, Any] | None = None
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Errand:
    """Something owed. `not_before` is wall time, seconds since the epoch: the business clock does not hurry it."""

    kind: str
    payload: Mapping[str, Any]
    not_before: float = 0.0
    tries: int = 0
    id: int = 0


class Store:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "sandbox.sqlite3"
        self._writer = Writer(path, SCHEMA)
        self._readers = ThreadPoolExecutor(1, "sandbox-reader")
        self._reading = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._reading.execute("PRAGMA query_only = ON")
        self._owed: int = self._reading.execute("SELECT count(*) FROM errand").fetchone()[0]
        self._activity = 0
        self.changed = asyncio.Event()

    def owes(self) -> int:
        return self._owed

    def activity(self) -> int:
        """A counter that grows with every message accepted and every errand done: unchanged means nothing happened."""
        return self._activity

    async def accept(self, message: Message, owed: Sequence[Errand] = ()) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO message (message_id, channel, recipient, reminder_id, sent_at, status, content)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    message.message_id,
                    message.channel,
                    message.to,
                    message.reminder_id,
                    message.sent_at.isoformat(),
                    message.status,
                    _content(message),
                ),
            )
            db.executemany(
                "INSERT OR IGNORE INTO picture VALUES (?, ?)", [(one.digest, one.content) for one in message.pictures]
            )
            _insert(db, owed)

        await self._count(owed, work)

    async def owe(self, owed: Sequence[Errand]) -> None:
        await self._count(owed, lambda db: _insert(db, owed))

    async def done(self, errand: Errand) -> None:
        await self._change("DELETE FROM errand WHERE id = ?", (errand.id,))
        self._owed -= 1
        self._activity += 1

    async def postpone(self, errand: Errand) -> None:
        """Store the errand as it now is: later, with its tries and what is left of its payload."""
        row = (errand.not_before, errand.tries, orjson.dumps(errand.payload), errand.id)
        await self._change("UPDATE errand SET not_before = ?, tries = ?, payload = ? WHERE id = ?", row)

    async def set_status(self, message_id: str, status: str) -> None:
        row = (status, message_id)
        await self._change("UPDATE message SET status = ? WHERE message_id = ?", row)

    async def rewrite(self, message: Message) -> None:
        """What a call has said so far."""
        row = (message.status, _content(message), message.message_id)
        await self._change("UPDATE message SET status = ?, content = ? WHERE message_id = ?", row)

    async def errands(self, limit: int) -> list[Errand]:
        """The next ones, due or not, by time."""
        sql = "SELECT id, kind, not_before, tries, payload FROM errand ORDER BY not_before, id LIMIT ?"
        rows = await self._read(sql, (limit,))
        return [Errand(row[1], orjson.loads(row[4]), row[2], row[3], row[0]) for row in rows]

    async def messages(
        self,
        channel: str | None = None,
        to: str | None = None,
        *,
        reminders: Collection[int] | None = None,
        after: int = 0,
        limit: int = 10_000,
    ) -> list[Message]:
        """Oldest first, those accepted after sequence number `after`."""
        ids = None if reminders is None else orjson.dumps(list(reminders)).decode()
        bound = {"after": after, "channel": channel, "recipient": to, "reminders": ids, "limit": limit}
        return [_message(row) for row in await self._read(MESSAGES, bound)]

    async def reminder_ids(self, channel: str | None = None, to: str | None = None) -> list[int]:
        return [row[0] for row in await self._read(REMINDER_IDS, {"channel": channel, "recipient": to})]

    async def message(self, message_id: str) -> Message | None:
        sql = (
            "SELECT seq, message_id, channel, recipient, reminder_id, sent_at, status, content FROM message"
            " WHERE message_id = ? ORDER BY seq DESC LIMIT 1"
        )
        rows = await self._read(sql, (message_id,))
        return _message(rows[0]) if rows else None

    async def picture(self, digest: str) -> bytes:
        rows = await self._read("SELECT content FROM picture WHERE digest = ?", (digest,))
        return rows[0][0] if rows else b""

    async def opt(self, number: str, *, out: bool) -> None:
        sql = "INSERT OR IGNORE INTO opted_out VALUES (?)" if out else "DELETE FROM opted_out WHERE number = ?"
        await self._change(sql, (number,))

    async def opted_out(self, number: str) -> bool:
        return bool(await self._read("SELECT 1 FROM opted_out WHERE number = ?", (number,)))

    async def wrote(self, address: str, at: datetime) -> None:
        """A customer wrote to us from this address."""
        await self._change("INSERT OR REPLACE INTO wrote VALUES (?, ?)", (address, at.isoformat()))

    async def last_wrote(self, address: str) -> datetime | None:
        rows = await self._read("SELECT at FROM wrote WHERE address = ?", (address,))
        return datetime.fromisoformat(rows[0][0]) if rows else None

    async def close(self) -> None:
        await self._writer.close()
        self._readers.shutdown()
        self._reading.close()

    async def _count(self, owed: Sequence[Errand], work: Callable[[sqlite3.Connection], None]) -> None:
        # Counted before the commit: nobody may find "nothing owed" while an accepted message is on its way to the disk.
        self._owed += len(owed)
        try:
            await self._writer.do(work)
        except BaseException:
            self._owed -= len(owed)
            raise
        self._happened()

    async def _change(self, sql: str, bound: tuple[object, ...]) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(sql, bound)

        await self._writer.do(work)

    def _happened(self) -> None:
        self._activity += 1
        self.changed.set()

    async def _read(self, sql: str, bound: Any) -> list[Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: self._reading.execute(sql, bound).fetchall())


def _insert(db: sqlite3.Connection, owed: Sequence[Errand]) -> None:
    db.executemany(
        "INSERT INTO errand (kind, not_before, tries, payload) VALUES (?, ?, ?, ?)",
        [(errand.kind, errand.not_before, errand.tries, orjson.dumps(errand.payload)) for errand in owed],
    )


def _content(message: Message) -> bytes:
    return orjson.dumps(
        {
            "subject": message.subject,
            "text": message.text,
            "html": message.html,
            "data": message.data,
            "attachments": message.attachments,
            "pictures": [{**asdict(one), "content": ""} for one in message.pictures],
        }
    )


def _message(row: Sequence[Any]) -> Message:
    seq, message_id, channel, recipient, reminder_id, sent_at, status, content = row
    fields = orjson.loads(content)
    attachments = tuple(Attachment(**attachment) for attachment in fields.pop("attachments"))
    pictures = tuple(Picture(**{**one, "content": b""}) for one in fields.pop("pictures", ()))
    return Message(
        message_id,
        channel,
        recipient,
        datetime.fromisoformat(sent_at),
        attachments=attachments,
        pictures=pictures,
        reminder_id=reminder_id,
        status=status,
        seq=seq,
        **fields,
    )
