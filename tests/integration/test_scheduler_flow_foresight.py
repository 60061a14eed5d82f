"""Flows shown before they are used: on an example, and on the invoices that there are. Nothing of it is stored."""

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.scheduler.api.flow_dry_run import EXAMPLE as DRY_RUN
from services.scheduler.api.flow_preview_body import EXAMPLE as PREVIEW
from tests import factories
from tests.doubles.pictures import png
from tests.integration.scheduler_app import Scheduler, scheduler

COUNTS = """
SELECT (SELECT count(*) FROM invoice) + (SELECT count(*) FROM customer) + (SELECT count(*) FROM reminder)
     + (SELECT count(*) FROM event)
"""
AT = "2026-12-07T11:00:00Z"


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with scheduler(database_dsn, tmp_path) as running:
        await running.value(
            "INSERT INTO channel (name, reaches) VALUES ('email', 'email'), ('sms', 'phone') RETURNING name"
        )
        await running.value(
            "INSERT INTO provider (channel, name, own_price) VALUES ('email', 'smtp', 0.001), ('sms', 'twilio', 0.05) RETURNING name"
        )
        yield running


async def ask(app: Scheduler, what: str, **body: Any) -> dict[str, Any]:
    answer = await app.http.post(f"/v1/flows/{what}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_preview_is_dated_costed_and_written_and_nothing_of_it_is_stored(app: Scheduler):
    before = await app.value(COUNTS)
    body = await ask(app, "preview", **PREVIEW, at=AT)

    rows = {(row["step"], row["occurrence"]): row for row in body["plan"]}
    upcoming = rows["upcoming", 1]
    assert (upcoming["due_at"], upcoming["local"], upcoming["weekday"]) == (
        "2026-12-16T08:00:00Z", "2026-12-16T09:00:00+01:00", "Wednesday",
    )  # fmt: skip
    assert [(way["channel"], way["address_masked"], way["provider"], way["cost"]) for way in upcoming["channels"]] == [
        ("email", "a***@example.com", "smtp", "0.001"), ("sms", "+3*****1222", "twilio", "0.05"),
    ]  # fmt: skip
    assert upcoming["left_out"] == [{"channel": "push", "reason": "no provider"}]
    assert upcoming["text"]["subject"] == "La factura EXAMPLE-1 vence el 21 de diciembre de 2026"
    assert "1.250,00\xa0€" in upcoming["text"]["text"].replace(" €", "\xa0€")
    assert rows["delinquent", 1]["reason"] == "no_provider"
    assert rows["delinquent.then", 1]["reason"] == "parent_did_not_go"
    assert rows["delinquent", 1]["condition"] == {"holds": True, "detail": "invoice.open_amount > 20.0: true"}
    assert (rows["thank-you", 1]["due_at"], rows["thank-you", 1]["waits_for"]) == (None, "payment")
    assert (body["cost"], body["timezone"], body["backlog"]) == ("0.004", "Europe/Madrid", False)
    assert await app.value(COUNTS) == before


async def test_a_flow_that_is_sent_along_is_verified_and_shown(app: Scheduler):
    step = {
        "id": "loud",
        "when": {"business_days": 3, "after": "due"},
        "message": "overdue",
        "broadcast": ["email", "sms"],
    }
    acts = [
        {"id": "call", "when": {"days": 20, "after": "due"}, "escalate": {"to": "sales"}},
        {"id": "end", "when": {"days": 30, "after": "due"}, "stop": True},
    ]
    body = await ask(app, "preview", **{**PREVIEW, "flow": {"steps": [step, *acts]}}, at=AT)

    assert [(row["step"], row["local"][:16], row["does"]) for row in body["plan"]] == [
        ("loud.email", "2026-12-24T09:00", "message"),
        ("loud.sms", "2026-12-24T09:00", "message"),
        ("call", "2027-01-10T09:00", "escalate"),
        ("end", "2027-01-20T09:00", "stop"),
    ]
    assert body["plan"][1]["text"]["text"].startswith("Your company: ")
    assert "nobody-is-thanked" in [one["kind"] for one in body["warnings"]]


async def test_what_a_customer_owes_rides_on_one_message_and_a_cap_moves_what_is_too_much(app: Scheduler):
    step = {"id": "due", "when": {"on": "due"}, "message": "due-today", "channels": ["email"], "group": "customer"}
    later = {"id": "overdue", "when": {"days": 1, "after": "due"}, "message": "overdue", "channels": ["email"]}
    window = {"from": "08:00", "to": "19:00"}
    flow = {"steps": [step, later], "caps": {"per_day": 1}, "contact_window": window}
    owed = PREVIEW["invoice"]
    also = [{**owed, "amount": "50.00"}, {**owed, "due_date": "2026-12-20", "invoice_id": "late", "number": "LATE"}]

    body = await ask(app, "preview", **{**PREVIEW, "flow": flow, "also": also}, at=AT)

    due = [
        (row["invoice_id"], row["step"], (row["local"] or "")[:16], row["moved"], row["rides_on"])
        for row in body["plan"]
    ]
    assert due == [
        ("late", "due", "2026-12-20T09:00", None, None),
        ("example", "due", "2026-12-21T09:00", None, None),
        ("also-1", "due", "2026-12-21T09:00", None, {"invoice_id": "example", "step": "due"}),
        ("late", "overdue", "2026-12-22T08:00", "cap", None),
        ("example", "overdue", "2026-12-23T08:00", "cap", None),
        ("also-1", "overdue", "2026-12-24T08:00", "cap", None),
    ]
    spoken = {(row["invoice_id"], row["step"]): row["text"] for row in body["plan"]}
    assert spoken["also-1", "due"] is None
    assert "ALSO-1" in spoken["example", "due"]["text"]
    assert "ALSO-1" not in spoken["example", "overdue"]["text"]
    assert body["cost"] == "0.005"


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"flow": "nobody"}, ["/flow"]),
        ({"flow": {"steps": []}}, ["/flow/steps"]),
        ({"flow": {"steps": [{"id": "a", "when": {"on": "due"}, "message": "x", "channels": ["email"]}]}},
         ["/flow/steps/0/message"]),
        ({"invoice": {"issue_date": "2026-12-07", "due_date": "2026-12-01", "currency": "EUR", "amount": "1"}},
         ["/invoice/due_date"]),
        ({"customer": {"contact_points": [{"kind": "email", "address": "nothing"}]}}, ["/customer/contact_points/0/address"]),
        ({"invoice": {**PREVIEW["invoice"], "creditor_id": "nobody"}}, ["/invoice/creditor_id"]),
        ({"days": 0}, ["/days"]),
        ({"at": "9999-12-31T00:00:00Z"}, ["/at"]),
        ({"at": "0001-01-01T00:00:00Z"}, ["/at"]),
        ({"also": [{**PREVIEW["invoice"], "amount": "0"}]}, ["/also/0/amount"]),
        ({"also": [{**PREVIEW["invoice"], "customer_id": "C-1"}]}, ["/also/0/customer_id"]),
        ({"also": [{**PREVIEW["invoice"], "creditor_id": "nobody"}]}, ["/also/0/creditor_id"]),
    ],
)  # fmt: skip
async def test_an_example_that_cannot_be_is_refused_with_its_places(
    app: Scheduler, changes: dict[str, Any], pointers: list[str]
):
    answer = await app.http.post("/v1/flows/preview", json={**PREVIEW, **changes})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers


async def test_a_dry_run_counts_what_the_invoices_there_are_would_get(app: Scheduler):
    today = await app.value("SELECT (business_now() AT TIME ZONE 'Europe/Madrid')::date")
    for number, (days, contact) in enumerate([(40, ...), (40, ...), (40, [])], start=1):
        due = await app.value("SELECT $1::date + $2::int", today, days)
        customer = {"customer_id": f"C-{number}", "name": "Ana", "timezone": "Europe/Madrid", "contact_points": contact}
        if contact is ...:
            customer["contact_points"] = [{"kind": "email", "address": "ana@example.com"}]
        await app.accept(
            invoice_id=f"INV-{number}", issue_date=today.isoformat(), due_date=due.isoformat(), customer=customer
        )
    step = {"id": "a", "when": {"on": "due"}, "message": "due-today", "channels": ["email", "sms"]}
    flow = {"steps": [step, {**step, "id": "b", "when": {"days": 200, "after": "due"}}]}
    before = await app.value(COUNTS)

    body = await ask(app, "dry-run", flow=flow, days=90)

    due = await app.value("SELECT $1::date + 40", today)
    assert (body["invoices"], body["messages"], body["cost"], body["escalations"]) == (3, 2, "0.002", 0)
    assert body["sends"] == [{"date": due.isoformat(), "channel": "email", "messages": 2, "cost": "0.002"}]
    assert body["skipped"] == [{"step": "a", "reason": "no_usable_contact", "reminders": 1}]
    assert await app.value(COUNTS) == before
    assert (await ask(app, "dry-run", flow=flow, days=90, following="gentle"))["invoices"] == 0


async def test_a_dry_run_does_not_send_again_what_an_invoice_got(app: Scheduler):
    today = await app.value("SELECT (business_now() AT TIME ZONE 'Europe/Madrid')::date")
    due = await app.value("SELECT $1::date + 40", today)
    await app.accept(issue_date=today.isoformat(), due_date=due.isoformat())
    await app.fetch("UPDATE reminder SET state = 'accepted', fence = 1 WHERE step IN ('upcoming', 'deliver-invoice')")

    body = await ask(app, "dry-run", flow="standard", days=44)

    assert [(one["channel"], one["messages"]) for one in body["sends"]] == [("email", 1), ("email", 1)]
    await app.fetch("UPDATE reminder SET fence = 0, state = 'pending' WHERE step = 'upcoming'")
    assert (await ask(app, "dry-run", **DRY_RUN))["messages"] == 0
    assert (await ask(app, "dry-run", flow="standard", days=44))["messages"] == 3


async def test_a_preview_has_the_pictures_that_its_mails_show_each_once(app: Scheduler):
    banner, logo = png(2, 2), png(3, 3)
    async with app.owner.connection() as owner:
        for name, content in (("banner", banner), ("acme", logo), ("other", png(4, 4))):
            await factories.picture(owner, name, content)
        await owner.execute("UPDATE creditor SET logo = 'acme' WHERE ref = 'default'")
        await owner.execute(
            "INSERT INTO template_version (name, channel, locale, version, subject, body, html) VALUES ('upcoming', 'email', 'es', 1,"
            """ 's', 't', '<img src="cid:banner" alt="x">')"""
        )
    body = await ask(app, "preview", **PREVIEW, at=AT)

    html = {row["step"]: row["text"]["html"] for row in body["plan"] if row["text"] and row["text"]["html"]}
    shown = {name: re.findall(r'src="(cid:[^"]*)"', page) for name, page in html.items()}
    assert len(shown) > 3
    assert all(len(sources) == 1 for sources in shown.values())
    assert set(body["pictures"]) == {source for sources in shown.values() for source in sources}
    assert body["pictures"][shown["upcoming"][0]] == f"data:image/png;base64,{b64encode(banner).decode()}"
    assert body["pictures"][shown["due-today"][0]] == f"data:image/png;base64,{b64encode(logo).decode()}"
