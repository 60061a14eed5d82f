"""The order of the ways to reach a customer. Pure: the flow preview and the dispatcher both need it."""

from shared.routing.chance import NOTHING, Chances, Evidence, chance, chances
from shared.routing.channels import Channel, ChannelName, ContactKind, Traits, learn, traits_of
from shared.routing.decision import decision
from shared.routing.masking import mask_address
from shared.routing.route import FRICTION, Attempted, Candidate, ContactPoint, LeftOut, Offer, Route, route

__all__ = [
    "FRICTION",
    "NOTHING",
    "Attempted",
    "Candidate",
    "Chances",
    "Channel",
    "ChannelName",
    "ContactKind",
    "ContactPoint",
    "Evidence",
    "LeftOut",
    "Offer",
    "Route",
    "Traits",
    "chance",
    "chances",
    "decision",
    "learn",
    "mask_address",
    "route",
    "traits_of",
]
