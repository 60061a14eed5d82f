"""Statement files over the API: what is refused and how, and what pays what."""

import asyncio
import io
import time
import tracemalloc
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.payments.adapters.registry import reader_of
from services.payments.domain.statement import Entry
from services.payments.store.cleanup import forget_evidence
from tests import factories
from tests.integration.payments_running import BEARER, Payments, payments_running
from tests.statement_files import Line, batch, camt, camt_of, entry, mt940

RF = "RF18539007547034"
WINDOW = 0.4


@pytest.fixture
async def bank(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path, window=WINDOW) as running:
        yield running


def money(*amounts: str) -> list[Decimal]:
    return [Decimal(amount) for amount in amounts]


BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">]><Document>&d;</Document>"""
XXE = b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><Document>&x;</Document>'
GOOD = camt([Line("100.00", rf=RF)])
WRONG = {
    "nothing": (b"", "empty"),
    "blanks": (b" \n ", "empty"),
    "a bomb": (BOMB, "DOCTYPE"),
    "an external entity": (XXE, "DOCTYPE"),
    "a bomb in UTF-16": (
        BOMB.decode().replace('version="1.0"', 'version="1.0" encoding="UTF-16"').encode("utf-16"),
        "DOCTYPE",
    ),
    "truncated": (GOOD[: len(GOOD) // 2], "truncated"),
    "no end": (GOOD[:-20], "truncated"),
    "another encoding than it says": (GOOD.replace(b"UTF-8", b"UTF-16"), "XML"),
    "no such encoding": (GOOD.replace(b"UTF-8", b"KOI-99"), "ncod"),
    "broken UTF-8": (GOOD.replace(b"Jo Bloggs", b"J\xff\xfe"), "XML"),
    "a payment order": (GOOD.replace(b"BkToCstmrStmt", b"CstmrCdtTrfInitn"), "CstmrCdtTrfInitn"),
    "a web page": (b"<html><body>Sign in</body></html>", "<html>"),
    "deep": (b"<a>" * 100_000, "nested"),
    "a PDF": (b"%PDF-1.7 ...", "PDF"),
    "a ZIP": (b"PK\x03\x04....", "ZIP"),
    "gzip": (b"\x1f\x8b\x08....", "gzip"),
    "OFX": (b"OFXHEADER:100\nDATA:OFXSGML", "OFX"),
    "BAI2": (b"01,122099999,123456789,040621,0200,1,55,,2/", "BAI2"),
    "JSON": (b'{"amount": 1}', "JSON"),
    "CSV": (b"date;amount;text\n2026-11-20;1,00;x\n", "CSV"),
    "a text": (b"Dear bank,", "nothing that is known"),
    "MT940 that breaks late": (mt940([Line("1.00")] * 700) + b":20:X\n\0", "NUL"),
    "MT940 in UTF-16": (b":20:X\n" + mt940([Line("1.00")]).decode().encode("utf-16-le"), "NUL"),
}


@pytest.mark.parametrize("owed", ["50.00", "100.00"])
async def test_what_two_statements_of_one_file_say_of_one_payment_counts_once(bank: Payments, owed: str) -> None:
    made = await factories.invoice(bank.owner, (owed,), payment_reference="RF18539007547034")
    file = mt940([Line("50.00", rf="RF18539007547034", bank_ref="B-1")])
    assert await bank.book(file + file) == {"entries": 2, "matched": 1, "duplicates": 1}
    assert await bank.open_amounts(made.id) == [Decimal(owed) - 50]


@pytest.mark.parametrize(("file", "said"), WRONG.values(), ids=WRONG)
async def test_a_file_that_is_no_statement_is_refused_by_name_and_has_no_effect(
    bank: Payments, file: bytes, said: str
) -> None:
    answer = await bank.upload(file)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert said in answer.json()["detail"]
    assert await bank.counts() == (0, 0)


BAD_ENTRIES = {
    "no amount": entry(Line("1.00")).replace('<Amt Ccy="EUR">1.00</Amt>', ""),
    "NaN": entry(Line("NaN")),
    "negative": entry(Line("-1.00")),
    "zero": entry(Line("0.00")),
    "too precise": entry(Line("1.00001")),
    "a comma": entry(Line("1,00")),
    "no such currency": entry(Line("1.00", currency="EUX")),
    "no direction": entry(Line("1.00")).replace("CRDT", "BOTH"),
    "no such status": entry(Line("1.00", status="MAYBE")),
    "no such day": entry(Line("1.00", day="2026-02-30")),
    "huge": entry(Line("1.00", "x" * 70_000)),
}


@pytest.mark.parametrize("bad", BAD_ENTRIES.values(), ids=BAD_ENTRIES)
async def test_an_entry_that_cannot_be_read_is_told_with_its_place_and_the_others_count(
    bank: Payments, bad: str
) -> None:
    made = await factories.invoice(bank.owner, payment_reference=RF)
    answer = await bank.upload(camt_of(entry(Line("40.00", rf=RF)), bad, entry(Line("60.00", rf=RF))))
    told = answer.json()
    assert (answer.status_code, told["entries"], told["matched"], told["errors"]) == (200, 3, 2, 1)
    assert told["problems"][0]["place"] == "entry 2"
    assert told["problems"][0]["detail"]
    assert await bank.open_amounts(made.id) == money("0")


async def test_an_unreadable_line_of_mt940_and_a_file_that_was_cut_off_are_told(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, payment_reference=RF)
    file = mt940([Line("40.00", rf=RF), Line("1.00", "this one"), Line("60.00", rf=RF)])
    broken = file.replace(b":61:2611201120C1,00", b":61:26AB20C1,00").partition(b":62F:")[0]
    told = (await bank.upload(broken)).json()
    assert (told["matched"], told["errors"]) == (2, 2)
    assert told["problems"][0]["place"] == "entry 2 of statement 1 (line 8)"
    assert "truncated" in told["problems"][1]["detail"]
    assert await bank.open_amounts(made.id) == money("0")


async def test_a_batch_booking_is_its_transactions_each_with_its_own_amount(bank: Payments) -> None:
    made = [await factories.invoice(bank.owner, number=f"INV-77{n}") for n in range(3)]
    lines = [Line("100.00", f"INV-77{n}") for n in range(3)]
    whole = batch(lines)
    assert await bank.book(camt_of(whole)) == {"entries": 3, "matched": 3}
    assert [await bank.open_amounts(each.id) for each in made] == [money("0")] * 3
    lost = batch([*lines[:2], lines[2]]).replace('<Amt Ccy="EUR">100.00</Amt><RltdPties>', "<RltdPties>", 1)
    told = (await bank.upload(camt_of(lost))).json()
    assert (told["duplicates"], told["errors"], told["problems"][0]["place"]) == (2, 1, "entry 1, transaction 1")


async def test_a_pending_entry_holds_the_reminders_and_the_booked_one_pays(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, reminders=1, payment_reference=RF)
    line = Line("100.00", rf=RF, bank_ref="B1")
    pending = camt([Line(**{**vars_of(line), "status": "PDNG"})], kind="052")
    assert await bank.book(pending) == {"entries": 1, "pending": 1}
    assert await in_flight(bank, made.id) == 1
    assert await bank.open_amounts(made.id) == money("100")
    assert await bank.book(camt([line])) == {"entries": 1, "matched": 1}
    assert (await bank.open_amounts(made.id), await in_flight(bank, made.id)) == (money("0"), 0)
    assert await bank.book(pending) == {"entries": 1, "duplicates": 1}
    assert await in_flight(bank, made.id) == 0


async def test_one_transfer_pays_several_invoices_and_its_reversal_opens_them_all(bank: Payments) -> None:
    owner = {"name": "Jo Bloggs", "ref": "C-JO"}
    first = await factories.invoice(bank.owner, ("60.00", "60.00"), number="INV-5001", customer_columns=owner)
    second = await factories.invoice(bank.owner, ("30.00",), number="INV-5002")
    await bank.owner.execute("UPDATE invoice SET customer_id = $1 WHERE id = $2", first.customer_id, second.id)
    line = Line("150.00", "INV-5001 and INV-5002", end_to_end="E1")
    assert await bank.book(camt([line])) == {"entries": 1, "matched": 1}
    assert [await bank.open_amounts(i.id) for i in (first, second)] == [money("0", "0"), money("0")]
    assert await bank.book(camt([Line("150.00", sign="RC", end_to_end="E1")])) == {"entries": 1, "reversed": 1}
    assert [await bank.open_amounts(i.id) for i in (first, second)] == [money("60", "60"), money("30")]
    for made in (first, second):
        assert (await bank.invoice(made.id))["replan_at"] is not None


async def test_several_transfers_pay_one_invoice_and_what_is_over_is_kept(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, payment_reference=RF)
    file = camt([Line("40.00", rf=RF), Line("40.00", rf=RF), Line("40.00", rf=RF)])
    assert await bank.book(file) == {"entries": 3, "matched": 3}
    assert await bank.open_amounts(made.id) == money("0")
    (over,) = (await bank.get("/v1/payments", status="unmatched"))["items"]
    assert (over["status"], over["unallocated"], over["reason"]) == ("partly", "20.00", "overpaid")


async def test_short_by_what_a_bank_takes_is_matched_and_the_difference_stays_open(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, ("1000.00",), number="INV-6001")
    await bank.book(camt([Line("997.50", "INV-6001")]))
    assert await bank.open_amounts(made.id) == money("2.50")


async def test_another_currency_goes_to_the_queue_with_the_reason(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, payment_reference=RF)
    assert await bank.book(camt([Line("100.00", rf=RF, currency="USD")])) == {"entries": 1, "unmatched": 1}
    (item,) = (await bank.get("/v1/payments", status="unmatched"))["items"]
    assert (item["reason"], item["invoice_id"]) == ("other_currency", made.ref)
    assert "it is in another currency" in item["candidates"][0]["reasons"]
    assert await bank.open_amounts(made.id) == money("100")


async def test_a_candidate_is_allocated_and_taken_back_by_hand(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, ("55.00",))
    await bank.book(camt([Line("55.00", "thanks", name="A Stranger")]))
    (item,) = (await bank.get("/v1/payments", status="unmatched"))["items"]
    path = f"/v1/payments/{item['id']}/allocations"
    target = {"invoice_id": item["candidates"][0]["invoice_id"]}
    assert (await bank.http.post(path, json=target, headers=BEARER)).status_code == 201
    assert await bank.open_amounts(made.id) == money("0")
    assert (await bank.http.delete(path, headers=BEARER)).status_code == 204
    assert await bank.open_amounts(made.id) == money("55")


async def test_a_payment_that_came_before_its_invoice_is_claimed_by_its_reference(bank: Payments) -> None:
    assert await bank.book(camt([Line("100.00", rf=RF)])) == {"entries": 1, "unmatched": 1}
    made = await factories.invoice(bank.owner, payment_reference=RF)
    await bank.http.post(f"/v1/payment-status/{made.ref}/refresh", headers=BEARER)
    assert await bank.open_amounts(made.id) == money("0")


async def test_the_account_that_paid_before_is_known_again(bank: Payments) -> None:
    first = await factories.invoice(bank.owner, payment_reference=RF, customer_columns={"name": "Acme Holding"})
    second = await factories.invoice(bank.owner, ("77.00",))
    await bank.owner.execute("UPDATE invoice SET customer_id = $1 WHERE id = $2", first.customer_id, second.id)
    await bank.book(camt([Line("100.00", rf=RF, name="Someone At Acme")]))
    assert await bank.book(camt([Line("77.00", "goods", name="Someone At Acme")])) == {"entries": 1, "matched": 1}
    assert await bank.open_amounts(second.id) == money("0")


async def test_the_same_file_ten_times_at_once_books_once(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, payment_reference=RF)
    file = camt([Line("10.00", rf=RF, bank_ref=f"B{n}") for n in range(9)])
    answers = await asyncio.gather(*(bank.upload(file) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["matched"] for answer in answers) == 9
    assert await bank.open_amounts(made.id) == money("10")


async def test_while_an_attempt_may_still_hand_off_the_answer_waits_also_the_second_time(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, reminders=1, payment_reference=RF)
    await factories.attempt(bank.owner, made.reminders[0], made.contact_id)
    started = time.monotonic()
    both = await asyncio.gather(bank.upload(GOOD), bank.upload(GOOD))
    assert {answer.status_code for answer in both} == {200}
    assert time.monotonic() - started >= WINDOW - 0.05


async def test_a_source_of_files_has_its_own_entries_and_other_kinds_take_none(bank: Payments) -> None:
    assert (await bank.http.put("/v1/sources/b2", json={"kind": "statement"}, headers=BEARER)).status_code == 201
    assert (await bank.upload(GOOD, source="b2")).json()["source"] == "b2"
    assert (await bank.upload(GOOD)).json()["unmatched"] == 1
    assert [(await bank.upload(GOOD, source=name)).status_code for name in ("bank", "nobody")] == [409, 404]
    assert (await bank.http.post("/v1/webhooks/b2", content=b"{}")).status_code == 401
    assert (await bank.http.post("/v1/statements", content=GOOD)).status_code == 401


async def test_while_the_database_is_locked_the_answer_is_503_and_again_is_fine(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, payment_reference=RF)
    async with bank.owner.transaction():
        await bank.owner.execute("LOCK TABLE invoice IN ACCESS EXCLUSIVE MODE")
        assert (await bank.upload(GOOD)).status_code == 503
    assert await bank.book(GOOD) == {"entries": 1, "matched": 1}
    assert await bank.open_amounts(made.id) == money("0")


async def test_many_entries_pass_in_batches_that_are_all_counted(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, ("5000.00",), payment_reference=RF)
    file = camt([Line("1.00", rf=RF, bank_ref=f"B{n}") for n in range(1203)])
    assert await bank.book(file) == {"entries": 1203, "matched": 1203}
    assert await bank.open_amounts(made.id) == money("3797")
    assert await bank.book(file) == {"entries": 1203, "duplicates": 1203}


async def in_flight(bank: Payments, invoice_id: int) -> int:
    held: int = await bank.owner.fetchval(
        "SELECT count(*) FROM hold WHERE invoice_id = $1 AND kind = 'in_flight' AND released_at IS NULL AND until > business_now()",
        invoice_id,
    )
    return held


def vars_of(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in Line.__dataclass_fields__}


def test_reading_a_statement_needs_no_more_memory_for_more_entries() -> None:
    """A tenfold file, in one batch booking or in many entries, as XML and as lines: the reader's peak stays where it is."""
    for make in (camt, lambda lines: camt_of(batch(list(lines))), mt940):
        few, many = (peak_of(make([Line("1.00", f"no {n}") for n in range(size)])) for size in (600, 6_000))
        assert many < few + 1_000_000, (few, many)


def peak_of(file: bytes) -> int:
    reader, opened = reader_of(file[:4096]), io.BytesIO(file)
    tracemalloc.start()
    try:
        reader.check(opened)
        opened.seek(0)
        assert sum(isinstance(item, Entry) for item in reader.read(opened)) >= 600
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_evidence_is_kept_for_its_time_and_then_forgotten_while_what_was_said_stays(bank: Payments) -> None:
    await bank.book(GOOD)
    async with bank.db.connection() as connection:
        assert await forget_evidence(connection, timedelta(days=1), 10) == 0
        assert RF.encode() in await bank.owner.fetchval("SELECT body FROM payment_event")
        assert await forget_evidence(connection, timedelta(0), 10) == 1
    said = await bank.owner.fetchrow("SELECT body, amount, reference FROM payment_event")
    assert tuple(said or ()) == (None, Decimal(100), RF)
