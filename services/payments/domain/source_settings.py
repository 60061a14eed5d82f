"""How a payment source speaks, as `PUT /v1/sources/{source}` takes it.

True here: what is accepted can be used; a wrong secret, expression or network is refused when it is set, never when
money comes. A message says what a value should be and never repeats a secret.
"""

import base64
import binascii
import ipaddress
import re
from decimal import Decimal
from typing import Annotated, Literal

from cryptography.x509 import load_pem_x509_certificate
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.payments.domain.bucket_settings import BucketSettings
from services.payments.domain.expressions import Path
from services.payments.domain.poll_settings import HttpPollSettings
from services.payments.domain.signature import parse_secret

TOLERANCE = 300  # seconds, either way, of the wall clock
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]{1,150}(:[0-9]{1,5})?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PIECES = re.compile(r"\{(body|timestamp|id)\}")


def _secret(value: object) -> str:
    parse_secret(value)
    return str(value)


def _network(value: object) -> str:
    try:
        return str(ipaddress.ip_network(str(value)))
    except ValueError:
        raise ValueError('must be an address or a network, such as "203.0.113.7" or "203.0.113.0/24"') from None


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError('must be the name of a header, such as "X-Signature"')
    return value.lower()


def _signed(value: str) -> str:
    if "{body}" not in value or "{" in _PIECES.sub("", value):
        raise ValueError('must hold {body}, and may hold {timestamp} and {id}, such as "{timestamp}.{body}"')
    return value


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError('must be an origin, such as "https://checkout.stripe.com"')
    return value


def _fingerprint(value: str) -> str:
    plain = value.replace(":", "").lower()
    if not _SHA256.fullmatch(plain):
        raise ValueError(
            "must be the SHA-256 fingerprint of a certificate: 64 hexadecimal digits, with or without colons"
        )
    return plain


def _authority(value: str) -> str:
    try:
        load_pem_x509_certificate(value.encode())
    except ValueError:
        raise ValueError('must be a certificate in PEM, "-----BEGIN CERTIFICATE-----" and so on') from None
    return value


Fingerprint = Annotated[str, Field(max_length=95), AfterValidator(_fingerprint)]
Authority = Annotated[str, Field(max_length=8192), AfterValidator(_authority)]
CreditorRef = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@~-]{1,128}$")]
Origin = Annotated[str, Field(max_length=200), AfterValidator(_origin)]
Text = Annotated[str, Field(min_length=8, max_length=512)]
Header = Annotated[str, AfterValidator(_header)]
StandardSecret = Annotated[str, BeforeValidator(_secret), Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class ClientCertificate(_Settings):
    """The sender's TLS certificate, as a trusted proxy reports it in `header`: one of these `fingerprints` (SHA-256), or
    one that one of the `authorities` (PEM) has signed for one of the `names` (DNS name, URI or common name)."""

    header: Literal["client-cert", "x-ssl-client-cert", "ssl-client-cert"] = "client-cert"
    fingerprints: Annotated[list[Fingerprint], Field(max_length=20)] = []
    authorities: Annotated[list[Authority], Field(max_length=5)] = []
    names: Annotated[list[Annotated[str, Field(min_length=1, max_length=253)]], Field(max_length=20)] = []

    @model_validator(mode="after")
    def _asks_for_something(self) -> "ClientCertificate":
        if bool(self.names) != bool(self.authorities):
            raise ValueError("'names' count in what one of the 'authorities' has signed: give both or neither")
        if not self.names and not self.fingerprints:
            raise ValueError("give 'fingerprints', or 'names' with their 'authorities'")
        return self


class Fees(_Settings):
    """What a bank may have kept of money that this source reports: an installment that lacks no more than `percent` of
    itself is paid and the rest written off, up to `most` for an invoice. `creditors`: only on their invoices; empty: on all."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    most: Annotated[Decimal, Field(gt=0, le=1_000_000, max_digits=12, decimal_places=4, examples=["5.00"])]
    percent: Annotated[Decimal, Field(gt=0, le=25, max_digits=6, decimal_places=4)] = Decimal(5)
    creditors: Annotated[list[CreditorRef], Field(max_length=100)] = []


class _Reporting(_Settings):
    """What tells of money, event by event."""

    fees: Annotated[list[Fees], Field(max_length=50)] = []


class _Webhook(_Reporting):
    """`allow`: only from these addresses, as seen behind the trusted proxies; empty: from anywhere. `client_certificate`:
    only from who holds such a one."""

    allow: Annotated[list[Annotated[str, BeforeValidator(_network)]], Field(max_length=100)] = []
    client_certificate: ClientCertificate | None = None


class StandardWebhookSettings(_Webhook):
    """Standard Webhooks. Several secrets are valid at the same time, so that one can be replaced without a loss."""

    kind: Literal["standard_webhook"]
    secrets: Annotated[list[StandardSecret], Field(min_length=1, max_length=10)]


class Checkout(_Settings):
    """The pay page's button opens a Stripe Checkout session for what is owed. `creditors`: only for their invoices;
    empty: for all. `page`: the origin of Stripe's page, where it is a domain of your own."""

    api_key: Annotated[str, Field(pattern=r"^(sk|rk)_[\x21-\x7e]{8,250}$", examples=["rk_live_51H..."])]
    creditors: Annotated[list[CreditorRef], Field(max_length=100)] = []
    page: Origin = "https://checkout.stripe.com"
    api: Origin = "https://api.stripe.com"


class StripeSettings(_Webhook):
    """Stripe's events; the secret is the endpoint's signing secret. With `checkout` the pay page's button leads to
    Stripe."""

    kind: Literal["stripe"]
    checkout: Checkout | None = None
    secrets: Annotated[
        list[Annotated[str, Field(pattern=r"^whsec_[\x21-\x7e]{8,200}$", examples=["whsec_8yJ0k5..."])]],
        Field(min_length=1, max_length=10),
    ]


class Signature(_Settings):
    """Where the signature is and what it signs. `secret`: how the secret's text becomes bytes. With a `timestamp_header`
    (Unix seconds or milliseconds) what is older than `tolerance` seconds is refused."""

    header: Header
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    encoding: Literal["hex", "base64", "base64url"] = "hex"
    prefix: Annotated[str, Field(max_length=40)] = ""
    secret: Literal["text", "hex", "base64"] = "text"
    signed: Annotated[str, Field(max_length=200), AfterValidator(_signed)] = "{body}"
    timestamp_header: Header | None = None
    id_header: Header | None = None
    tolerance: Annotated[int, Field(ge=1, le=3600)] = TOLERANCE

    @model_validator(mode="after")
    def _has_what_it_signs(self) -> "Signature":
        for name in ("timestamp", "id"):
            if f"{{{name}}}" in self.signed and getattr(self, f"{name}_header") is None:
                raise ValueError(f"'signed' holds {{{name}}}: '{name}_header' must say where it is")
        return self


class Mapping(_Settings):
    """JMESPath expressions over the body. Without `event_id` the signed `id_header`, else the body itself, tells two
    events apart."""

    status: Path
    payment_id: Path
    amount: Path
    currency: Path
    event_id: Path | None = None
    invoice_id: Path | None = None
    reference: Path | None = None
    paid_at: Path | None = None
    payer_name: Path | None = None
    payer_iban: Path | None = None


class HmacSettings(_Webhook):
    """Any gateway that signs a JSON body with an HMAC. `statuses`: its words for what happened; a word that is not there
    is acknowledged and ignored. `amount`: `decimal` (12.50) or `minor` units (1250)."""

    kind: Literal["hmac"]
    secrets: Annotated[list[Text], Field(min_length=1, max_length=10)]
    signature: Signature
    mapping: Mapping
    statuses: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=100)], Literal["confirmed", "pending", "failed", "reversed"]
        ],
        Field(min_length=1, max_length=50),
    ]
    amount: Literal["decimal", "minor"] = "decimal"
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", description="If the body does not say it")] | None = None

    @model_validator(mode="after")
    def _secrets_are_readable(self) -> "HmacSettings":
        for secret in self.secrets:
            if not secret_bytes(secret, self.signature.secret):  # blanks are hexadecimal, too
                raise ValueError("every secret must hold at least one byte, else everybody could sign")
        return self


class StatementSettings(_Reporting):
    """Bank statement files, sent to `POST /v1/statements?source=`, or picked up from a `bucket`."""

    kind: Literal["statement"]
    bucket: BucketSettings | None = None


SourceSettings = Annotated[
    StandardWebhookSettings | StripeSettings | HmacSettings | StatementSettings | HttpPollSettings,
    Field(discriminator="kind"),
]


def secret_bytes(text: str, encoding: str) -> bytes:
    """The key; ValueError says what it should be, and never repeats it."""
    try:
        match encoding:
            case "hex":
                return bytes.fromhex(text)
            case "base64":
                return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"every secret must be {encoding}, as 'signature.secret' says") from None
    return text.encode()
