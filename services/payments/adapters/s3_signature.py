"""AWS Signature Version 4 of requests without a body, as S3 wants it (AWS, "Authenticating Requests: Using the Authorization
Header"). Tried against AWS's own examples, and against the signer inside of obstore."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

EMPTY = hashlib.sha256(b"").hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Key:
    access_key_id: str
    secret: str
    region: str
    session_token: str | None = None


def escaped_path(path: str) -> str:
    return quote(path, safe="/-_.~")


def escaped_query(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))


def signed_headers(
    key: Key, host: str, path: str, query: Mapping[str, str], now: datetime, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """All headers of a GET. `path` is not escaped, `host` with its port where it is not the usual one; `now` in UTC."""
    headers = {
        "host": host,
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        **({"x-amz-security-token": key.session_token} if key.session_token else {}),
        **(more or {}),
    }
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    request = f"GET\n{escaped_path(path)}\n{escaped_query(query)}\n{lines}\n{names}\n{EMPTY}"
    scope = f"{now:%Y%m%d}/{key.region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    signature = _signed(_signing_key(key, now), f"{_ALGORITHM}\n{headers['x-amz-date']}\n{scope}\n{digest}").hex()
    given = f"Credential={key.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": f"{_ALGORITHM} {given}"}


def _signing_key(key: Key, now: datetime) -> bytes:
    made = f"AWS4{key.secret}".encode()
    for text in (f"{now:%Y%m%d}", key.region, "s3", "aws4_request"):
        made = _signed(made, text)
    return made


def _signed(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
