"""Texts through the API: versions, the cascade, and what the customer gets from then on."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.flow import standard
from shared.web.paging import encode
from tests import factories
from tests.integration.dispatcher_running import Dispatcher, running

TEXT = {"subject": "Ojo: {{ invoice_number }}", "text": "Hola {{ customer_name }}: {{ pay_url }}"}
PATH = "/v1/templates/overdue/email/es-CO"


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path) as made:
        yield made


async def put(dispatcher: Dispatcher, path: str = PATH, **changes: Any) -> httpx.Response:
    return await dispatcher.http.put(path, json={**TEXT, **changes})


async def test_a_text_is_stored_in_versions_that_never_change(dispatcher: Dispatcher) -> None:
    first = await put(dispatcher)
    assert (first.status_code, first.json()["version"]) == (201, 1)
    again = await put(dispatcher, "/v1/templates/overdue/email/ES-co")
    assert (again.status_code, again.json()["version"], again.json()["locale"]) == (200, 1, "es-CO")
    assert (await put(dispatcher, html="<p>{{ open_amount }}</p>")).json()["version"] == 2
    assert (await put(dispatcher)).json()["version"] == 3

    assert (await dispatcher.http.get(PATH)).json()["version"] == 3
    listed = (await dispatcher.http.get(f"{PATH}/versions?limit=2")).json()
    assert [(one["version"], one["html"]) for one in listed["items"]] == [(3, None), (2, "<p>{{ open_amount }}</p>")]
    more = (await dispatcher.http.get(f"{PATH}/versions", params={"cursor": listed["next_cursor"]})).json()
    beyond = await dispatcher.http.get(f"{PATH}/versions", params={"cursor": encode((2**40,))})
    assert len(beyond.json()["items"]) == 3
    assert [one["version"] for one in more["items"]] == [1]


async def test_a_reminder_says_what_is_stored_when_it_is_claimed(dispatcher: Dispatcher) -> None:
    mjml = "<mjml><mj-body><mj-section><mj-column><mj-text>{{ customer_name }}</mj-text></mj-column></mj-section></mj-body></mjml>"
    _, before = await dispatcher.due(customer_columns={"locale": "es-CO"})
    await dispatcher.send(before)
    assert (await put(dispatcher, mjml=mjml)).status_code == 201
    for locale in ("es-CO", "es-MX"):
        _, reminder = await dispatcher.due(customer_columns={"locale": locale, "name": "Ana"})
        await dispatcher.send(reminder)

    subjects = [str(mail["Subject"]) for mail in dispatcher.mails()]
    assert [subject.split(":")[0] for subject in subjects] == ["Recordatorio", "Ojo", "Recordatorio"]
    html = dispatcher.mails()[1].get_body(("html",))
    assert html is not None
    assert ">Ana</div>" in html.get_content()


async def test_another_process_says_it_within_seconds(
    dispatcher: Dispatcher, database_dsn: str, tmp_path: Path
) -> None:
    async with running(database_dsn, tmp_path / "other") as other:
        _, reminder = await other.due(customer_columns={"locale": "es-CO"})
        await other.send(reminder)
        await put(dispatcher)
        async with asyncio.timeout(10):
            while not str(other.mails()[-1]["Subject"]).startswith("Ojo"):
                _, reminder = await other.due(customer_columns={"locale": "es-CO"})
                await other.send(reminder)


async def test_a_text_for_the_language_is_had_by_all_its_regions(dispatcher: Dispatcher) -> None:
    await put(dispatcher, "/v1/templates/overdue/email/es")
    for locale, subject in (("es-CO", "Ojo"), ("es", "Ojo"), ("pt-BR", "Lembrete"), ("de", "Reminder")):
        answer = await preview(dispatcher, locale=locale)
        assert answer["subject"].startswith(subject)


async def test_a_faulty_text_is_refused_whole_with_all_its_faults(dispatcher: Dispatcher) -> None:
    answer = await put(dispatcher, subject="a\r\nBcc: x@x.test", text="fine\n{{ nme }}", html="<p onclick=x>")
    assert answer.status_code == 422
    found = [(error["pointer"], error["detail"][:38]) for error in answer.json()["errors"]]
    assert found == [
        ("/subject", "must be one line, without a line break"),
        ("/html", "line 1: onclick of <p> must not be in "),
        ("/text", "line 2: 'nme' is not known here; use o"),
    ]
    assert (await dispatcher.http.get(PATH)).status_code == 404
    assert await dispatcher.owner.fetchval("SELECT count(*) FROM template_version") == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/templates/Over%20due/email/es", TEXT),
        ("/v1/templates/overdue/pigeon/es", TEXT),
        ("/v1/templates/overdue/email/not_a_language!", TEXT),
        (PATH, {"subject": "s"}),
        (PATH, {**TEXT, "script": "x"}),
        (PATH, {**TEXT, "text": "x" * 100_001}),
        (PATH, {**TEXT, "html": "<div>" * 15_000}),
    ],
)
async def test_what_is_no_text_is_refused(dispatcher: Dispatcher, path: str, body: dict[str, Any]) -> None:
    assert (await dispatcher.http.put(path, json=body)).status_code == 422


@pytest.mark.parametrize("char", ["\\u0000", "\\ud800"])
@pytest.mark.parametrize("part", ["subject", "text", "html"])
async def test_characters_that_cannot_be_stored_are_refused(dispatcher: Dispatcher, part: str, char: str) -> None:
    body = json.dumps({**TEXT, part: "a CHAR b"}).replace("CHAR", char)
    answer = await dispatcher.http.put(PATH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


async def test_the_built_in_text_is_there_to_begin_with(dispatcher: Dispatcher) -> None:
    path = "/v1/templates/overdue/email/es"
    built_in = (await dispatcher.http.get(path)).json()
    assert (built_in["version"], built_in["built_in"], built_in["created_at"]) == (0, True, None)
    stored = await put(dispatcher, path, subject=built_in["subject"], text=built_in["text"], html=built_in["html"])
    assert stored.status_code == 201
    missing = await dispatcher.http.get("/v1/templates/overdue/email/es-CO")
    assert (missing.status_code, "cascade" in missing.json()["detail"]) == (404, True)


async def test_own_texts_are_listed_newest_version_each(dispatcher: Dispatcher) -> None:
    for path in ("overdue/sms/en", "overdue/email/en", "welcome/email/pt-BR"):
        for words in ("a", "b"):
            await put(dispatcher, f"/v1/templates/{path}", text=words)
    page = (await dispatcher.http.get("/v1/templates?limit=2")).json()
    assert [(one["name"], one["channel"], one["version"]) for one in page["items"]] == [
        ("overdue", "email", 2),
        ("overdue", "sms", 2),
    ]
    rest = (await dispatcher.http.get("/v1/templates", params={"cursor": page["next_cursor"]})).json()
    assert [one["locale"] for one in rest["items"]] == ["pt-BR"]
    assert len((await dispatcher.http.get("/v1/templates?name=overdue")).json()["items"]) == 2


async def test_an_attempt_keeps_the_text_and_version_that_it_was_made_of(dispatcher: Dispatcher) -> None:
    _, shipped = await dispatcher.due(customer_columns={"locale": "es-CO"})
    await dispatcher.send(shipped)
    await put(dispatcher)
    await put(dispatcher, text="{{ customer_name }}, {{ pay_url }}")
    _, own = await dispatcher.due(customer_columns={"locale": "es-CO"})
    await dispatcher.send(own)

    built_in = (await dispatcher.http.get("/v1/templates/overdue/email/es")).json()
    newest = (await dispatcher.http.get(PATH)).json()
    assert built_in["wording"].startswith("overdue/email/es@shipped-")
    assert (await wording(dispatcher, shipped), await wording(dispatcher, own)) == (
        built_in["wording"],
        newest["wording"],
    )
    assert newest["wording"] == "overdue/email/es-CO@2"


async def test_a_withdrawn_text_gives_way_to_the_next_and_stays_readable(dispatcher: Dispatcher) -> None:
    await put(dispatcher)
    assert (await dispatcher.http.delete(PATH)).status_code == 204
    _, reminder = await dispatcher.due(customer_columns={"locale": "es-CO"})
    await dispatcher.send(reminder)
    assert str(dispatcher.mails()[-1]["Subject"]).startswith("Recordatorio")

    assert [(await dispatcher.http.request(verb, PATH)).status_code for verb in ("GET", "DELETE")] == [404, 404]
    assert (await dispatcher.http.get("/v1/templates")).json()["items"] == []
    listed = (await dispatcher.http.get(f"{PATH}/versions")).json()["items"]
    assert [(one["version"], one["withdrawn"]) for one in listed] == [(2, True), (1, False)]
    again = await put(dispatcher)
    assert (again.status_code, again.json()["version"], (await dispatcher.http.get(PATH)).status_code) == (201, 3, 200)


async def test_a_text_that_a_flow_in_force_needs_is_not_withdrawn(dispatcher: Dispatcher) -> None:
    made, reminder = await dispatcher.due()
    spec = standard().to_dict()
    told = next(index for index, step in enumerate(spec["steps"]) if step["id"] == "overdue")
    spec["steps"][told] |= {"message": "our-words", "channels": ["email"]}
    await dispatcher.owner.execute("UPDATE flow_version SET spec = $1 WHERE id = $2", spec, made.flow_version_id)
    path = "/v1/templates/our-words/email"
    for locale in ("en", "pt"):
        await put(dispatcher, f"{path}/{locale}")
    assert (await dispatcher.http.delete(f"{path}/pt")).status_code == 204

    kept = await dispatcher.http.delete(f"{path}/en")
    assert kept.status_code == 409
    assert "step 'overdue' of flow 'standard', version 1, says it" in kept.json()["detail"]
    assert "those who speak en would have no text" in kept.json()["detail"]
    await dispatcher.send(reminder)
    assert str(dispatcher.mails()[-1]["Subject"]).startswith("Ojo")

    await factories.flow_version(dispatcher.owner, version=2)
    assert (await dispatcher.http.delete(f"{path}/en")).status_code == 409, "an open invoice follows version 1 still"
    await dispatcher.owner.execute("UPDATE invoice SET settled_at = now() WHERE id = $1", made.id)
    assert (await dispatcher.http.delete(f"{path}/en")).status_code == 204


async def wording(dispatcher: Dispatcher, reminder: int) -> Any:
    return await dispatcher.owner.fetchval("SELECT wording FROM attempt WHERE reminder_id = $1", reminder)


async def preview(dispatcher: Dispatcher, status: int = 200, **body: Any) -> Any:
    asked = {"name": "overdue", "channel": "email", "locale": "en", **body}
    answer = await dispatcher.http.post("/v1/templates/preview", json=asked)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_preview_shows_what_would_go_out(dispatcher: Dispatcher) -> None:
    shown = await preview(dispatcher, locale="pt-BR", data={"amount": "99.50", "currency": "BRL", "days_past_due": 1})
    assert "há 1 dia," in shown["text"]
    assert "R$\u00a099,50" in shown["text"]
    assert shown["html"].startswith("<!DOCTYPE html>")
    sms = await preview(dispatcher, channel="sms", data={"fallback_from": "email"})
    assert sms["segments"] >= 2
    own = await preview(
        dispatcher,
        template={"subject": "{{ attributes.vat }}", "text": "x"},
        data={"attributes": {"vat": "9"}},
        status=422,
    )
    assert own["errors"][0]["pointer"] == "/template/subject"
    safe = {"subject": "{{ attributes.vat|default('') }}", "text": "x"}
    assert (await preview(dispatcher, template=safe, data={"attributes": {"vat": "9"}}))["subject"] == "9"
    assert await dispatcher.owner.fetchval("SELECT count(*) FROM template_version") == 0
    assert "no text for channel" in (await preview(dispatcher, name="overdeu", status=404))["detail"]
