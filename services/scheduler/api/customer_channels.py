"""`GET /v1/customers/{customer_id}/channels`: what is thought of each channel for this customer, and the order that follows.

It is the scheduler's, like all of /v1/customers: an ingress tells services apart by the beginning of a path.
"""

from decimal import Decimal

from fastapi import Depends
from pydantic import Field

from services.scheduler.api.customers import CustomerId
from services.scheduler.api.invoice_answer import Answer
from services.scheduler.api.parts import Parts
from services.scheduler.domain.channel_order import Placed, in_order
from services.scheduler.domain.contacts import mask
from services.scheduler.store.customer_channels import Facts, facts
from services.scheduler.store.ground import offers
from shared.kernel.errors import NotFound
from shared.routing import NOTHING, Evidence, LeftOut, chances
from shared.web.auth import require
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("customers")


class ExperienceOut(Answer):
    """Contacts that ended, those of long ago counting for less: `reached` of `tried`; `moved` of the `asked` that asked for
    money: an answer, a click or a payment within 72 hours. Opens never count."""

    tried: float
    reached: float
    asked: float
    moved: float


class WayOut(Answer):
    """`chance`: the smoothed estimate of reaching and moving this customer. `per_success`: what the order goes by."""

    channel: str = Field(examples=["sms"])
    address_masked: str
    provider: str
    cost: str = Field(examples=["0.05"])
    chance: float = Field(examples=[0.42])
    per_success: float = Field(examples=[0.1429])
    reason: str
    contacts: int = Field(description="that were counted, in all")
    own: ExperienceOut
    country: ExperienceOut = Field(description="of everybody in the customer's country")


class LeftOutOut(Answer):
    channel: str
    address_masked: str | None
    reason: str = Field(examples=["bounced"])


class CustomerChannelsOut(Answer):
    """`items` in the order in which a reminder that names all channels would try them."""

    customer_id: str
    preferred_channel: str | None
    currency: str
    contact_cost: str = Field(description="what a contact costs beside its price")
    items: list[WayOut]
    left_out: list[LeftOutOut]


@router.get(
    "/v1/customers/{customer_id}/channels",
    dependencies=[Depends(require("invoices:read"))],
    responses=declared(401, 403, 404),
)
async def customer_channels(customer_id: CustomerId, parts: Parts) -> CustomerChannelsOut:
    """The estimate for each way to this customer, and the order with its reason."""
    async with parts.db.connection() as connection:
        found = await facts(connection, customer_id)
        offered = await offers(connection) or {}
    if found is None:
        raise NotFound(f"there is no customer {customer_id!r}")
    friction: Decimal = parts.prices.contact_cost
    estimate = chances(found.own, found.group, found.overall)
    placed, route = in_order(found.points, offered, found.suppressed, found.preferred_channel, estimate, friction)
    return CustomerChannelsOut(
        customer_id=customer_id,
        preferred_channel=found.preferred_channel,
        currency=parts.prices.cost_currency,
        contact_cost=f"{friction:f}",
        items=[_way(one, found) for one in placed],
        left_out=[_left(one) for one in route.left_out],
    )


def _way(one: Placed, found: Facts) -> WayOut:
    channel = one.way.channel
    [address] = [point.address for point in found.points if point.id == one.way.contact_point_id]
    return WayOut(
        channel=channel,
        address_masked=mask(address),
        provider=one.way.provider,
        cost=f"{one.way.cost.normalize():f}",
        chance=round(one.chance, 4),
        per_success=round(one.per_success, 4),
        reason=one.reason,
        contacts=found.contacts.get(channel, 0),
        own=_experience(found.own.get(channel, NOTHING)),
        country=_experience(found.group.get(channel, NOTHING)),
    )


def _left(one: LeftOut) -> LeftOutOut:
    return LeftOutOut(channel=one.channel, address_masked=mask(one.address) if one.address else None, reason=one.reason)


def _experience(counts: Evidence) -> ExperienceOut:
    return ExperienceOut(**{name: round(value, 2) for name, value in counts._asdict().items()})
