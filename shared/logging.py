"""One JSON object a line, from us and from every library; no secret and no customer's token in it, whoever logs.

The finished line is searched, not only known fields: a traceback or a library's message can hold a URL with a password.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, TextIO

import orjson
import structlog

_HIDDEN = "[redacted]"
_SECRET_FIELDS = re.compile(
    r"(authorization|password|passwd|secret|token|cookie|api_?key|signature|credentials?)$", re.IGNORECASE
)
_SECRETS = re.compile(
    r"(?P<keep>://)[^/\s\"'@]+@"  # user and password in a URL
    r"|\b(?:dk|whsec|sk)_[A-Za-z0-9+/_=-]{16,}"  # our keys, webhook secrets, payment gateways' keys
    r"|(?P<scheme>\b(?:Bearer|Basic) )[A-Za-z0-9+/_.=-]{8,}"
    r"|(?P<page>/(?:pay|push|u|d|r)/)[A-Za-z0-9_-]{16,}"  # links that customers get
)
_TELLS_ADDRESSES = ("mail.log", "httpx", "httpcore")
"""aiosmtpd repeats every command, with who writes to whom; httpx every URL that is called, with the secrets in it."""
_MARKS = ("://", "dk_", "whsec_", "sk_", "Bearer ", "Basic ", "/pay/", "/push/", "/u/", "/d/", "/r/")


def configure(level: str = "info", *, stream: TextIO | None = None) -> None:
    """Once per process, before anything logs."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_fields,
    ]
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _render,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    for name in _TELLS_ADDRESSES:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, _render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=stream is None,
    )


def redact(text: str) -> str:
    """`text` with everything that looks like a secret or a customer's token hidden."""
    # Most lines hold none of the marks; without this look the search is most of a line's cost.
    return _SECRETS.sub(_hide, text) if any(mark in text for mark in _MARKS) else text


def hide_fields(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Fields whose name says secret, whatever their value looks like."""
    for name in event:
        if _names_secret(name):
            event[name] = _HIDDEN
    return event


@lru_cache(maxsize=1024)
def _names_secret(name: str) -> bool:
    return _SECRET_FIELDS.search(name) is not None


def _hide(match: re.Match[str]) -> str:
    kept = match["keep"] or match["scheme"] or match["page"] or ""
    return f"{kept}{_HIDDEN}{'@' if match['keep'] else ''}"


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    return redact(orjson.dumps(dict(event), default=repr, option=orjson.OPT_NON_STR_KEYS).decode())
