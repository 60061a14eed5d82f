"""Due -> handed over: the real scheduler and dispatcher processes against a bare loop and against Celery."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from tests.bench import seed
from tests.bench.figures import Figure, Goal, against, paired
from tests.bench.processes import Child, peak_resident, resident, started
from tests.bench.sending import Sent, send
from tests.bench.sizes import Sizes
from tests.bench.stage import Stage
from tests.servers.postgres import run

WARM_UP = 1000
CELERY_PROCESSES = (2, 4)


@dataclass(frozen=True, slots=True)
class Field:
    """Where it is measured: one database, and a virtual host for each side."""

    stage: Stage
    database: str
    sizes: Sizes

    def send(self, who: str, go: Callable[[], None], mails: int) -> Sent:
        sent = run(send(self.stage, self.database, mails, go))
        self.stage.tell(f"{who}: {sent}")
        return sent


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    database = stage.database("due")
    run(seed.lay(database, seed.Ground(sizes.mails, sizes.mails)))
    field = Field(stage, database, sizes)
    one, two, bare = [], [], []
    memory: dict[str, float] = {}
    for _ in range(sizes.repeats):
        with stage.broker.fresh_virtual_host() as amqp:
            first, second, memory = _product(field, amqp)
        one.append(first)
        two.append(second)
        bare.append(_bare(field))
    celery = max((_celery(field, processes) for processes in CELERY_PROCESSES), key=lambda runs: median(_rates(runs)))
    stage.forget(database)
    return [*_figures(one, two, bare, celery), *(Figure(name, value, "MB") for name, value in memory.items())]


def _product(field: Field, amqp: str) -> tuple[Sent, Sent, dict[str, float]]:
    """One dispatcher, then two; and what a scheduler and a dispatcher have in memory."""
    stage, database, mails = field.stage, field.database, field.sizes.mails
    with ExitStack() as stack:
        scheduler, _ = stack.enter_context(stage.service("scheduler", database, amqp, DUNNOCK_DUE_POLL="0.1"))
        dispatcher, _ = stack.enter_context(stage.service("dispatcher", database, amqp))
        memory = {
            f"{name} at rest": resident(child.pid)
            for name, child in (("scheduler", scheduler), ("dispatcher", dispatcher))
        }
        run(send(stage, database, WARM_UP, _nothing))
        one = field.send("one dispatcher", _nothing, mails)
        memory["dispatcher under load"] = peak_resident(dispatcher.pid)
        memory["scheduler publishing"] = peak_resident(scheduler.pid)
        stack.enter_context(stage.service("dispatcher", database, amqp))
        run(send(stage, database, WARM_UP, _nothing))
        two = field.send("two dispatchers", _nothing, mails)
    return one, two, memory


def _bare(field: Field) -> Sent:
    with started("-m", "tests.bench.bare_loop", field.database, str(field.stage.sink.port)) as loop:
        run(send(field.stage, field.database, WARM_UP, lambda: loop.say("go")))
        loop.line()
        sent = field.send("bare loop", lambda: loop.say("go"), field.sizes.mails)
        loop.line()
    return sent


def _celery(field: Field, processes: int) -> list[Sent]:
    with field.stage.broker.fresh_virtual_host() as amqp, _workers(field, amqp, processes) as feeder:
        run(send(field.stage, field.database, WARM_UP // 2, lambda: feeder.say("go")))
        feeder.line()
        runs = []
        for _ in range(field.sizes.celery_repeats):
            runs.append(
                field.send(f"Celery, {processes} processes", lambda: feeder.say("go"), field.sizes.celery_mails)
            )
            feeder.line()
    return runs


@contextmanager
def _workers(field: Field, amqp: str, processes: int) -> Iterator[Child]:
    """A worker with so many processes, and the one that feeds it."""
    where = {"BENCH_DATABASE": field.database, "BENCH_AMQP": amqp, "BENCH_SMTP_PORT": str(field.stage.sink.port)}
    quiet = ("--loglevel=warning", "--without-gossip", "--without-mingle", "--without-heartbeat")
    worker = ("-m", "celery", "-A", "tests.bench.celery_app", "worker", "-P", "prefork", "-c", str(processes), *quiet)
    with (
        started(*worker, environment=where, log=field.stage.folder / "celery.log"),
        started("-m", "tests.bench.celery_app", environment=where) as feeder,
    ):
        yield feeder


def _figures(one: list[Sent], two: list[Sent], bare: list[Sent], celery: list[Sent]) -> list[Figure]:
    rate, cpu = "mails/s", "CPU s/1000"
    slow, dear = _rates(celery), _costs(celery)
    return [
        paired(
            "due -> handed over, one dispatcher, against a bare loop", rate, _rates(one), _rates(bare), Goal(">=", 0.6)
        ),
        paired("  its CPU", cpu, _costs(one), _costs(bare), Goal("<=", 1.6)),
        against("due -> handed over, one dispatcher, against Celery", rate, _rates(one), slow, Goal(">=", 5)),
        against("  its CPU", cpu, _costs(one), dear, Goal("<=", 0.2)),
        against("due -> handed over, two dispatchers, against Celery", rate, _rates(two), slow, Goal(">=", 8)),
    ]


def _rates(runs: list[Sent]) -> list[float]:
    return [run.rate for run in runs]


def _costs(runs: list[Sent]) -> list[float]:
    return [run.cpu_per_1000 for run in runs]


def _nothing() -> None:
    """The scheduler sees by itself what is due."""
