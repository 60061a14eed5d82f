"""A Hypothesis machine that drives the ledger through everything that can happen, in any order, on a real database."""

import asyncio
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any, ClassVar

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.integration.ledger_checks import check_always
from tests.integration.ledger_workers import LEARNS, WAYS
from tests.integration.ledger_world import DAY, World

WORKERS = st.integers(0, 1)
ANY = st.integers(0, 20)
TRUTHS = st.sampled_from([*LEARNS, *["delivered"] * 3])


def looked(machine: "LedgerMachine") -> bool:
    return any(worker.looked for worker in machine.world.workers)


def holding(machine: "LedgerMachine") -> bool:
    return any(worker.held for worker in machine.world.workers)


class LedgerMachine(RuleBasedStateMachine):
    loop: ClassVar[asyncio.AbstractEventLoop]
    db: ClassVar[asyncpg.Connection]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.db)

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        self.loop.run_until_complete(work)

    @initialize(parts=st.integers(1, 2))
    def an_invoice_comes(self, parts: int) -> None:
        self.run(self.world.begin(("100.00",) * parts))

    # --- the scheduler

    @rule(published=st.booleans())
    def due(self, published: bool) -> None:
        self.run(self.world.due(published=published))

    @rule()
    def the_sweeper_publishes_again(self) -> None:
        self.run(self.world.sweep())

    @rule(late_ones_are_skipped=st.booleans())
    def the_calendar_looks_again(self, late_ones_are_skipped: bool) -> None:
        self.run(self.world.retime(skip=late_ones_are_skipped))

    @rule()
    def the_invoice_is_planned_again_if_asked(self) -> None:
        self.run(self.world.replan())

    @rule(days=st.integers(1, 3))
    def a_day_passes(self, days: int) -> None:
        self.world.now += DAY * days

    @rule()
    def receipts_stay_out(self) -> None:
        self.run(self.world.receipts_stay_out())

    @rule()
    def what_is_uncertain_is_decided(self) -> None:
        self.run(self.world.decide_uncertain())

    # --- messages and dispatchers

    @precondition(lambda self: self.world.messages)
    @rule(which=ANY, who=WORKERS)
    def a_doubled_message_is_looked_at(self, which: int, who: int) -> None:
        messages = self.world.messages
        self.run(self.world.look(self.world.workers[who], [messages[which % len(messages)]]))

    @precondition(lambda self: self.world.messages)
    @rule(who=WORKERS, count=st.integers(1, 5))
    def a_worker_looks(self, who: int, count: int) -> None:
        taken, self.world.messages = self.world.messages[:count], self.world.messages[count:]
        self.run(self.world.look(self.world.workers[who], taken))

    @precondition(looked)
    @rule(who=WORKERS)
    def a_worker_claims(self, who: int) -> None:
        self.run(self.world.claim(self.world.workers[who]))

    @rule(who=WORKERS)
    def a_worker_takes_what_is_due(self, who: int) -> None:
        self.run(self.world.take_due(self.world.workers[who]))

    @rule(who=WORKERS, what=st.sampled_from(["hold", "payment", "opt-out", "change"]), claimed=st.booleans())
    def something_comes_between_look_and_claim_or_claim_and_hand_off(self, who: int, what: str, claimed: bool) -> None:
        self.run(self._come_between(who, what, claimed))

    async def _come_between(self, who: int, what: str, claimed: bool) -> None:
        world, worker = self.world, self.world.workers[who]
        await world.due()
        await world.look(worker, world.messages)
        if claimed:
            await world.claim(worker)
        if what == "hold":
            await world.hold()
        elif what == "payment":
            await world.pay()
        elif what == "opt-out":
            await world.bar("email")
        else:
            await world.change(other_date=True)
            await world.replan()
        if claimed:
            await world.hand_over(worker)
        else:
            await world.claim(worker)

    @precondition(looked)
    @rule(who=WORKERS)
    def a_worker_gives_back(self, who: int) -> None:
        self.run(self.world.give_back(self.world.workers[who]))

    @precondition(holding)
    @rule(who=WORKERS)
    def the_window_of_a_slow_worker_passes(self, who: int) -> None:
        self.world.close_gates(self.world.workers[who])

    @precondition(holding)
    @rule(who=WORKERS, truth=TRUTHS, at_most=st.sampled_from([1, 9, 9]))
    def a_worker_hands_over(self, who: int, truth: str, at_most: int) -> None:
        self.run(self.world.hand_over(self.world.workers[who], truth, at_most=at_most))

    @precondition(holding)
    @rule(who=WORKERS, twice=st.booleans())
    def a_worker_records(self, who: int, twice: bool) -> None:
        self.run(self.world.record(self.world.workers[who], 2 if twice else 1))

    @precondition(holding)
    @rule(who=WORKERS, dead=st.booleans())
    def a_lease_ends(self, who: int, dead: bool) -> None:
        self.run(self.world.end_leases(self.world.workers[who], dead=dead))

    @rule(who=WORKERS, truth=TRUTHS)
    def all_that_is_due_goes(self, who: int, truth: str) -> None:
        """The usual way, in one step, so that the unusual ones get far."""
        self.run(self.world.send_due(self.world.workers[who], truth))

    @precondition(lambda self: self.world.handed)
    @rule(which=ANY)
    def a_receipt_comes(self, which: int) -> None:
        handed = list(self.world.handed)
        self.run(self.world.receipt(handed[which % len(handed)]))

    # --- money and people

    @precondition(lambda self: self.world.promises)
    @rule()
    def the_barrier_passes(self) -> None:
        self.world.barrier_passes()

    @rule(amount=st.sampled_from(["30", "97", "100", "200", "250"]), installment=st.sampled_from([None, 1]))
    def a_payment_comes(self, amount: str, installment: int | None) -> None:
        self.run(self.world.pay(amount, installment))

    @precondition(lambda self: self.world.said)
    @rule(which=ANY)
    def a_payment_is_told_again(self, which: int) -> None:
        self.run(self.world.say(self.world.said[which % len(self.world.said)]))

    @precondition(lambda self: self.world.said)
    @rule(which=ANY, part=st.sampled_from([None, None, Decimal(20)]))
    def a_payment_is_reversed(self, which: int, part: Decimal | None) -> None:
        self.run(self.world.reverse(self.world.said[which % len(self.world.said)], part))

    @rule(part=st.integers(0, 1), amount=st.sampled_from(["50", "100"]))
    def an_installment_is_credited(self, part: int, amount: str) -> None:
        parts = self.world.invoice.installments
        self.run(self.world.credit(parts[part % len(parts)], amount))

    @rule(other_date=st.booleans())
    def the_invoice_is_changed(self, other_date: bool) -> None:
        self.run(self.world.change(other_date=other_date))

    @rule(kind=st.sampled_from(["hold", "promise"]), customer=st.booleans())
    def a_hold_is_placed(self, kind: str, customer: bool) -> None:
        self.run(self.world.hold(kind, customer=customer))

    @rule()
    def the_holds_are_released(self) -> None:
        self.run(self.world.release())

    @precondition(lambda self: len(self.world.said) == 1)
    @rule(channel=st.sampled_from(WAYS))
    def the_customer_opts_out(self, channel: str) -> None:
        self.run(self.world.bar(channel))

    @precondition(lambda self: len(self.world.said) > 2)
    @rule()
    def the_invoice_is_voided(self) -> None:
        self.run(self.world.void())

    # --- what must hold

    @invariant()
    def the_ledger_is_sound(self) -> None:
        if hasattr(self.world, "source"):
            self.run(check_always(self.db, self.world.truth))

    def teardown(self) -> None:
        if hasattr(self.world, "source"):
            self.run(self.world.come_to_rest())
