"""Whether a form was sent from our own page.

The token in the path is a secret that another site does not know; this is the second lock. Browsers say where a request
comes from in Sec-Fetch-Site; older ones only in Origin, which our own `no-referrer` makes "null".
"""

from urllib.parse import urlsplit

from starlette.requests import Request


def same_origin(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin", "null")
    return origin == "null" or _host(origin) == request.headers.get("host", "")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
