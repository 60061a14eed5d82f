"""What an operator sets for a channel, and what is wrong with it."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from services.dispatcher.domain.standing import Terms
from services.dispatcher.store.channels import ChannelRow
from shared.flow.notation import Duration
from shared.kernel.errors import FieldError, Invalid
from shared.routing import ContactKind, traits_of
from shared.web.fields import Amount, Currency
from shared.web.strict import StrictModel

MOST_PROVIDERS, MOST_PRICES = 20, 500


class PriceIn(StrictModel):
    """For addresses that begin so; of several that fit, the longest counts."""

    prefix: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{0,6}$", examples=["+49"])]
    price: Amount


class LimitsIn(StrictModel):
    """Left out: as the dispatcher's settings say. Concurrency is a process's, the others are the deployment's."""

    concurrency: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    rate_per_second: Annotated[float, Field(gt=0, le=100_000)] | None = None
    timeout_seconds: Annotated[float, Field(ge=1)] | None = None
    max_per_day: Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)] | None = None


class ProviderIn(StrictModel):
    provider: Annotated[str, Field(min_length=1, max_length=40, examples=["smtp"])]
    price: Annotated[Amount | None, Field(description="of one message, of a text: of one segment")] = None
    prices: Annotated[list[PriceIn], Field(max_length=MOST_PRICES)] = Field(default_factory=list)
    limits: LimitsIn = LimitsIn()


class ChannelIn(StrictModel):
    """`providers` in failover order; one that is not named stands behind them, as its settings say. `fallback_after`: no
    receipt by then, and the next channel goes, unless the step says otherwise."""

    currency: Currency | None = None
    fallback_after: Duration | None = None
    providers: Annotated[list[ProviderIn], Field(min_length=1, max_length=MOST_PROVIDERS)]


def read_terms(body: ChannelIn, row: ChannelRow, currency: str, send_timeout: float) -> dict[str, Terms]:
    """Raises Invalid with all that does not fit this deployment."""
    faults: list[FieldError] = []
    if body.currency not in (None, currency):
        detail = f"all prices are in {currency} (DUNNOCK_COST_CURRENCY); convert them, or leave it out"
        faults.append(FieldError("/currency", detail))
    if body.fallback_after is not None:
        faults += _wrong_fallback(body.fallback_after, row)
    terms: dict[str, Terms] = {}
    for position, one in enumerate(body.providers):
        place = f"/providers/{position}"
        faults += _wrong_provider(one, row, place, terms, send_timeout)
        terms[one.provider] = _terms(position, one)
    if faults:
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}", errors=tuple(faults))
    return terms


def _wrong_fallback(after: Duration, row: ChannelRow) -> list[FieldError]:
    if not row.promises_receipts:
        detail = f"no provider of {row.name} sends receipts, so their absence says nothing; leave it out"
        return [FieldError("/fallback_after", detail)]
    return [] if after.total_seconds() >= 60 else [FieldError("/fallback_after", "must be a minute at least")]


def _wrong_provider(
    one: ProviderIn, row: ChannelRow, place: str, before: dict[str, Terms], send_timeout: float
) -> list[FieldError]:
    faults: list[FieldError] = []
    names = [provider.name for provider in row.providers]
    if one.provider not in names:
        detail = f"no dispatcher has such a provider of {row.name}; it has {', '.join(names) or 'none'}"
        faults.append(FieldError(f"{place}/provider", detail))
    if one.provider in before:
        faults.append(FieldError(f"{place}/provider", "is named twice; each provider has one place in the order"))
    if one.prices and traits_of(row.name).reaches is not ContactKind.PHONE:
        faults.append(FieldError(f"{place}/prices", "only phone numbers begin with their country; give one price"))
    prefixes = [price.prefix for price in one.prices]
    if len(set(prefixes)) < len(prefixes):
        faults.append(FieldError(f"{place}/prices", "a prefix is named twice; each has one price"))
    if (one.limits.timeout_seconds or 0) > send_timeout:
        detail = f"must be at most {send_timeout:g}, the deployment's DUNNOCK_SEND_TIMEOUT"
        faults.append(FieldError(f"{place}/limits/timeout_seconds", detail))
    return faults


def _terms(position: int, one: ProviderIn) -> Terms:
    limits = one.limits
    prices: list[tuple[str, Decimal]] = [(price.prefix, price.price) for price in one.prices]
    return Terms(
        position,
        one.price,
        tuple(prices),
        limits.concurrency,
        limits.rate_per_second,
        limits.timeout_seconds,
        limits.max_per_day,
    )
