"""Where a source's statement files wait in an object store, as `PUT /v1/sources/{source}` takes it.

True here: the secret key goes in and never comes out; the endpoint is a host alone, so that nobody can steer a signed
request elsewhere by a path.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,250}")


def _endpoint(value: str) -> str:
    if not _ENDPOINT.fullmatch(value):
        raise ValueError('must be an origin, such as "https://s3.eu-central-1.amazonaws.com"')
    return value


Printable = Annotated[str, Field(pattern=r"^[\x21-\x7e]+$", max_length=256)]


class BucketSettings(BaseModel):
    """An S3-compatible bucket, which is listed and read; nothing is written to it. `addressing`: where its name stands, in
    the path or before the host. `session_token`: only with temporary keys."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    endpoint: Annotated[str, Field(max_length=260), AfterValidator(_endpoint)]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$")]
    prefix: Annotated[str, Field(max_length=500)] = ""
    region: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "us-east-1"
    addressing: Literal["path", "host"] = "path"
    every_seconds: Annotated[int, Field(ge=1, le=86_400, description="Seconds between two looks")] = 60
    access_key_id: Printable
    secret_access_key: Printable
    session_token: Annotated[str, Field(pattern=r"^[\x21-\x7e]+$", max_length=4096)] | None = None

    @property
    def origin(self) -> str:
        """Where it is called."""
        scheme, _, host = self.endpoint.partition("://")
        return f"{scheme}://{self.name}.{host}" if self.addressing == "host" else self.endpoint

    @property
    def root(self) -> str:
        """The bucket's own path."""
        return "/" if self.addressing == "host" else f"/{self.name}/"
