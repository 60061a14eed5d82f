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

EXAMPLES = int(os.environ.get("DUNNOCK_MACHINE_EXAMPLES", "70"))
STEPS = int(os.environ.get("DUNNOCK_MACHINE_STEPS", "40"))
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
