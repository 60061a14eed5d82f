"""Due -> handed over: the real scheduler and dispatcher processes against a bare loop and against Celery, in turns.

All of them are started once and wait while another one is measured. The baselines have a database of their own, so that the scheduler
does not take what is theirs; what its idle processes use is counted with nobody. Rates are compared on all cores; the CPU of one
dispatcher and of the bare loop on one, because the same work costs more seconds the more cores are busy.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.bench import seed
from tests.bench.figures import Figure, Goal, between, paired
from tests.bench.processes import Child, end_soon, on_one_core, peak_resident, proportional, resident, started
from tests.bench.sending import Sent, send
from tests.bench.sizes import Sizes
from tests.bench.stage import Ground, Stage, Wanted
from tests.servers.postgres import run

OURS, THEIRS = "due", "due_baselines"
CELERY_PROCESSES = (2, 4)
SERVERS = {"postgres": "PostgreSQL, all its processes,", "beam.smp": "RabbitMQ"}


@dataclass(slots=True)
class Rounds:
    """Runs that took turns."""

    ours: list[Sent] = field(default_factory=list)
    bare: list[Sent] = field(default_factory=list)
    celery: list[Sent] = field(default_factory=list)


@dataclass(slots=True)
class Field:
    """Who is there. `celery`: by its number of processes, the workers and who feeds them; `product`: the product's processes."""

    stage: Stage
    sizes: Sizes
    bare: Child
    celery: dict[int, tuple[Child, Child]]
    product: list[Child] = field(default_factory=list)

    @property
    def warm_up(self) -> int:
        return self.sizes.mails // 10

    def ours(self, who: str, mails: int) -> Sent:
        idle = self._all_but(self.product)
        return self._told(who, run(send(self.stage, self.stage.address(OURS), mails, _nothing, idle)))

    def bare_loop(self, mails: int) -> Sent:
        return self._theirs("bare loop", [self.bare], mails)

    def by_celery(self, processes: int, mails: int) -> Sent:
        return self._theirs(f"Celery, {processes} processes", self.celery[processes], mails)

    def _theirs(self, who: str, theirs: Sequence[Child], mails: int) -> Sent:
        """The last of them is told to go, and says when it is done."""
        go = theirs[-1]
        idle = self._all_but(theirs)
        sent = run(send(self.stage, self.stage.address(THEIRS), mails, lambda: go.say("go"), idle))
        go.line()
        return self._told(who, sent)

    def _all_but(self, busy: Sequence[Child]) -> list[int]:
        every = [self.bare, *self.product, *(child for pair in self.celery.values() for child in pair)]
        return list({child.pid for child in every} - {child.pid for child in busy})

    def _told(self, who: str, sent: Sent) -> Sent:
        self.stage.tell(f"{who}: {sent.mails:,} mails, {sent}")
        return sent


def grounds(sizes: Sizes) -> list[Ground]:
    ground = seed.Ground(sizes.mails, sizes.mails)
    return [Ground(name, sizes.mails, lambda at: seed.lay(at, ground)) for name in (OURS, THEIRS)]


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    with ExitStack() as stack:
        bare = stack.enter_context(started("-m", "tests.bench.bare_loop", stage.address(THEIRS), str(stage.sink.port)))
        workers = [stack.enter_context(_workers(stage, processes)) for processes in CELERY_PROCESSES]
        there = Field(stage, sizes, bare, dict(zip(CELERY_PROCESSES, workers, strict=True)))
        amqp = stack.enter_context(stage.broker.fresh_virtual_host())
        figures = _in_turns(there, stack, amqp)
        end_soon([*there.product, *(worker for worker, _ in workers)])
    for name in (OURS, THEIRS):
        stage.forget(stage.address(name))
    return figures


def _in_turns(there: Field, stack: ExitStack, amqp: str) -> list[Figure]:
    """First with one dispatcher, then with two."""
    stage, database = there.stage, there.stage.address(OURS)
    pair = stage.services(Wanted("scheduler", database, amqp), Wanted("dispatcher", database, amqp))
    there.product = [child for child, _ in stack.enter_context(pair)]
    memory = _memory(there, "at rest", resident)
    there.bare_loop(there.warm_up)
    best = max(CELERY_PROCESSES, key=lambda processes: _celery_rate(there, processes))
    there.ours("warm-up", there.warm_up)
    one = _rounds(there, "one dispatcher", best, with_bare_loop=True)
    memory += _memory(there, "under load", peak_resident)
    with on_one_core():
        confined = _confined_rounds(there)
    second, _ = stack.enter_context(stage.service("dispatcher", database, amqp))
    there.product.append(second)
    there.ours("warm-up", there.warm_up)
    return [*_figures(one, confined, _rounds(there, "two dispatchers", best)), *memory]


def _rounds(there: Field, who: str, processes: int, *, with_bare_loop: bool = False) -> Rounds:
    rounds, sizes = Rounds(), there.sizes
    for _ in range(sizes.repeats):
        if with_bare_loop:
            rounds.bare.append(there.bare_loop(sizes.mails))
        rounds.ours.append(there.ours(who, sizes.mails))
        rounds.celery.append(there.by_celery(processes, sizes.celery_mails))
    return rounds


def _confined_rounds(there: Field) -> Rounds:
    """One of the bare loop before each of ours and one after the last."""
    rounds, mails = Rounds(), there.sizes.one_core_mails
    rounds.bare.append(there.bare_loop(mails))
    for _ in range(there.sizes.repeats):
        rounds.ours.append(there.ours("one dispatcher, all on one core", mails))
        rounds.bare.append(there.bare_loop(mails))
    return rounds


def _memory(there: Field, when: str, of: Callable[[int], float]) -> list[Figure]:
    found = {name: of(child.pid) for name, child in zip(("scheduler", "dispatcher"), there.product, strict=True)}
    found |= {name: proportional(program) for program, name in SERVERS.items()}
    return [Figure(f"{name} {when}", value, "MB", n=there.sizes.mails) for name, value in found.items()]


def _celery_rate(there: Field, processes: int) -> float:
    """After one that warms it up."""
    there.by_celery(processes, there.sizes.celery_mails // 2)
    return there.by_celery(processes, there.sizes.celery_mails).rate


@contextmanager
def _workers(stage: Stage, processes: int) -> Iterator[tuple[Child, Child]]:
    """A worker with so many processes, and the one that feeds it."""
    quiet = ("--loglevel=warning", "--without-gossip", "--without-mingle", "--without-heartbeat")
    worker = ("-m", "celery", "-A", "tests.bench.celery_app", "worker", "-P", "prefork", "-c", str(processes), *quiet)
    with stage.broker.fresh_virtual_host() as amqp:
        where = {
            "BENCH_DATABASE": stage.address(THEIRS),
            "BENCH_AMQP": amqp,
            "BENCH_SMTP_PORT": str(stage.sink.port),
        }
        with (
            started(*worker, environment=where, log=stage.folder / "celery.log") as workers,
            started("-m", "tests.bench.celery_app", environment=where) as feeder,
        ):
            yield workers, feeder


def _figures(one: Rounds, confined: Rounds, two: Rounds) -> list[Figure]:
    n, rate, cpu = one.ours[0].mails, "mails/s", "CPU s/1000"
    ours, bare, celery = _rates(one.ours), _rates(one.bare), _rates(one.celery)
    costs, few = _costs(one.ours), confined.ours[0].mails
    alike = _costs(confined.ours), between(_costs(confined.bare))
    faster = _rates(two.ours), _rates(two.celery)
    return [
        paired("due -> sent, one dispatcher, against a bare loop", rate, ours, bare, Goal(">=", 0.6), n),
        paired("  its CPU, all on one core", cpu, *alike, Goal("<=", 1.6), few),
        paired("  its CPU, on all cores", cpu, costs, _costs(one.bare), None, n),
        paired("due -> sent, one dispatcher, against Celery", rate, ours, celery, Goal(">=", 5), n),
        paired("  its CPU", cpu, costs, _costs(one.celery), Goal("<=", 0.2), n),
        paired("due -> sent, two dispatchers, against Celery", rate, *faster, Goal(">=", 8), n),
    ]


def _rates(runs: list[Sent]) -> list[float]:
    return [run.rate for run in runs]


def _costs(runs: list[Sent]) -> list[float]:
    return [run.cpu_per_1000 for run in runs]


def _nothing() -> None:
    """The scheduler sees by itself what is due."""
