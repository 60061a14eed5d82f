"""What the endpoints of payments work with."""

from dataclasses import dataclass

from services.payments.domain.matching import Rules
from services.payments.handlers.check_payments import PaymentCheck
from services.payments.handlers.known_sources import KnownSources
from services.payments.handlers.open_checkout import OpenCheckout
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.handlers.take_statement import ReaderOf
from services.payments.handlers.take_word import TakeWord
from shared.db.engine import Database
from shared.documents import Documents
from shared.outgoing import Guard


@dataclass(frozen=True, slots=True)
class PaymentsParts:
    db: Database
    sources: KnownSources
    recorder: PaymentRecorder
    documents: Documents
    guard: Guard
    take_word: TakeWord
    rules: Rules
    reader_of: ReaderOf
    payment_check: PaymentCheck
    open_checkout: OpenCheckout
