"""The ledger under everything that can happen. DUNNOCK_MACHINE_EXAMPLES and DUNNOCK_MACHINE_STEPS make it search for longer,
and then with a new seed each time."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.ledger_database import connect
from tests.integration.ledger_machine import LedgerMachine
from tests.integration.ledger_mutants import MUTANTS, break_ledger

EXAMPLES = int(os.environ.get("DUNNOCK_MACHINE_EXAMPLES", "70"))
STEPS = int(os.environ.get("DUNNOCK_MACHINE_STEPS", "40"))
NOTICED_SOON = (
    "the barrier never waits",
    "a claim does not look at holds",
    "a claim does not look at suppressions",
    "a re-plan keeps nothing",
)
SEARCHES = "DUNNOCK_MACHINE_EXAMPLES" in os.environ


def effort(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=not SEARCHES,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )


@pytest.fixture
def machine(database_dsn: str) -> Iterator[type[LedgerMachine]]:
    """The machine on a database of its own, with a loop of its own: Hypothesis calls it synchronously."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(connect(database_dsn))
    yield type("Machine", (LedgerMachine,), {"loop": loop, "db": connection})
    loop.run_until_complete(connection.close())
    loop.close()


@pytest.mark.timeout(0 if SEARCHES else 300)
def test_the_ledger_keeps_its_promises_whatever_happens(machine: type[LedgerMachine]) -> None:
    run_state_machine_as_test(machine, settings=effort(EXAMPLES, STEPS))


@pytest.mark.parametrize("mistake", NOTICED_SOON)
def test_the_machine_has_teeth(machine: type[LedgerMachine], mistake: str) -> None:
    (mutant,) = [mutant for mutant in MUTANTS if mutant.what == mistake]
    machine.loop.run_until_complete(break_ledger(machine.db, mutant))
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=settings(effort(EXAMPLES, STEPS), phases=[Phase.generate]))
