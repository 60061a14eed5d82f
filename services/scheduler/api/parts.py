"""What the scheduler's endpoints work with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from services.scheduler.handlers.fetch_document import FetchDocument
from services.scheduler.store.flows import FlowVersions
from shared.db.engine import Database
from shared.documents import Documents
from shared.kernel.caps import NO_CAPS, Caps
from shared.settings import PriceSettings
from shared.web.parts import part


@dataclass(frozen=True, slots=True)
class SchedulerParts:
    """`wake`: something may be due now. `window`: the hand-off window, for barriers. `sandbox`: addresses under .test
    are real. `caps`: those that hold for all flows."""

    db: Database
    flows: FlowVersions
    documents: Documents
    fetch: FetchDocument
    wake: Callable[[], None]
    window: timedelta
    hold_for: timedelta
    sandbox: bool
    prices: PriceSettings = field(default_factory=PriceSettings)
    caps: Caps = NO_CAPS


Parts = Annotated[SchedulerParts, part(SchedulerParts)]
