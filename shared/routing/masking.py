"""An address as it may be shown in a log, a timeline or a decision: recognisable to who knows it, useless to others."""


def mask_address(address: str) -> str:
    """`ana@shop.example` -> `a***@shop.example`, `+34600111222` -> `+34***222`, else three characters stay."""
    local, at, domain = address.rpartition("@")
    if at and local:
        return f"{local[0]}***@{domain}"
    if address.startswith("+") and len(address) > 8:
        return f"{address[:3]}***{address[-3:]}"
    return f"{address[:3]}***" if len(address) > 6 else "***"
