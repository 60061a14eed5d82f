"""What the dispatcher's endpoints work with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from services.dispatcher.domain.ports import Reporting
from services.dispatcher.handlers.claim_and_send import Sender
from services.dispatcher.handlers.opt_out import OptOut
from services.dispatcher.handlers.take_receipt import TakeReceipt
from shared.db.engine import Database
from shared.routing import Channel
from shared.web.parts import part


@dataclass(frozen=True, slots=True)
class DispatcherParts:
    """`reporting`: the configured providers that call back, by name."""

    db: Database
    senders: Mapping[Channel, Sender]
    take_receipt: TakeReceipt
    opt_out: OptOut
    reporting: Mapping[str, Reporting]
    public_url: str


Parts = Annotated[DispatcherParts, part(DispatcherParts)]
