"""Pictures through the API, and on their way into mails over SMTP."""

import asyncio
import base64
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.dispatcher.domain.picture_limits import MOST_BYTES, MOST_KEPT
from shared.content.pictures import named_in
from tests.doubles.pictures import gif, jpeg, png
from tests.integration.dispatcher_running import Dispatcher, running

BANNER, OTHER = png(8, 4), png(9, 9)
IBAN = "DE02120300000000202051"
TEXT = {"subject": "s", "text": "Hello {{ customer_name }}"}
SHOWN = '<p>Hello</p><img src="cid:banner" alt="Spring sale">'
PATH = "/v1/templates/overdue/email/en"


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path) as made:
        yield made


async def put(dispatcher: Dispatcher, name: str = "banner", content: bytes = BANNER, **more: Any) -> httpx.Response:
    return await dispatcher.http.put(f"/v1/pictures/{name}", content=content, **more)


async def say(dispatcher: Dispatcher, html: str = SHOWN, path: str = PATH, status: int = 201) -> httpx.Response:
    answer = await dispatcher.http.put(path, json={**TEXT, "html": html})
    assert answer.status_code == status, answer.text
    return answer


def images(mail: EmailMessage) -> list[tuple[str, bytes]]:
    """Content-ID and content, of what the html shows and of nothing else."""
    html = mail.get_body(("html",))
    assert html is not None
    found = [(str(part["Content-ID"])[1:-1], part) for part in mail.walk() if part.get_content_maintype() == "image"]
    assert all(f'src="cid:{key}"' in html.get_content() for key, _ in found)
    assert html.get_content().count('src="cid:') == len(found)
    return [(key, part.get_content()) for key, part in found]


async def test_a_picture_is_stored_in_versions_that_never_change(dispatcher: Dispatcher) -> None:
    first = await put(dispatcher, headers={"Content-Type": "text/html"})
    assert first.status_code == 201
    made = first.json()
    assert (made["version"], made["shown_as"], made["media_type"]) == (1, "cid:banner", "image/png")
    assert (made["width"], made["height"], made["size"]) == (8, 4, len(BANNER))
    assert ((await put(dispatcher)).status_code, (await put(dispatcher, content=jpeg())).json()["version"]) == (200, 2)
    assert (await put(dispatcher)).json()["version"] == 3, "the same as before is new where something else came between"

    old = await dispatcher.http.get("/v1/pictures/banner?version=2")
    assert (old.content, old.headers["content-type"]) == (jpeg(), "image/jpeg")
    assert old.headers["content-disposition"].startswith('attachment; filename="banner.jpg"')
    assert old.headers["x-content-type-options"] == "nosniff"
    assert old.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert (await dispatcher.http.get("/v1/pictures/banner")).content == BANNER
    listed = (await dispatcher.http.get("/v1/pictures/banner/versions?limit=2")).json()
    assert [one["version"] for one in listed["items"]] == [3, 2]
    rest = await dispatcher.http.get("/v1/pictures/banner/versions", params={"cursor": listed["next_cursor"]})
    assert [one["version"] for one in rest.json()["items"]] == [1]


async def test_a_form_brings_one_as_well(dispatcher: Dispatcher) -> None:
    made = await dispatcher.http.put("/v1/pictures/banner", files={"file": ("x.svg", gif(), "image/svg+xml")})
    assert (made.status_code, made.json()["media_type"]) == (201, "image/gif")
    no_file = await dispatcher.http.put("/v1/pictures/banner", files={"other": ("x.gif", gif())})
    assert (no_file.status_code, "field 'file'" in no_file.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("name", "content", "status", "reason"),
    [
        ("banner", b"", 422, "it is empty"),
        ("banner", b"<svg/>", 422, "mail programs do not show"),
        ("banner", BANNER[:-5], 422, "cut off or damaged"),
        ("banner", gif(65_535, 65_535), 422, "4096 each way at most"),
        ("banner", png(more=bytes(MOST_BYTES)), 413, "more than 256 KiB"),
        ("banner", bytes(400 * 1024), 413, "320 KiB"),
        ("logo", BANNER, 422, "the logo of the creditor who writes"),
        ("payment-code", BANNER, 422, "made for each mail"),
        ("Banner", BANNER, 422, ""),
        ("-banner", BANNER, 422, ""),
        ("a" * 65, BANNER, 422, ""),
        ("b%C3%A4nner", BANNER, 422, ""),
        ("banner.png", BANNER, 422, ""),
    ],
    ids=lambda value: value if isinstance(value, str) and value and len(value) < 40 else None,
)
async def test_what_is_no_picture_or_no_name_is_refused(
    dispatcher: Dispatcher, name: str, content: bytes, status: int, reason: str
) -> None:
    answer = await put(dispatcher, name, content)
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["detail"]
    assert await dispatcher.owner.fetchval("SELECT count(*) FROM picture_version") == 0


async def test_who_may_read_may_not_write(dispatcher: Dispatcher) -> None:
    for headers, status in (({"Authorization": ""}, 401), ({"Authorization": "Bearer nobody"}, 401)):
        for verb in ("PUT", "GET", "DELETE"):
            answer = await dispatcher.http.request(verb, "/v1/pictures/banner", headers=headers)
            assert answer.status_code == status


async def test_those_in_force_are_listed_by_name(dispatcher: Dispatcher) -> None:
    for name in ("c", "a", "b", "gone"):
        await put(dispatcher, name)
    assert (await dispatcher.http.delete("/v1/pictures/gone")).status_code == 204
    page = (await dispatcher.http.get("/v1/pictures?limit=2")).json()
    rest = (await dispatcher.http.get("/v1/pictures", params={"cursor": page["next_cursor"]})).json()
    assert [one["name"] for one in [*page["items"], *rest["items"]]] == ["a", "b", "c"]


async def test_a_picture_that_is_gone_stays_readable_by_its_version(dispatcher: Dispatcher) -> None:
    await put(dispatcher)
    assert (await dispatcher.http.delete("/v1/pictures/banner")).status_code == 204
    answers = [await dispatcher.http.request(verb, "/v1/pictures/banner") for verb in ("GET", "DELETE")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert (await dispatcher.http.get("/v1/pictures/banner?version=1")).content == BANNER
    assert (await dispatcher.http.get("/v1/pictures/banner?version=9")).status_code == 404
    again = await put(dispatcher)
    assert (again.status_code, again.json()["version"]) == (201, 3)
    assert (await dispatcher.http.get("/v1/pictures/banner")).status_code == 200


async def test_what_a_text_or_a_creditor_needs_is_not_taken_away(dispatcher: Dispatcher) -> None:
    await put(dispatcher)
    await say(dispatcher)
    made, _ = await dispatcher.due()
    await dispatcher.owner.execute(
        "UPDATE creditor SET logo = 'banner' WHERE id = (SELECT creditor_id FROM invoice WHERE id = $1)", made.id
    )
    kept = await dispatcher.http.delete("/v1/pictures/banner")
    assert kept.status_code == 409
    assert "the text overdue/email/en shows it; it is the logo of the creditor '" in kept.json()["detail"]

    await say(dispatcher, "<p>Hello</p>")
    assert (await dispatcher.http.delete("/v1/pictures/banner")).status_code == 409
    await dispatcher.owner.execute("UPDATE creditor SET logo = NULL")
    assert (await dispatcher.http.delete("/v1/pictures/banner")).status_code == 204
    refused = await say(dispatcher, status=422)
    assert refused.json()["errors"] == [
        {"pointer": "/html", "detail": "line 1: there is no picture 'banner': PUT /v1/pictures/banner first"}
    ]


async def test_a_picture_and_the_text_that_shows_it_are_never_told_apart(dispatcher: Dispatcher) -> None:
    """Saved and deleted at the same moment, many times: never a text in force that shows what there is not."""
    for _ in range(8):
        await put(dispatcher)
        deleted, said = await asyncio.gather(
            dispatcher.http.delete("/v1/pictures/banner"), dispatcher.http.put(PATH, json={**TEXT, "html": SHOWN})
        )
        there = (await dispatcher.http.get("/v1/pictures/banner")).status_code == 200
        text = (await dispatcher.http.get(PATH)).json()
        assert there or "cid:banner" not in (text.get("compiled_html") or ""), (deleted.text, said.text)
        await dispatcher.http.put(PATH, json=TEXT)


async def test_a_mail_cannot_become_too_heavy_through_its_pictures(dispatcher: Dispatcher) -> None:
    large, small = png(more=bytes(250_000)), png(more=bytes(20_000))
    for name in ("a", "b"):
        await put(dispatcher, name, large)
    await put(dispatcher, "c", small)
    three = "".join(f'<img src="cid:{name}" alt="">' for name in "abc")
    await say(dispatcher, three)
    replaced = await put(dispatcher, "c", large)
    assert replaced.status_code == 409
    assert "mails of overdue/email/en would carry more than 512 KiB" in replaced.json()["detail"]
    assert (await dispatcher.http.get("/v1/pictures/c")).content == small


async def test_all_pictures_together_fit_into_a_dispatchers_memory(dispatcher: Dispatcher) -> None:
    await dispatcher.owner.execute(
        "INSERT INTO picture_version (name, version, media_type, width, height, digest, content)"
        " SELECT 'p' || n, 1, 'image/png', 1, 1, n, decode(repeat('00', 262144), 'hex') FROM generate_series(1, $1) n",
        MOST_KEPT // MOST_BYTES,
    )
    full = await put(dispatcher)
    assert (full.status_code, "DELETE those that nothing shows" in full.json()["detail"]) == (409, True)
    assert (await dispatcher.http.delete("/v1/pictures/p7")).status_code == 204
    assert (await put(dispatcher)).status_code == 201


async def test_a_mail_arrives_with_the_pictures_that_were_in_force_when_it_was_claimed(dispatcher: Dispatcher) -> None:
    await put(dispatcher)
    await say(
        dispatcher, SHOWN + '<img src="cid:logo" alt="{{ creditor_name }}"><img src="cid:payment-code" alt="Code">'
    )
    _, first = await dispatcher.due(creditor_columns={"name": "Acme"})
    await dispatcher.send(first)
    await put(dispatcher, "acme", OTHER)
    await put(dispatcher, content=jpeg())
    _, second = await dispatcher.due(creditor_columns={"ref": "acme", "logo": "acme", "iban": IBAN}, currency="EUR")
    await dispatcher.send(second)

    bare, full = dispatcher.mails()
    assert [content for _, content in images(bare)] == [BANNER]
    assert "Acme" in str(bare.get_body(("html",)))
    assert [content[:4] for _, content in images(full)] == [jpeg()[:4], OTHER[:4], OTHER[:4]]
    assert [content for _, content in images(full)][:2] == [jpeg(), OTHER]
    wordings = [
        await dispatcher.owner.fetchval("SELECT wording FROM attempt WHERE reminder_id = $1", one)
        for one in (first, second)
    ]
    assert wordings == ["overdue/email/en@1 banner@1", "overdue/email/en@1 banner@2 acme@1"]


async def test_with_its_document_a_mail_has_all_its_levels(dispatcher: Dispatcher) -> None:
    await put(dispatcher, "acme", OTHER)
    key = await dispatcher.documents.put(b"%PDF-1.7")
    document: dict[str, Any] = {
        "document_key": key,
        "document_name": "i.pdf",
        "document_type": "application/pdf",
        "document_size": 8,
    }
    _, reminder = await dispatcher.due("deliver-invoice", creditor_columns={"logo": "acme"}, **document)
    await dispatcher.send(reminder)

    [mail] = dispatcher.mails()
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    assert [content for _, content in images(mail)] == [OTHER]
    assert [part.get_content() for part in mail.iter_attachments()] == [b"%PDF-1.7"]
    raw = dispatcher.smtp.mails[0].content
    assert isinstance(raw, bytes)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998


async def test_many_of_the_largest_mails_arrive_whole_and_once(dispatcher: Dispatcher) -> None:
    for name in ("a", "b"):
        await put(dispatcher, name, png(more=bytes(range(256)) * 1_000 + name.encode()))
    await say(dispatcher, '<img src="cid:a" alt=""><img src="cid:b" alt="">')
    reminders = [(await dispatcher.due())[1] for _ in range(20)]
    async with asyncio.timeout(120):
        while {await dispatcher.state(one) for one in reminders} != {("accepted", None)}:
            await dispatcher.queue_again(*reminders)  # a slow machine lets the hand-off window of some pass
            await dispatcher.send(*reminders)
    mails = dispatcher.mails()
    assert [len(images(mail)) for mail in mails] == [2] * 20
    assert len({mail["Message-ID"] for mail in mails}) == 20


async def test_another_process_shows_it_within_seconds(
    dispatcher: Dispatcher, database_dsn: str, tmp_path: Path
) -> None:
    await put(dispatcher)
    await say(dispatcher)
    async with running(database_dsn, tmp_path / "other") as other:
        _, reminder = await other.due()
        await other.send(reminder)
        assert [content for _, content in images(other.mails()[0])] == [BANNER]
        await put(dispatcher, content=OTHER)
        async with asyncio.timeout(30):
            while [content for _, content in images(other.mails()[-1])] != [OTHER]:
                _, reminder = await other.due()
                await other.send(reminder)


async def preview(dispatcher: Dispatcher, status: int = 200, **body: Any) -> Any:
    asked = {"name": "overdue", "channel": "email", "locale": "en", **body}
    answer = await dispatcher.http.post("/v1/templates/preview", json=asked)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_preview_shows_the_pictures_themselves(dispatcher: Dispatcher) -> None:
    await put(dispatcher)
    await put(dispatcher, "acme", OTHER)
    data = f'src="data:image/png;base64,{base64.b64encode(BANNER).decode()}"'
    shown = await preview(dispatcher, template={**TEXT, "html": SHOWN})
    assert data in shown["html"]
    assert shown["pictures"] == ["banner.png"]

    logo = '<img src="cid:logo" alt="Acme"><img src="cid:payment-code" alt="">'
    assert (await preview(dispatcher, template={**TEXT, "html": logo}))["pictures"] == ["payment-code.png"]
    named = await preview(dispatcher, template={**TEXT, "html": logo}, data={"logo": "acme"})
    assert named["pictures"] == ["acme.png", "payment-code.png"]
    assert named_in(named["html"]) == ()
    assert (await preview(dispatcher, data={"logo": "acme"}))["pictures"] == ["acme.png"], "the built-in text"
    assert (await preview(dispatcher))["pictures"] == []
    unknown = await preview(dispatcher, status=422, data={"logo": "nobody"})
    assert unknown["errors"][0]["pointer"] == "/data/logo"
    await dispatcher.owner.execute("INSERT INTO creditor (ref, name, logo) VALUES ('default', 'Us', 'acme')")
    assert (await preview(dispatcher))["pictures"] == ["acme.png"]
