"""The order of the ways to reach a customer. Pure: the flow preview and the dispatcher both need it."""

from shared.routing.channels import Channel, ContactKind
from shared.routing.masking import mask_address
from shared.routing.route import Attempted, Candidate, ContactPoint, LeftOut, Offer, Route, route

__all__ = [
    "Attempted",
    "Candidate",
    "Channel",
    "ContactKind",
    "ContactPoint",
    "LeftOut",
    "Offer",
    "Route",
    "mask_address",
    "route",
]
