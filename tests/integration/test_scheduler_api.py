"""The rest of the scheduler's API: parties, keys, changes, stops, documents, flows, lists."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.flow import read_yaml, standard
from shared.web.paging import encode
from tests import factories
from tests.doubles.pictures import png
from tests.integration.scheduler_app import CUSTOMER, Scheduler, scheduler

PROFILE = {name: value for name, value in CUSTOMER.items() if name != "customer_id"}
PDF = b"%PDF-1.7 an invoice"


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with scheduler(database_dsn, tmp_path) as running:
        yield running


async def key(app: Scheduler, *scopes: str) -> dict[str, str]:
    answer = await app.http.post("/v1/api-keys", json={"name": "a key", "scopes": list(scopes)})
    return {"Authorization": f"Bearer {answer.json()['key']}"}


async def timeline(app: Scheduler) -> list[tuple[str, str]]:
    answer = await app.http.get("/v1/invoices/INV-1/timeline")
    return [(item["kind"], item["text"]) for item in answer.json()["items"]]


def states(body: dict[str, Any], step: str) -> list[str]:
    return [row["state"] for row in body["reminders"] if row["step"] == step]


# --- keys ----------------------------------------------------------------------------------------------------------


async def test_a_key_works_within_its_scopes_until_it_is_revoked(app: Scheduler):
    made = (await app.http.post("/v1/api-keys", json={"name": "ERP", "scopes": ["invoices:read"]})).json()
    headers = {"Authorization": f"Bearer {made['key']}"}

    assert (await app.http.get("/v1/invoices", headers=headers)).status_code == 200
    refused = await app.http.put("/v1/customers/C-1", json=PROFILE, headers=headers)
    assert refused.status_code == 403
    assert "invoices:write" in refused.json()["detail"]

    assert (await app.http.delete(f"/v1/api-keys/{made['key_id']}")).status_code == 204
    assert (await app.http.delete(f"/v1/api-keys/{made['key_id']}")).status_code == 204
    assert (await app.http.get("/v1/invoices", headers=headers)).status_code == 401
    assert (await app.http.get("/v1/invoices", headers={"Authorization": ""})).status_code == 401
    assert (await app.http.delete("/v1/api-keys/999")).status_code == 404


async def test_a_key_is_shown_once_and_stored_as_a_hash(app: Scheduler):
    body, headers = {"name": "ERP", "scopes": ["operate"]}, {"Idempotency-Key": "k"}
    made = (await app.http.post("/v1/api-keys", json=body, headers=headers)).json()
    again = (await app.http.post("/v1/api-keys", json=body, headers=headers)).json()

    assert again == {**made, "key": None}
    assert [item["key"] for item in (await app.http.get("/v1/api-keys")).json()["items"]] == [None]
    found = await app.fetch("SELECT row_to_json(k)::text AS k, row_to_json(i)::text AS i FROM api_key k, idempotency i")
    assert made["key"] not in found[0]["k"] + found[0]["i"]


async def test_nobody_gives_away_scopes_that_they_lack(app: Scheduler):
    headers = await key(app, "keys:write")

    answer = await app.http.post("/v1/api-keys", json={"name": "x", "scopes": ["operate"]}, headers=headers)

    assert (answer.status_code, "the scope 'operate'," in answer.json()["detail"]) == (403, True)
    unknown = await app.http.post("/v1/api-keys", json={"name": "x", "scopes": ["everything"]})
    assert unknown.status_code == 422


# --- parties -------------------------------------------------------------------------------------------------------


async def test_a_customer_is_made_replaced_read_and_listed(app: Scheduler):
    assert (await app.http.put("/v1/customers/C-1", json=PROFILE)).status_code == 201
    again = await app.http.put("/v1/customers/C-1", json={"name": "Ana G.", "contact_points": []})
    assert again.status_code == 200
    assert again.json()["contact_points"] == []
    await app.http.put("/v1/customers/C-2", json=PROFILE)

    assert (await app.http.get("/v1/customers/C-1")).json()["name"] == "Ana G."
    first = (await app.http.get("/v1/customers", params={"limit": 1})).json()
    second = (await app.http.get("/v1/customers", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert [item["customer_id"] for item in first["items"] + second["items"]] == ["C-1", "C-2"]
    assert (await app.http.get("/v1/customers/C-9")).status_code == 404
    assert (await app.http.put("/v1/customers/C-1", json={"name": "x", "locale": "klingonese!"})).status_code == 422


async def test_a_creditor_is_made_replaced_and_used(app: Scheduler):
    body = {"name": "Acme", "email_from": "billing@acme.example", "iban": "DE89 3704 0044 0532 0130 00", "bic": "COBADEFFXXX",
            "timezone": "Europe/Berlin", "country": "DE", "locale": "de"}  # fmt: skip
    made = await app.http.put("/v1/creditors/acme", json=body)

    assert made.status_code == 201
    assert made.json()["iban"] == "DE89370400440532013000"
    assert (await app.accept(creditor_id="acme"))["creditor_id"] == "acme"
    listed = (await app.http.get("/v1/creditors")).json()["items"]
    assert [item["creditor_id"] for item in listed] == ["acme", "default"]
    for wrong, pointer in (
        ({"iban": "DE00370400440532013000"}, "/iban"),
        ({"bic": "x"}, "/bic"),
        ({"email_from": "a\r\n@b"}, "/email_from"),
        ({"sms_from": "a name too long"}, "/sms_from"),
        ({"logo_url": "file:///etc/passwd"}, "/logo_url"),
        ({"logo_url": "https://["}, "/logo_url"),
        ({"logo": "nothing-of-this-name"}, "/logo"),
        ({"logo": "../etc"}, "/logo"),
    ):
        answer = await app.http.put("/v1/creditors/acme", json={**body, **wrong})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_a_creditors_logo_is_a_picture_that_there_is(app: Scheduler):
    body = {"name": "Acme", "logo": "acme"}
    missing = await app.http.put("/v1/creditors/acme", json=body)
    assert missing.json()["errors"] == [
        {"pointer": "/logo", "detail": "there is no picture 'acme': PUT /v1/pictures/acme first"}
    ]
    async with app.owner.connection() as owner:
        await factories.picture(owner, "acme", png())
    assert (await app.http.put("/v1/creditors/acme", json=body)).json()["logo"] == "acme"
    assert (await app.http.get("/v1/creditors/acme")).json()["logo"] == "acme"
    async with app.owner.connection() as owner:
        await factories.picture(owner, "acme", png(), version=2, withdrawn=True)
    assert (await app.http.put("/v1/creditors/acme", json=body)).status_code == 422
    assert (await app.http.put("/v1/creditors/acme", json={"name": "Acme"})).json()["logo"] is None


# --- changes -------------------------------------------------------------------------------------------------------


async def test_a_later_due_date_moves_what_has_not_gone_out(app: Scheduler):
    await app.accept(due_date="2030-03-15")

    answer = await app.http.patch("/v1/invoices/INV-1", json={"due_date": "2030-06-14", "amount": "900.00"})

    body = answer.json()
    assert answer.status_code == 200
    assert (body["due_date"], body["open_amount"]) == ("2030-06-14", "900.00")
    live = {row["step"]: row["due_at"] for row in body["reminders"] if row["state"] == "pending"}
    assert live["due-today"] == "2030-06-14T07:00:00Z"
    assert states(body, "due-today") == ["cancelled", "pending"]
    assert ("invoice.changed", "The invoice was changed: due date 2030-06-14, amount 900.00.") in await timeline(app)


async def test_the_same_values_again_change_nothing(app: Scheduler):
    await app.accept()
    before = await app.value("SELECT array_agg(id ORDER BY id) FROM reminder")

    assert (await app.http.patch("/v1/invoices/INV-1", json={"due_date": "2030-03-15"})).status_code == 200

    assert await app.value("SELECT array_agg(id ORDER BY id) FROM reminder") == before


async def test_an_amount_below_what_was_paid_is_refused_and_exactly_that_settles(app: Scheduler):
    await app.accept()
    await app.fetch("UPDATE installment SET allocated = 200")

    refused = await app.http.patch("/v1/invoices/INV-1", json={"amount": "199.99"})
    settled = await app.http.patch("/v1/invoices/INV-1", json={"amount": "200.00"})

    assert refused.status_code == 422
    assert "200.00 EUR" in refused.json()["errors"][0]["detail"]
    assert (settled.json()["status"], settled.json()["open_amount"]) == ("paid", "0.00")
    assert states(settled.json(), "due-today") == ["cancelled"]
    raised = await app.http.patch("/v1/invoices/INV-1", json={"amount": "300.00"})
    assert raised.json()["status"] == "open"
    assert states(raised.json(), "due-today")[-1] == "pending"


async def test_one_installment_is_changed_by_its_number(app: Scheduler):
    parts = [{"due_date": "2030-03-15", "amount": "500.00"}, {"due_date": "2030-05-15", "amount": "750.00"}]
    await app.accept(due_date=..., amount=..., installments=parts)

    body = (
        await app.http.patch("/v1/invoices/INV-1", json={"installments": [{"no": 2, "due_date": "2030-07-15"}]})
    ).json()

    assert [part["due_date"] for part in body["installments"]] == ["2030-03-15", "2030-07-15"]
    for wrong, pointer in (
        ({"amount": "3.00"}, "/installments"),
        ({"installments": [{"no": 3, "amount": "1.00"}]}, "/installments/0/no"),
        ({"installments": [{"no": 1, "due_date": "2020-01-01"}]}, "/installments/0/due_date"),
        ({"flow": "nobody"}, "/flow"),
        ({}, ""),
        ({"number": "x"}, "/number"),
    ):
        answer = await app.http.patch("/v1/invoices/INV-1", json=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), wrong


async def test_another_flow_plans_its_own_steps(app: Scheduler):
    await app.accept()
    short = {
        "steps": [{"id": "only", "when": {"days": 1, "after": "due"}, "message": "overdue", "channels": ["email"]}]
    }
    assert (await app.http.put("/v1/flows/short", json=short)).status_code == 201

    body = (await app.http.patch("/v1/invoices/INV-1", json={"flow": "short"})).json()

    assert (body["flow"], body["flow_version"]) == ("short", 1)
    assert [row["step"] for row in body["reminders"] if row["state"] in ("pending", "waiting")] == ["only"]


async def test_a_new_contact_takes_the_old_ones_place(app: Scheduler):
    await app.accept()
    points = [{"kind": "email", "address": "new@example.com"}]

    assert (await app.http.patch("/v1/invoices/INV-1", json={"contact_points": points})).status_code == 200

    found = (await app.http.get("/v1/customers/C-1")).json()["contact_points"]
    assert [point["address"] for point in found] == ["new@example.com"]


# --- stops ---------------------------------------------------------------------------------------------------------


async def test_void_cancels_everything_for_good_and_again_is_the_same(app: Scheduler):
    await app.accept()

    first = await app.http.post("/v1/invoices/INV-1/void")
    again = await app.http.post("/v1/invoices/INV-1/void")

    assert first.json()["status"] == again.json()["status"] == "void"
    assert {row["state"] for row in first.json()["reminders"]} <= {"cancelled", "queued"}
    assert (await app.http.post("/v1/invoices/INV-1/uncollectible")).status_code == 409
    assert (await app.http.patch("/v1/invoices/INV-1", json={"amount": "1.00"})).status_code == 409
    assert (await app.http.post("/v1/invoices/INV-1/hold", json={"reason": "x"})).status_code == 409
    assert (await app.http.post("/v1/invoices/nobody/void")).status_code == 404


async def test_a_hold_is_answered_only_after_the_barrier(app: Scheduler):
    body = await app.accept()
    await app.fetch(
        "INSERT INTO attempt (reminder_id, fence, invoice_id, channel, contact_point_id, provider, state, lease) "
        "SELECT $1, 1, r.invoice_id, 'email', (SELECT min(id) FROM contact_point), 'smtp', 'started', now() + interval '1 h' "
        "FROM reminder r WHERE r.id = $1",
        body["reminders"][1]["reminder_id"],
    )

    began = time.monotonic()
    answer = await app.http.post("/v1/invoices/INV-1/hold", json={"reason": "the customer asked"})

    assert answer.status_code == 200
    assert time.monotonic() - began > 0.15  # the window of this test is 0.2 s
    assert (await app.read())["hold"]["reason"] == "the customer asked"


async def test_holds_promises_and_disputes_are_moved_not_doubled_and_end_together(app: Scheduler):
    await app.accept()
    for reason in ("first", "second"):
        await app.http.post("/v1/invoices/INV-1/hold", json={"reason": reason})
    promise = await app.http.post("/v1/invoices/INV-1/promise", json={"date": "2027-01-15", "amount": "100.00"})
    dispute = await app.http.post("/v1/invoices/INV-1/dispute", json={"reason": "goods not received"})

    assert promise.json()["until"] == "2027-01-15T23:00:00Z"  # the end of the day in Madrid
    assert promise.json()["amount"] == "100.00"
    assert dispute.json()["kind"] == "dispute"
    kinds = [(item["kind"], item["reason"]) for item in (await app.http.get("/v1/holds")).json()["items"]]
    assert kinds == [("hold", "second"), ("promise", "promise to pay"), ("dispute", "goods not received")]

    assert (await app.http.post("/v1/invoices/INV-1/resume")).json() == {"released": 3}
    assert (await app.http.post("/v1/invoices/INV-1/resume")).json() == {"released": 0}
    assert (await app.read())["hold"] is None
    for path, wrong in (
        ("hold", {"reason": "x", "until": "2020-01-01T00:00:00Z"}),
        ("hold", {}),
        ("promise", {"date": "2020-01-01"}),
        ("promise", {"date": "2027-01-15", "amount": "1.001"}),
        ("promise", {}),
        ("promise", {"date": "2027-01-15", "dates": [{"date": "2027-01-15"}]}),
        ("promise", {"dates": [{"date": "2027-01-15"}, {"date": "2027-01-20"}]}),
        ("promise", {"dates": [{"date": "2027-01-20", "amount": "1.00"}, {"date": "2027-01-15"}]}),
        ("promise", {"dates": [{"date": f"2027-01-{day}", "amount": "1.00"} for day in range(10, 23)]}),
        ("dispute", {"reason": ""}),
    ):
        assert (await app.http.post(f"/v1/invoices/INV-1/{path}", json=wrong)).status_code == 422


async def test_an_invoice_shows_its_promises_and_all_that_holds_it(app: Scheduler):
    await app.accept()
    for date, amount in (("2027-01-15", "100.00"), ("2027-01-20", None)):
        await app.http.post("/v1/invoices/INV-1/promise", json={"date": date, "amount": amount})
    await app.http.post("/v1/holds", json={"reason": "the printer burns", "until": "2027-06-01T12:00:00Z"})

    shown = await app.read()
    told = [(one["date"], one["amount"], one["state"], one["said_by"]) for one in shown["promises"]]
    assert told == [("2027-01-15", "100.00", "dropped", "clerk"), ("2027-01-20", None, "open", "clerk")]
    assert [(one["kind"], one["scope"]) for one in shown["holds"]] == [("hold", "everything"), ("promise", "invoice")]
    assert shown["hold"] == shown["holds"][0]


async def test_a_promise_may_name_several_days_and_holds_to_the_last(app: Scheduler):
    await app.accept()
    days = [{"date": "2027-01-15", "amount": "100.00"}, {"date": "2027-02-15"}]
    answer = await app.http.post("/v1/invoices/INV-1/promise", json={"dates": days})

    assert (answer.status_code, answer.json()["until"], answer.json()["amount"]) == (200, "2027-02-15T23:00:00Z", None)
    leaves = "SELECT array_agg(leaves ORDER BY until) FROM promise WHERE state = 'open'"
    assert await app.value(leaves) == [Decimal(1150), Decimal(0)]
    wrong = await app.http.post("/v1/invoices/INV-1/promise", json={"dates": [*reversed(days)]})
    assert wrong.json()["errors"] == [
        {"pointer": "/dates/0/amount", "detail": "is required for all dates but the last"}
    ]
    await app.http.post("/v1/invoices/INV-1/resume")
    assert await app.value("SELECT array_agg(DISTINCT state) FROM promise") == ["dropped"]


async def test_a_customer_and_everything_can_be_held_and_resumed(app: Scheduler):
    await app.accept()
    await app.http.post("/v1/customers/C-1/hold", json={"reason": "in talks", "until": "2031-01-01T00:00:00Z"})
    assert (await app.read())["hold"]["reason"] == "in talks"
    assert (await app.http.post("/v1/customers/C-1/resume")).json() == {"released": 1}

    everything = (await app.http.post("/v1/holds", json={"reason": "strike"})).json()
    assert everything["invoice_id"] is everything["customer_id"] is None
    assert (await app.read())["hold"]["hold_id"] == everything["hold_id"]
    assert (await app.http.delete(f"/v1/holds/{everything['hold_id']}")).status_code == 204
    assert (await app.read())["hold"] is None
    assert (await app.http.delete("/v1/holds/999")).status_code == 404
    assert (await app.http.post("/v1/customers/nobody/hold", json={"reason": "x"})).status_code == 404


async def test_an_idempotent_hold_is_not_placed_again_after_it_was_resumed(app: Scheduler):
    await app.accept()
    headers = {"Idempotency-Key": "h"}
    first = await app.http.post("/v1/invoices/INV-1/hold", json={"reason": "x"}, headers=headers)
    await app.http.post("/v1/invoices/INV-1/resume")

    again = await app.http.post("/v1/invoices/INV-1/hold", json={"reason": "x"}, headers=headers)

    assert again.json() == first.json()
    assert (await app.read())["hold"] is None


# --- documents -----------------------------------------------------------------------------------------------------


async def test_a_document_is_put_replaced_and_downloaded_until_it_was_delivered(app: Scheduler):
    await app.http.post("/v1/holds", json={"reason": "nothing goes out in this test"})
    await app.accept()
    assert (await app.http.get("/v1/invoices/INV-1/document")).status_code == 404

    put = await app.http.put(
        "/v1/invoices/INV-1/document",
        content=PDF,
        headers={"content-type": "application/pdf"},
        params={"filename": "a.pdf"},
    )
    assert put.json() == {"filename": "a.pdf", "media_type": "application/pdf", "size": len(PDF)}
    form = await app.http.put(
        "/v1/invoices/INV-1/document", files={"file": ("../b\r\n.pdf", PDF + b"2", "application/pdf")}
    )
    assert form.status_code == 200, form.text
    got = await app.http.get("/v1/invoices/INV-1/document")
    assert (got.content, got.headers["content-type"]) == (PDF + b"2", "application/pdf")
    assert got.headers["content-disposition"].startswith("attachment;")
    assert "/" not in form.json()["filename"]
    assert "\n" not in form.json()["filename"]

    await app.fetch(
        "UPDATE reminder SET state = 'accepted', fence = 1, due_at = now(), reason = NULL WHERE anchor = 'issue'"
    )
    late = await app.http.put(
        "/v1/invoices/INV-1/document", content=b"other", headers={"content-type": "application/pdf"}
    )
    assert late.status_code == 409


async def test_a_document_that_cannot_be_is_refused(app: Scheduler):
    await app.accept()
    url, pdf = "/v1/invoices/INV-1/document", {"content-type": "application/pdf"}

    assert (await app.http.put(url, content=b"", headers=pdf)).status_code == 422
    assert (await app.http.put(url, content=b"x", headers={"content-type": "nonsense"})).status_code == 422
    assert (await app.http.put(url, content=b"x" * (20 * 1024 * 1024 + 1), headers=pdf)).status_code == 413
    assert (await app.http.put(url, data={"other": "field"}, files={"x": b"y"})).status_code == 400
    assert (await app.http.put("/v1/invoices/nobody/document", content=PDF, headers=pdf)).status_code == 404


# --- flows ---------------------------------------------------------------------------------------------------------


async def test_flows_are_kept_in_versions_that_invoices_stay_on(app: Scheduler):
    text = "name: kind\nsteps:\n  - {id: a, when: {on: due}, message: due-today, channels: [email]}\n"
    yaml = {"content-type": "application/yaml"}
    first = await app.http.put("/v1/flows/kind", content=text.encode(), headers=yaml)
    await app.accept(flow="kind")
    same = await app.http.put("/v1/flows/kind", json=first.json()["flow"])
    second = await app.http.put("/v1/flows/kind", content=text.replace("id: a", "id: b").encode(), headers=yaml)

    assert [first.status_code, same.status_code, second.status_code] == [201, 200, 201]
    assert [first.json()["version"], same.json()["version"], second.json()["version"]] == [1, 1, 2]
    assert (await app.read())["flow_version"] == 1
    assert (await app.accept(invoice_id="INV-2", flow="kind"))["flow_version"] == 2
    versions = (await app.http.get("/v1/flows/kind/versions")).json()["items"]
    assert [item["version"] for item in versions] == [2, 1]
    beyond = await app.http.get("/v1/flows/kind/versions", params={"cursor": encode((2**40,))})
    assert [item["version"] for item in beyond.json()["items"]] == [2, 1]
    assert [item["name"] for item in (await app.http.get("/v1/flows")).json()["items"]] == [
        "gentle",
        "kind",
        "standard",
        "strict",
    ]
    assert (await app.http.get("/v1/flows/standard")).json()["flow"] == standard().to_dict()
    assert (await app.http.get("/v1/flows/nobody")).status_code == 404


async def test_a_faulty_flow_is_refused_whole_with_all_its_faults(app: Scheduler):
    step = {"id": "a", "when": {"on": "due"}, "message": "due-today", "channels": ["email"]}
    for body, pointers in (
        ({"steps": [step, step]}, ["/steps/1/id"]),
        ({"steps": [{**step, "requires_open": False}, {**step, "id": "b", "message": "nowhere"}]},
         ["/steps/0/requires_open", "/steps/1/message"]),
        ({"steps": [{**step, "channels": ["pigeon"]}, {**step, "id": "b", "only_if": "1 +"}]},
         ["/steps/0/channels/0", "/steps/1/only_if"]),
        ({"start": "never", "steps": [{**step, "channels": ["pigeon"]}, {**step, "message": "nowhere"}, step]},
         ["/start", "/steps/0/channels/0", "/steps/2/id", "/steps/1/message"]),
        ({"name": "other", "steps": [step]}, ["/name"]),
        ({}, ["/steps"]),
    ):  # fmt: skip
        answer = await app.http.put("/v1/flows/mine", json=body)
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == pointers
    yaml = {"content-type": "application/yaml"}
    for text in (b"a: [", b'steps: "\\0"', b"steps: 99999999999999999999999", b"\xff"):
        assert (await app.http.put("/v1/flows/mine", content=text, headers=yaml)).status_code == 400, text
    assert (
        await app.http.put("/v1/flows/mine", content=b"x", headers={"content-type": "text/plain"})
    ).status_code == 415
    assert (await app.http.get("/v1/flows/mine")).status_code == 404


async def test_a_stored_flow_comes_with_its_warnings_and_its_worst_case(app: Scheduler):
    await app.value("INSERT INTO channel (name, reaches) VALUES ('email', 'email'), ('sms', 'phone') RETURNING name")
    await app.value(
        "INSERT INTO provider (channel, name, own_price) VALUES ('email', 'smtp', 0.001), ('sms', 'twilio', 0.05) RETURNING name"
    )
    step = {"id": "a", "when": {"on": "due"}, "message": "due-today", "channels": ["email", "sms", "voice"]}

    body = (await app.http.put("/v1/flows/mine", json={"steps": [step]})).json()

    assert {one["kind"]: (one["pointer"], one["detail"]) for one in body["warnings"]} == {
        "goes-without": ("/steps/0/channels", "nobody offers voice; step 'a' goes without"),
        "nobody-gets-the-invoice": (
            "/steps",
            "no step is on issue, so this flow does not deliver the invoice; add one with 'on: issue'",
        ),
        "nobody-is-thanked": (
            "/steps",
            "no step is on payment, so who pays never learns that the money came; add one with 'on: payment'",
        ),
        "no-window": ("", "without a contact_window calls and texts may come at any hour (step 'a'); say one"),
    }
    assert body["worst_case"] == {
        "contacts_a_week": 1,
        "contacts_of_many": None,
        "messages_a_case": 1,
        "cost_a_case": "0.051",
    }


async def test_the_language_is_published_and_a_flow_is_read_as_its_page(app: Scheduler):
    schema = (await app.http.get("/v1/flows/schema")).json()
    page = await app.http.get("/v1/flows/strict", headers={"accept": "application/yaml"})

    jsonschema.Draft202012Validator(schema).validate(read_yaml(page.text))
    assert page.headers["content-type"] == "application/yaml"
    again = await app.http.put("/v1/flows/strict", content=page.content, headers={"content-type": "application/yaml"})
    assert (again.status_code, again.json()["version"]) == (200, 1)


# --- the ledger and the document -----------------------------------------------------------------------------------


async def test_the_ledger_lists_what_will_go_out_in_the_order_of_time(app: Scheduler):
    await app.accept()
    await app.accept(invoice_id="INV-2", due_date="2030-01-15")

    first = (await app.http.get("/v1/reminders", params={"state": "pending", "limit": 3})).json()
    rest = (
        await app.http.get("/v1/reminders", params={"state": "pending", "limit": 50, "cursor": first["next_cursor"]})
    ).json()

    times = [item["due_at"] for item in first["items"] + rest["items"]]
    assert times == sorted(times)
    assert len(times) in (8, 9, 10)  # the two deliveries are due at once and may have gone
    soon = {"state": "pending", "due_before": "2030-01-16T00:00:00Z"}
    found = (await app.http.get("/v1/reminders", params=soon)).json()["items"]
    assert {item["invoice_id"] for item in found if item["step"] != "deliver-invoice"} == {"INV-2"}
    waiting = (await app.http.get("/v1/reminders", params={"state": "waiting"})).json()["items"]
    assert [item["step"] for item in waiting] == ["delinquent.then", "thank-you"] * 2
    assert (await app.http.get("/v1/reminders", params={"state": "lost"})).status_code == 422
    assert (await app.http.get("/v1/reminders", params={"due_before": "soon"})).status_code == 422


async def test_every_call_declares_every_status_that_it_answers(app: Scheduler):
    document = (await app.http.get("/openapi.json")).json()
    calls = [(path, method, call) for path, item in document["paths"].items() for method, call in item.items()]

    ours = [(path, method, call) for path, method, call in calls if path.startswith("/v1/")]
    assert len(ours) >= 33
    for path, method, call in ours:
        declared = set(call["responses"])
        assert {"401", "403", "422", "503"} <= declared, (method, path)
        assert ("404" in declared) or "{" not in path or method == "put", (method, path)
        assert call["description"], (method, path)
        if "requestBody" in call:
            assert {"400", "413", "415"} <= declared, (method, path)


async def test_the_timeline_tells_a_story(app: Scheduler):
    await app.accept(due_date="2026-01-20", issue_date="2026-01-10", customer={**CUSTOMER})
    await app.http.post("/v1/invoices/INV-1/resume")
    await app.http.post("/v1/invoices/INV-1/void")

    story = await timeline(app)

    kinds = [kind for kind, _ in story]
    assert [kind for kind in kinds if not kind.startswith("reminder.")] == [
        "invoice.accepted",
        "hold.placed",
        "hold.released",
        "invoice.void",
    ]
    assert "'upcoming' is left out: its day had passed too long ago" in story[0][1]
    assert all(text.endswith(".") and "None" not in text for _, text in story)


async def test_a_request_ends_when_the_database_is_locked(app: Scheduler):
    await app.accept()
    async with app.owner.transaction() as tx:
        await tx.execute("SELECT FROM invoice FOR UPDATE")
        reading = await asyncio.wait_for(app.http.get("/v1/invoices/INV-1"), 5)
    assert reading.status_code == 200
