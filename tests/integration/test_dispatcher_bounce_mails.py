"""What came back and nobody understands is kept, shown, and never answered."""

import asyncio
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.doubles.bounces import dsn, plain
from tests.integration.dispatcher_running import Dispatcher, running


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path, channels=("email",)) as made:
        yield made


async def arrive(dispatcher: Dispatcher, to: str, mail: bytes) -> tuple[int, bytes]:
    def deliver() -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", dispatcher.bounce_port, timeout=10) as peer:
            peer.ehlo()
            peer.mail("")
            peer.rcpt(to)
            return peer.data(mail)

    return await asyncio.to_thread(deliver)


async def came_back(dispatcher: Dispatcher, mail: bytes) -> int:
    """To the return path of a mail that went out; the reminder."""
    _, queued = await dispatcher.due()
    await dispatcher.send(queued)

    def deliver() -> None:
        with smtplib.SMTP("127.0.0.1", dispatcher.bounce_port, timeout=10) as peer:
            peer.sendmail("", [str(dispatcher.smtp.mails[-1].mail_from)], mail)

    await asyncio.to_thread(deliver)
    return queued


async def test_a_persons_reply_is_kept_and_shown_with_its_invoice(dispatcher: Dispatcher) -> None:
    mail = plain("=?utf-8?q?Re:_Factura_n=C2=BA_7?=", "Where do I pay?", "Ana <ana@customer.test>")
    queued = await came_back(dispatcher, mail)

    [item] = (await dispatcher.http.get("/v1/bounce-mails")).json()["items"]
    assert (item["subject"], item["sender"]) == ("Re: Factura nº 7", "Ana <ana@customer.test>")
    assert (item["step"], item["size"]) == ("overdue", len(mail))
    assert item["invoice_id"] == await dispatcher.owner.fetchval("SELECT ref FROM invoice")
    whole = await dispatcher.http.get(f"/v1/bounce-mails/{item['bounce_mail_id']}")
    assert whole.content == mail
    assert whole.headers["Content-Disposition"].startswith("attachment")
    assert await dispatcher.attempts(queued) == [("email", "accepted")]
    assert len(dispatcher.smtp.mails) == 1  # nobody was answered


async def test_a_challenge_is_kept_and_an_absence_note_is_not(dispatcher: Dispatcher) -> None:
    await came_back(dispatcher, plain("Please confirm your message", "Click here.", "ana@customer.test"))
    await came_back(
        dispatcher, plain("Out of office", "I am away.", "bea@customer.test", Auto_Submitted="auto-replied")
    )

    items = (await dispatcher.http.get("/v1/bounce-mails")).json()["items"]
    assert [item["sender"] for item in items] == ["ana@customer.test"]
    kinds = await dispatcher.owner.fetch("SELECT kind FROM event WHERE kind LIKE 'mail.%' ORDER BY id")
    assert [row["kind"] for row in kinds] == ["mail.challenge", "mail.out_of_office"]


async def test_a_report_to_another_address_of_ours_is_about_the_mail_whose_message_id_it_repeats(
    dispatcher: Dispatcher,
) -> None:
    _, queued = await dispatcher.due()
    await dispatcher.send(queued)
    repeated = f"Message-ID: {dispatcher.mails()[-1]['Message-ID']}".encode()
    to = dispatcher.smtp.mails[-1].rcpt_tos[0]
    mail = dsn("5.1.1", "user unknown", to=to).replace(b"Subject: Factura", repeated)

    assert (await arrive(dispatcher, "postmaster@bounce.example.com", mail))[0] == 250

    assert await dispatcher.attempts(queued) == [("email", "undelivered")]
    assert await dispatcher.suppressed() == [("email", "bounced")]
    assert (await dispatcher.http.get("/v1/bounce-mails")).json()["items"] == []


async def test_mail_to_no_return_path_is_kept_as_it_came_and_moves_nothing(dispatcher: Dispatcher) -> None:
    _, queued = await dispatcher.due()
    await dispatcher.send(queued)
    mail = dsn("5.1.1", "user \0 unknown \ud800".encode("utf-8", "surrogatepass").decode("latin-1"))

    assert (await arrive(dispatcher, "postmaster@bounce.example.com", mail))[0] == 250

    [item] = (await dispatcher.http.get("/v1/bounce-mails")).json()["items"]
    assert (item["recipient"], item["invoice_id"]) == ("postmaster@bounce.example.com", None)
    assert item["detail"].startswith("hard 5.1.1")
    assert await dispatcher.attempts(queued) == [("email", "accepted")]


async def test_no_more_a_day_are_kept_than_the_limit_and_none_of_them_whole(database_dsn: str, tmp_path: Path) -> None:
    async with running(database_dsn, tmp_path, channels=("email",), unsigned_per_day=2) as made:
        spam = plain("Hello", "Buy this\r\n" * 10_000, "x@spam.test")
        answers = [await arrive(made, "postmaster@bounce.example.com", spam) for _ in range(3)]
        items = (await made.http.get("/v1/bounce-mails")).json()["items"]

    assert [code for code, _ in answers] == [250, 250, 452]
    assert [item["size"] for item in items] == [64 * 1024] * 2


async def test_a_customer_cannot_fill_the_table_through_a_return_path(dispatcher: Dispatcher) -> None:
    await came_back(dispatcher, plain("Hi", "1", "ana@customer.test"))
    path = str(dispatcher.smtp.mails[-1].mail_from)
    answers = [(await arrive(dispatcher, path, plain("Hi", "n", "ana@customer.test")))[0] for _ in range(20)]
    assert answers == [*[250] * 19, 452]


async def test_automatic_answers_without_end_do_not_fill_the_timeline(dispatcher: Dispatcher) -> None:
    away = plain("Out of office", "I am away.", "bea@customer.test", Auto_Submitted="auto-replied")
    await came_back(dispatcher, away)
    path = str(dispatcher.smtp.mails[-1].mail_from)
    answers = [(await arrive(dispatcher, path, away))[0] for _ in range(25)]

    assert answers == [250] * 25
    assert await dispatcher.owner.fetchval("SELECT count(*) FROM event WHERE kind = 'mail.out_of_office'") == 20


async def test_the_list_has_pages_and_an_unknown_mail_is_a_404(dispatcher: Dispatcher) -> None:
    await dispatcher.owner.execute(
        "INSERT INTO bounce_mail (recipient, detail, body) SELECT 'x', n::text, 'Subject: x' FROM generate_series(1, 3) n"
    )
    first = (await dispatcher.http.get("/v1/bounce-mails?limit=2")).json()
    rest = (await dispatcher.http.get(f"/v1/bounce-mails?limit=2&cursor={first['next_cursor']}")).json()
    assert [item["detail"] for item in [*first["items"], *rest["items"]]] == ["3", "2", "1"]
    assert rest["next_cursor"] is None
    assert (await dispatcher.http.get("/v1/bounce-mails/999999")).status_code == 404
    stranger = {"Authorization": "Bearer nobody"}
    assert (await dispatcher.http.get("/v1/bounce-mails", headers=stranger)).status_code == 401
