"""What an operator sends about texts, and what comes back."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, Field

from services.dispatcher.domain.text_checks import Fault, example
from services.dispatcher.store.templates import Key, TextVersion
from shared.content import MessageFacts, TemplateSource
from shared.content.catalog import shipped, wording
from shared.content.pictures import NAME as PICTURE
from shared.kernel.errors import FieldError, Invalid
from shared.routing.channels import ChannelName
from shared.web.fields import Amount, Currency, IsoDate, Language, PositiveAmount
from shared.web.strict import StrictModel

NAME = r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$"
Words = Annotated[str, Field(max_length=100_000)]
Short = Annotated[str, Field(max_length=300)]


class TemplateIn(StrictModel):
    """`{{ name }}` is filled for each message; the names are in the preview's answer to a wrong one. An email shows
    `html`, or `mjml`, which is compiled when it is saved; every channel needs `text`. `<img src="cid:NAME" alt="...">`
    shows a picture of `/v1/pictures`; `cid:logo` that of the creditor, `cid:payment-code` what a banking app scans."""

    subject: Annotated[str, Field(max_length=2_000, examples=["Invoice {{ invoice_number }} is still open"])] = ""
    text: Annotated[Words, Field(examples=["Dear {{ customer_name }}, {{ open_amount }} is open: {{ pay_url }}"])]
    html: Words | None = None
    mjml: Words | None = None

    def written(self) -> dict[str, Any]:
        return {name: text for name, text in (("html", self.html), ("mjml", self.mjml)) if text is not None}


class TemplateOut(BaseModel):
    """A version never changes. Version 0 is the text that is built in. `wording`: what an attempt says that it was made of."""

    name: str
    channel: str
    locale: str
    version: int
    wording: str = Field(examples=["overdue/email/pt@3"])
    built_in: bool
    withdrawn: bool = Field(description="true: this version took the text out of use")
    subject: str
    text: str
    html: str | None = Field(description="as it was written; null where it was MJML or nothing")
    mjml: str | None
    compiled_html: str | None = Field(description="what is filled in and sent")
    created_at: datetime | None


class ExampleIn(StrictModel):
    """What differs from the example customer, who owes 12,345.67 EUR of 12,500.00 and is three days late."""

    creditor_name: Short | None = None
    customer_name: Short | None = None
    invoice_number: Short | None = None
    currency: Currency | None = None
    amount: PositiveAmount | None = None
    open_amount: Amount | None = None
    issue_date: IsoDate | None = None
    due_date: IsoDate | None = None
    days_past_due: Annotated[int, Field(ge=-3660, le=3660)] | None = None
    installment_no: Annotated[int, Field(ge=1, le=1000)] | None = None
    installment_count: Annotated[int, Field(ge=1, le=1000)] | None = None
    fallback_from: ChannelName | None = None
    attributes: dict[str, Any] | None = None
    logo: Annotated[
        str | None, Field(pattern=f"^{PICTURE}$", description="a picture; else the logo of the creditor `default`")
    ] = None


class PreviewIn(StrictModel):
    name: Annotated[str, Field(pattern=NAME, examples=["overdue"])]
    channel: ChannelName
    locale: Language
    template: TemplateIn | None = None
    data: ExampleIn = ExampleIn()


class PreviewOut(BaseModel):
    subject: str
    text: str
    html: str | None = Field(description="with its pictures in it (data:), which mail programs would not show so")
    pictures: list[str] = Field(description="the files that a mail would carry")
    segments: int | None = Field(description="how many texts an SMS is billed as")


def example_of(body: PreviewIn, locale: str, logo: str | None) -> MessageFacts:
    said: dict[str, Any] = {name: value for name, value in body.data if value is not None}
    if "amount" in said and "open_amount" not in said:
        said["open_amount"] = said["amount"]
    if said.get("open_amount", Decimal(0)) > said.get("amount", example(locale).amount):
        said["amount"] = said["open_amount"]
    return replace(example(locale), **{**said, "logo": logo})


def template_out(version: TextVersion) -> TemplateOut:
    return TemplateOut(
        name=version.key.name,
        channel=version.key.channel,
        locale=version.key.locale,
        version=version.version,
        wording=wording(version.key.name, version.key.channel, version.key.locale, version.version),
        built_in=False,
        withdrawn=version.withdrawn,
        subject=version.text.subject,
        text=version.text.text,
        html=version.source.get("html"),
        mjml=version.source.get("mjml"),
        compiled_html=version.text.html,
        created_at=version.created_at,
    )


def built_in_out(key: Key, source: TemplateSource) -> TemplateOut:
    return TemplateOut(
        name=key.name,
        channel=key.channel,
        locale=key.locale,
        version=0,
        wording=wording(key.name, key.channel, key.locale, shipped(source)),
        built_in=True,
        withdrawn=False,
        subject=source.subject,
        text=source.text,
        html=source.html,
        mjml=None,
        compiled_html=source.html,
        created_at=None,
    )


def refused(faults: list[Fault], root: str = "") -> Invalid:
    """All of them, each at its field."""
    errors = tuple(FieldError(f"{root}/{fault.part}", fault.detail) for fault in faults[:50])
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Invalid(f"{errors[0].pointer}: {errors[0].detail}{more}", errors=errors)
