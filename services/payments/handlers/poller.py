"""Asks polled sources, no more than they bear.

True here: the same question at the same time is asked once, and again only when its answer is `cache_seconds` old; no
source gets more than `per_second` questions of this process, nor more than AT_ONCE at the same time; one that failed
BREAKS_AFTER times in a row is left alone for a while, longer each time, unless somebody wants to know now.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from services.payments.domain.poll_settings import HttpPollSettings
from services.payments.domain.polling import Ask, Debt, Question, Unanswered, Unknown, Word, questions, words

AT_ONCE = 8
BREAKS_AFTER = 5
LEFT_ALONE, LEFT_ALONE_MOST = 5.0, 300.0  # seconds
REMEMBERED = 10_000  # answers


@dataclass(frozen=True, slots=True)
class PolledSource:
    id: int
    ref: str
    settings: HttpPollSettings


@dataclass(frozen=True, slots=True)
class Heard:
    """What an answer says, by invoice. `asked`: when its question left, by the monotonic clock."""

    asked: float
    words: dict[int, Word]


@dataclass(slots=True)
class _Manners:
    """How one source is treated. `turn`: when the next question may leave (monotonic)."""

    at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    turn: float = 0.0
    failures: int = 0
    alone_until: float = 0.0


_Answer = tuple[float, Any]


class Poller:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._manners: dict[int, _Manners] = {}
        self._asked: dict[tuple[int, Any], tuple[float, asyncio.Task[_Answer]]] = {}

    async def poll(self, source: PolledSource, debts: list[Debt], *, anew: bool = False) -> list[Heard]:
        """What the source says of each invoice. `anew`: an answer that is there already will not do."""
        asked = [self._hear(source, question, anew=anew) for question in questions(source.settings, debts)]
        return await asyncio.gather(*asked)

    async def _hear(self, source: PolledSource, question: Question, *, anew: bool) -> Heard:
        try:
            left, answer = await asyncio.shield(self._answer(source, question, anew=anew))
        except Unanswered as error:
            return Heard(time.monotonic(), {debt.id: Unknown(str(error)) for debt in question.debts})
        return Heard(left, words(source.settings, question, answer))

    def _answer(self, source: PolledSource, question: Question, *, anew: bool) -> asyncio.Task[_Answer]:
        """The one that is awaited or remembered, else a new one."""
        key = source.id, (source.settings.model_dump_json(), question.key)
        until, task = self._asked.get(key, (0.0, None))
        if task is None or (task.done() and (anew or time.monotonic() >= until)):
            if len(self._asked) >= REMEMBERED:
                self._asked = {known: kept for known, kept in self._asked.items() if not kept[1].done()}
            task = asyncio.create_task(self._politely(source, question, anew=anew))
            self._asked[key] = (time.monotonic() + source.settings.cache_seconds, task)
        return task

    async def _politely(self, source: PolledSource, question: Question, *, anew: bool) -> _Answer:
        manners = self._manners.setdefault(source.id, _Manners())
        async with manners.at_once:
            if time.monotonic() < manners.alone_until and not anew:  # whoever asks now finds out whether it is back
                raise Unanswered("it failed several times in a row and is left alone for a while")
            await self._wait(manners, source.settings.per_second)
            left = time.monotonic()
            try:
                answer = await self._ask(source.settings, question)
            except Unanswered:
                _failed(manners)
                raise
        manners.failures, manners.alone_until = 0, 0.0
        return left, answer

    async def _wait(self, manners: _Manners, per_second: float) -> None:
        now = time.monotonic()
        manners.turn = max(manners.turn, now) + 1 / per_second
        await asyncio.sleep(manners.turn - 1 / per_second - now)


def _failed(manners: _Manners) -> None:
    manners.failures += 1
    if manners.failures >= BREAKS_AFTER:
        alone = min(LEFT_ALONE * 2 ** (manners.failures - BREAKS_AFTER), LEFT_ALONE_MOST)
        manners.alone_until = time.monotonic() + alone
