"""What the dispatcher's endpoints work with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from services.dispatcher.domain.ports import Conversing, Reporting
from services.dispatcher.handlers.http_providers import HttpProviders
from services.dispatcher.handlers.opt_out import OptOut
from services.dispatcher.handlers.senders import Senders
from services.dispatcher.handlers.take_receipt import TakeReceipt
from services.dispatcher.handlers.take_reply import TakeReply
from services.dispatcher.handlers.take_turn import TakeTurn
from services.dispatcher.store.own_texts import OwnTexts
from shared.db.engine import Database
from shared.outgoing import Guard
from shared.web.parts import part


@dataclass(frozen=True, slots=True)
class DispatcherParts:
    """`reporting`, `conversing`: the configured channels whose providers call back, or ask what to say; by provider.
    `guard`: for URLs that operators write; `browsers`: for those that customers name, without the operator's exceptions.
    `currency`: of all prices. `send_timeout`: no hand-off lasts longer."""

    db: Database
    senders: Senders
    take_receipt: TakeReceipt
    take_turn: TakeTurn
    take_reply: TakeReply
    opt_out: OptOut
    texts: OwnTexts
    reporting: Mapping[str, Sequence[Reporting]]
    conversing: Mapping[str, Conversing]
    public_url: str
    http: HttpProviders
    guard: Guard
    browsers: Guard
    push_key: bytes | None
    currency: str = "EUR"
    send_timeout: float = 30.0


Parts = Annotated[DispatcherParts, part(DispatcherParts)]
