"""`python -m tests.chaos [SEED]`: kills at random, at every crash point, of the broker and of the database, with payments
arriving all the while; then ten thousand random interleavings of pay, claim, send and crash. Prints what came of it and
writes build/chaos.json. The status is 1 if a promise was broken.

True here: no act begins after four minutes, and it ends within ten on two cores; what a slow machine leaves no time for is
counted, not dropped in silence.
"""

import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from tests.chaos.acts import POINTS, Work, crash_database, die_at, kill_at_random, kill_broker, share
from tests.chaos.evidence import Evidence
from tests.chaos.ground import ground
from tests.chaos.interleavings import Interleavings, Tally
from tests.chaos.invariants import PROMISES, broken
from tests.chaos.plant import SERVICES
from tests.chaos.stage import Stage, stage
from tests.servers.warm import ROOT
from tests.servers.workspace import workspace

ENOUGH = 230.0  # seconds after which no act begins any more
ROUNDS, KILLS = 10, 6
INTERLEAVINGS = 10_000
ROUND, POINT, SERVERS, SHARED = Work(300, 120), Work(60, 20), Work(600, 150, 6.0), Work(5_000, 200)
TWICE = (*SERVICES, "scheduler", "dispatcher")
Act = tuple[str, Callable[[], Coroutine[Any, Any, Evidence | list[Evidence]]]]


def acts(there: Stage, chance: random.Random) -> Iterator[Act]:
    for number in range(1, ROUNDS + 1):
        yield f"{KILLS} kills at random, round {number}", partial(kill_at_random, there, ROUND, KILLS, chance)
    if there.ground.node:
        yield "broker killed", partial(kill_broker, there, SERVERS)
    if there.ground.own_database:
        yield "database crashed twice", partial(crash_database, there, SERVERS)
    yield "two of each share 5,000", partial(share, there, SHARED)
    for service, points in POINTS.items():
        for point in points:
            yield f"{service} dies {point}", partial(die_at, there, service, point, POINT)


def main(seed: int) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born ignoring it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # asyncio ends its tasks then
    began, counts = time.monotonic(), Counter[str]()
    print(f"starting PostgreSQL, RabbitMQ and {len(TWICE)} services; seed {seed}", flush=True)
    with workspace() as folder, ground(folder / "chaos") as laid:
        with stage(laid, services=TWICE, answer_seconds=0.03) as there:
            for name, act in acts(there, random.Random(seed)):
                if time.monotonic() - began > ENOUGH:
                    counts["acts left out for want of time"] += 1
                    continue
                answered = asyncio.run(act())
                for found in answered if isinstance(answered, list) else [answered]:
                    counts += tally(found)
                    complain(name, found)
                print(f"{time.monotonic() - began:6.0f} s  {name}", flush=True)
            counts["processes killed"] = len(there.plant.killed)
        interleaved = asyncio.run(Interleavings(laid.database, random.Random(seed)).run(INTERLEAVINGS))
        print(f"{time.monotonic() - began:6.0f} s  {interleaved.cases} interleavings", flush=True)
    rows = figures(counts) + figures_of(interleaved)
    write(rows)
    return 0 if all(row["holds"] is not False for row in rows) else 1


def tally(found: Evidence) -> Counter[str]:
    states = Counter(row["state"] for row in found.reminders)
    counted = Counter({name: len(promise(found)) for name, promise in PROMISES.items()})
    counted["due reminders and thank-yous"] = len(found.reminders) - states["waiting"]
    counted["accepted by the provider"] = len(found.accepted)
    counted["cancelled in time by a payment"] = states["cancelled"]
    counted["uncertain: their worker was killed"] = states["uncertain"]
    counted["payments acknowledged"] = len(found.acknowledged)
    return counted


def complain(act: str, found: Evidence) -> None:
    for promise, wrong in broken(found).items():
        print(f"{act}: {promise}:", *wrong[:10], sep="\n    ", flush=True)


def figures(counts: Counter[str]) -> list[dict[str, Any]]:
    rows = [
        {"name": name, "value": counts[name], "unit": "", "goal": "= 0", "holds": not counts[name]} for name in PROMISES
    ]
    more = {
        "name": "acts left out for want of time",
        "value": counts.pop("acts left out for want of time", 0),
        "unit": "",
    }
    facts = [{"name": name, "value": value, "unit": "", "goal": None, "holds": None} for name, value in counts.items()]
    return [*rows, *(one for one in facts if one["name"] not in PROMISES), {**more, "goal": None, "holds": None}]


def figures_of(seen: Tally) -> list[dict[str, Any]]:
    """Of the interleavings."""
    late, twice = len(seen.late), seen.twice
    return [
        {"name": "interleaved: sent after paid", "value": late, "unit": "", "goal": "= 0", "holds": not late},
        {"name": "interleaved: doubled", "value": twice, "unit": "", "goal": "= 0", "holds": not twice},
        *(
            {"name": f"interleaved: {name}", "value": value, "unit": "", "goal": None, "holds": None}
            for name, value in (
                ("pay, claim, send and crash", seen.cases),
                ("handed over", seen.handed_over),
                ("within a window of the 2xx", seen.raced),
                ("stopped at the claim", seen.stopped),
                ("stopped at the gate", seen.gates_closed),
                ("crashes", seen.crashes),
            )
        ),
    ]


def write(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        goal = f"{row['goal']}  {'holds' if row['holds'] else 'BROKEN'}" if row["goal"] else ""
        print(f"{row['name']:50}{row['value']:8}  {goal}")
    file = ROOT / "build" / "chaos.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    try:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(10**6)))
    except KeyboardInterrupt:
        sys.exit("ended from outside")
