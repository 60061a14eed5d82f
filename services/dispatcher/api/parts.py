"""What the dispatcher's endpoints work with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from services.dispatcher.adapters.sms_twilio import SmsTwilio
from services.dispatcher.handlers.claim_and_send import Sender
from services.dispatcher.handlers.opt_out import OptOut
from services.dispatcher.handlers.take_receipt import TakeReceipt
from shared.db.engine import Database
from shared.routing import Channel
from shared.web.parts import part


@dataclass(frozen=True, slots=True)
class DispatcherParts:
    """`twilio` is None where Twilio is not configured: its callbacks are then refused."""

    db: Database
    senders: Mapping[Channel, Sender]
    take_receipt: TakeReceipt
    opt_out: OptOut
    twilio: SmsTwilio | None
    public_url: str


Parts = Annotated[DispatcherParts, part(DispatcherParts)]
