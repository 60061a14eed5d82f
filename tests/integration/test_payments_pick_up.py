"""Statement files in a folder and in a bucket: what each place alone can do to us, and the way from a setting to the money."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
import structlog
from obstore.store import S3Store
from prometheus_client import REGISTRY

from services.payments.adapters.bucket import Bucket
from services.payments.adapters.folder import Folder
from services.payments.adapters.registry import reader_of
from services.payments.domain.bucket_settings import BucketSettings
from services.payments.domain.matching import Rules
from services.payments.domain.pick_up import LARGEST, Ended, FilePlace, Found, Gone, NotNow, Place, pause
from services.payments.handlers.pick_up import PickUp
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.handlers.watch_places import Watch
from shared.outgoing import LOOPBACK, Allowed, Guard, guarded_client
from tests import factories
from tests.contract.statement_places import FolderRig
from tests.doubles.object_store import ACCESS, REGION, SECRET, ObjectStore, object_store
from tests.integration.payments_running import BEARER, Payments, payments_running
from tests.statement_files import Line, camt

RF = "RF18539007547034"
GOOD = camt([Line("100.00", rf=RF)])
ALLOWED = Guard(Allowed.parse(LOOPBACK))
CLIENTS: list[httpx.AsyncClient] = []  # of the test that runs


@pytest.fixture
async def bank(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path / "documents", window=0.1, pool_size=8) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> FolderRig:
    return FolderRig(tmp_path / "in")


@pytest.fixture
async def store() -> AsyncIterator[ObjectStore]:
    async with object_store() as made:
        yield made
        while CLIENTS:
            await CLIENTS.pop().aclose()


def client(guard: Guard) -> httpx.AsyncClient:
    CLIENTS.append(guarded_client(guard, max_bytes=LARGEST, timeout=60))
    return CLIENTS[-1]


async def source(bank: Payments) -> int:
    return await factories.source(bank.owner, "files", "statement")


async def taker(bank: Payments, place: FilePlace, kind: Place) -> PickUp:
    recorder = PaymentRecorder(bank.db, timedelta(seconds=0.1))
    return PickUp(place, kind, await source(bank), recorder, Rules(), reader_of)


async def told(bank: Payments) -> dict[str, str]:
    rows = await bank.owner.fetch("SELECT name, said FROM statement_file WHERE said IS NOT NULL")
    return {row[0]: row[1] for row in rows}


async def test_files_of_a_folder_are_moved_with_a_word_on_each(bank: Payments, folder: FolderRig) -> None:
    for name, content in (("1.xml", GOOD), ("2.xml", GOOD), ("3.pdf", b"%PDF-1.7"), (".4.xml.part", b"<")):
        folder.put(name, content)
    (folder.path / "5.xml").write_bytes(b"<")  # may still be written to
    look = (await taker(bank, folder.place(), Place.FOLDER)).look
    assert [await look(), await look()] == [3, 0]
    assert names(folder.path / "done") == ["1.xml", "1.xml.txt", "2.xml", "2.xml.txt"]
    assert '"duplicates": 1' in (folder.path / "done" / "2.xml.txt").read_text()
    assert "PDF" in (folder.path / "failed" / "3.pdf.txt").read_text()
    assert names(folder.path) == [".4.xml.part", "5.xml"]
    folder.put("1.xml", GOOD)  # a name that is in done already
    assert await look() == 1
    assert len(names(folder.path / "done")) == 6


async def test_entries_of_a_picked_up_file_are_counted_and_one_that_cannot_be_read_is_an_alarm(
    bank: Payments, folder: FolderRig
) -> None:
    """Nobody waits for the answer, so what is only in the word beside the file would be seen by nobody."""
    folder.put("1.xml", camt([Line("1.00", "first", bank_ref="A"), Line("2.00", currency="XXX"), Line("NaN")]))
    before = {outcome: counted(outcome) for outcome in ("unmatched", "errors")}
    with structlog.testing.capture_logs() as logs:
        assert await (await taker(bank, folder.place(), Place.FOLDER)).look() == 1
    assert {"unmatched": 1, "errors": 2} == {outcome: counted(outcome) - before[outcome] for outcome in before}
    [alarm] = [line for line in logs if line["event"] == "statement_entries_failed"]
    assert ("1.xml", 2, "error") == (alarm["file"], alarm["entries"], alarm["log_level"])
    assert "entry 2" in alarm["hint"]


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("dunnock_statement_entries_total", {"outcome": outcome}) or 0.0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


async def test_what_is_no_file_is_told_and_neither_followed_nor_opened(
    bank: Payments, folder: FolderRig, tmp_path: Path
) -> None:
    made = await factories.invoice(bank.owner, payment_reference=RF)
    secret = tmp_path / "secret.xml"
    secret.write_bytes(camt([Line("1.00", rf=RF, bank_ref="S")]))
    (folder.path / "1-link.xml").symlink_to(secret)
    (folder.path / "2-dangling.xml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder.path / "3-pipe.xml")
    (folder.path / "4-folder").mkdir()
    (folder.path / os.fsdecode(b"5-\xff.xml")).write_bytes(GOOD)
    os.utime(folder.path / os.fsdecode(b"5-\xff.xml"), (1, 1))
    folder.put("6.xml", GOOD)
    with structlog.testing.capture_logs() as logs:
        assert await (await taker(bank, folder.place(), Place.FOLDER)).look() == 6
    assert await bank.open_amounts(made.id) == [Decimal(0)]
    said = await told(bank)
    assert ["link" in said["1-link.xml"], "link" in said["2-dangling.xml"], "neither" in said["3-pipe.xml"]] == [
        True
    ] * 3
    assert ("directory" in said["4-folder"], "UTF-8" in said["5-\\xff.xml"]) == (True, True)
    assert len([line for line in logs if line["event"] == "statement_file_not_read"]) == 5
    assert secret.exists()


async def test_a_file_without_the_right_to_read_it_is_told(
    bank: Payments, folder: FolderRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so the refusal is the system's own, given by hand."""
    real: Callable[..., int] = os.open

    def refused(path: Any, *args: Any, **more: Any) -> int:
        if str(path).endswith("1.xml"):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", refused)
    folder.put("1.xml", GOOD)
    folder.put("2.xml", GOOD)
    assert await (await taker(bank, folder.place(), Place.FOLDER)).look() == 2
    assert await told(bank) == {"1.xml": "it cannot be opened: Permission denied"}
    assert names(folder.path / "done") == ["2.xml", "2.xml.txt"]


async def test_a_file_that_is_too_large_is_refused_unread(bank: Payments, folder: FolderRig) -> None:
    with (folder.path / "1.xml").open("wb") as file:
        file.truncate(LARGEST + 1)
    os.utime(folder.path / "1.xml", (1, 1))
    assert await (await taker(bank, folder.place(), Place.FOLDER)).look() == 1
    assert "larger than 256 MiB" in (folder.path / "failed" / "1.xml.txt").read_text()


async def test_a_folder_that_is_not_there_is_said_and_one_that_cannot_take_back_its_files_too(
    bank: Payments, folder: FolderRig
) -> None:
    with pytest.raises(NotNow, match="No such file"):
        await (await taker(bank, Folder(folder.path / "not-there"), Place.FOLDER)).look()
    folder.put("1.xml", GOOD)
    folder.put("2.xml", GOOD)
    (folder.path / "done").write_text("not a folder")
    assert await (await taker(bank, folder.place(), Place.FOLDER)).look() == 2
    assert {said.partition(":")[0] for said in (await told(bank)).values()} == {
        "it was read, but cannot be moved to 'done'"
    }


def bucket(store: ObjectStore, guard: Guard = ALLOWED, **more: Any) -> Bucket:
    return Bucket(BucketSettings(**store.settings(**more)), client(guard))


async def listed(place: FilePlace, after: str = "") -> list[str]:
    return [found.name async for page in place.pages(after) for found in page]


async def test_a_client_that_we_did_not_write_is_believed_by_the_same_store_and_sees_the_same(
    store: ObjectStore,
) -> None:
    """So what the double believes of us, a store believes, too."""
    store.objects = {"in/a b+c%20é.xml": b"<a/>", "in/2.xml": b"22", "in/3.xml": b"333", "out/4.xml": b"4"}
    theirs = S3Store(
        store.bucket,
        endpoint=store.origin,
        region=REGION,
        access_key_id=ACCESS,
        secret_access_key=SECRET,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    seen = sorted([meta["path"] for page in [item async for item in obstore.list(theirs, "in")] for meta in page])
    assert await listed(bucket(store, prefix="in/")) == seen == ["in/2.xml", "in/3.xml", "in/a b+c%20é.xml"]
    for name in seen:
        assert bytes(await (await obstore.get_async(theirs, name)).bytes_async()) == store.objects[name]
        assert await content(bucket(store), name) == store.objects[name]
    assert store.strangers == 0


async def content(place: Bucket, name: str) -> bytes:
    (found,) = [each async for page in place.pages("") for each in page if each.name == name]
    async with place.open(found) as file:
        return file.read()


async def test_a_listing_of_many_pages_is_read_to_its_end_or_from_a_name_on(store: ObjectStore) -> None:
    store.objects = {f"{n:03}": b"x" for n in range(25)} | {"folder/": b"", "z" * 1025: b"x"}
    every = [f"{n:03}" for n in range(25)]
    assert await listed(bucket(store)) == every
    assert len(store.asked) == 14
    assert await listed(bucket(store), "020") == every[21:]


async def test_a_store_with_more_pages_than_one_look_reads_is_gone_through_in_turns(
    bank: Payments, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.payments.handlers.pick_up.MOST_PAGES", 3)
    store.objects = {f"{n}.xml": camt([Line("1.00", bank_ref=f"B{n}")]) for n in range(8)}
    looking = await taker(bank, bucket(store), Place.BUCKET)
    assert [await looking.look() for _ in range(4)] == [6, 2, 0, 0]


ANSWERS: dict[str, tuple[Callable[[ObjectStore], None], str]] = {
    "slow down": (lambda store: store.refuse.extend([503]), "slow down"),
    "an error": (lambda store: store.refuse.extend([500]), "HTTP 500"),
    "another region": (lambda store: store.refuse.extend([301]), "another region"),
    "another bucket": (lambda store: setattr(store, "bucket", "other-files"), "no such bucket"),
    "a web page": (lambda store: setattr(store, "listing", b"<html></html>"), "something else"),
    "no XML": (lambda store: setattr(store, "listing", b"{}"), "not XML"),
    "a bomb": (lambda store: setattr(store, "listing", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), "something else"),
    "without an end": (lambda store: setattr(store, "listing", b"<a>" * 3_000_000), "larger than 8 MiB"),
}


@pytest.mark.parametrize(("arrange", "said"), ANSWERS.values(), ids=ANSWERS)
async def test_a_store_that_does_not_list_is_said_in_words(
    store: ObjectStore, arrange: Callable[[ObjectStore], None], said: str
) -> None:
    place = bucket(store)
    arrange(store)
    with pytest.raises(NotNow, match=said):
        await listed(place)


async def test_wrong_keys_and_refused_addresses_are_said_without_the_secret(store: ObjectStore) -> None:
    with pytest.raises(NotNow, match="access is denied") as denied:
        await listed(bucket(store, secret_access_key="wrong-" + SECRET))
    with pytest.raises(NotNow, match="DUNNOCK_OUTGOING_ALLOW") as refused:
        await listed(bucket(store, Guard(Allowed())))
    assert SECRET not in f"{denied.value!r} {refused.value!r}"


async def test_an_object_that_breaks_off_is_not_used_and_comes_whole_the_next_time(
    bank: Payments, store: ObjectStore
) -> None:
    """A camt file that is cut would be told; a cut MT940 might pass."""
    made = await factories.invoice(bank.owner, payment_reference=RF)
    store.objects = {"1.xml": GOOD}
    store.cut = len(GOOD) // 2
    looking = await taker(bank, bucket(store), Place.BUCKET)
    assert await looking.look() == 1
    assert (await told(bank))["1.xml"].startswith("no whole answer")
    assert (await bank.counts(), await bank.open_amounts(made.id)) == ((0, 0), [Decimal(100)])
    (shown,) = (await bank.get("/v1/statements/files"))["items"]
    assert (shown["state"], shown["ended_at"], bool(shown["next_try_at"])) == ("waiting", None, True)
    store.cut = None
    await bank.owner.execute("UPDATE statement_file SET due_at = clock_timestamp()")
    assert await looking.look() == 1
    assert await bank.open_amounts(made.id) == [Decimal(0)]


async def test_an_object_that_is_replaced_while_it_is_read_is_taken_in_its_new_version(
    bank: Payments, store: ObjectStore
) -> None:
    made = await factories.invoice(bank.owner, ("100.00",), payment_reference=RF)
    store.objects = {"1.xml": camt([Line("40.00", rf=RF)])}
    store.before_get = lambda key: store.objects.update({key: GOOD})
    looking = await taker(bank, bucket(store), Place.BUCKET)
    assert [await looking.look() for _ in range(3)] == [1, 1, 0]
    assert await bank.open_amounts(made.id) == [Decimal(0)]


async def test_a_name_that_no_address_can_hold_is_told(bank: Payments, store: ObjectStore) -> None:
    store.objects = {"in/../1.xml": GOOD, "2.xml": GOOD}
    assert await (await taker(bank, bucket(store), Place.BUCKET)).look() == 2
    assert "'..'" in (await told(bank))["in/../1.xml"]


def watch(bank: Payments, folder: FilePlace | None, guard: Guard = ALLOWED) -> Watch:
    recorder, calling = PaymentRecorder(bank.db, timedelta(seconds=0.1)), client(guard)
    return Watch(recorder, Rules(), reader_of, folder, lambda settings: Bucket(BucketSettings(**settings), calling))


async def put(bank: Payments, name: str, settings: dict[str, Any]) -> Any:
    answer = await bank.http.put(f"/v1/sources/{name}", json=settings, headers=BEARER)
    return answer.status_code, answer.json()


async def test_a_source_with_a_bucket_is_picked_up_and_never_shows_its_keys(bank: Payments, store: ObjectStore) -> None:
    made = await factories.invoice(bank.owner, payment_reference=RF)
    store.objects = {"bank/1.xml": GOOD}
    status, shown = await put(bank, "s3", {"kind": "statement", "bucket": store.settings(prefix="bank/")})
    assert (status, shown["secrets"], shown["settings"]["bucket"]["name"]) == (201, 2, store.bucket)
    assert not {SECRET, ACCESS} & {*str(shown).replace("'", " ").split()}
    watching = watch(bank, None)
    with structlog.testing.capture_logs() as logs:
        await watching.turn()
        await watching.looked()
    assert await bank.open_amounts(made.id) == [Decimal(0)]
    assert (await bank.upload(GOOD, source="s3")).json()["duplicates"] == 1
    assert SECRET not in f"{logs}"
    (shown,) = (await bank.get("/v1/statements/files", source="s3"))["items"]
    assert (shown["name"], shown["place"], shown["state"], shown["tries"]) == ("bank/1.xml", "bucket", "booked", 1)
    assert '"matched": 1' in shown["said"]
    assert (await bank.http.delete("/v1/sources/s3", headers=BEARER)).status_code == 204
    await watching.turn()
    assert watching._watched == {}


WRONG_BUCKETS: dict[str, dict[str, Any]] = {
    "an address inside": {"endpoint": "http://169.254.169.254"},
    "a path": {"endpoint": "https://s3.example.com/path"},
    "a query": {"endpoint": "https://s3.example.com?x"},
    "another scheme": {"endpoint": "file:///etc"},
    "a bucket that is a path": {"name": "a/../b"},
    "a key with a line break": {"access_key_id": "AK\r\nX: y"},
    "no secret": {"secret_access_key": ""},
    "a region with a blank": {"region": "eu west"},
    "an unknown field": {"acl": "public"},
}


@pytest.mark.parametrize("wrong", WRONG_BUCKETS.values(), ids=WRONG_BUCKETS)
async def test_a_bucket_that_could_not_be_read_or_should_not_be_is_refused_when_it_is_set(
    bank: Payments, store: ObjectStore, wrong: dict[str, Any]
) -> None:
    status, said = await put(bank, "s3", {"kind": "statement", "bucket": {**store.settings(), **wrong}})
    assert (status, bool(said["detail"])) == (422, True)
    assert SECRET not in str(said)


async def test_a_place_that_does_not_answer_is_told_waits_ever_longer_and_holds_up_no_other(
    bank: Payments, store: ObjectStore, folder: FolderRig
) -> None:
    made = await factories.invoice(bank.owner, payment_reference=RF)
    store.refuse = [503] * 10
    await put(bank, "s3", {"kind": "statement", "bucket": store.settings()})
    folder.put("1.xml", GOOD)
    watching = watch(bank, folder.place())
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            await watching.turn()
            await watching.looked()
    assert await bank.open_amounts(made.id) == [Decimal(0)]
    assert [(line["source"], line["hint"]) for line in logs if line["event"] == "statement_place_failed"] == [
        ("s3", "the store asks to slow down")
    ]
    slow = next(each for each in watching._watched.values() if each.source == "s3")
    assert 0 < slow.not_before - time.monotonic() <= pause(1)
    await watching.stop()


async def test_stopping_does_not_wait_for_a_store_that_hangs(bank: Payments, store: ObjectStore) -> None:
    reached = asyncio.Event()

    def hang(_: str) -> None:
        reached.set()

    store.objects = {"1.xml": GOOD}
    store.before_get, store.cut = hang, 0
    store.hangs = True
    await put(bank, "s3", {"kind": "statement", "bucket": store.settings()})
    watching = watch(bank, None)
    await watching.turn()
    async with asyncio.timeout(120):
        await reached.wait()
        began = time.monotonic()
        await watching.stop()
    assert time.monotonic() - began < 30  # the client would wait for 60
    store.release.set()


@pytest.mark.parametrize("tries", [1, 2, 3, 8, 9, 100, 10**6])
def test_pauses_grow_to_an_hour(tries: int) -> None:
    assert pause(tries) == min(15 * 2 ** min(tries - 1, 20), 3600)


async def test_a_bucket_is_only_read(store: ObjectStore) -> None:
    assert await bucket(store).put_away(Found("1.xml", "v"), Ended.BOOKED, "") is False
    assert store.asked == []


async def test_a_file_that_is_replaced_while_it_is_read_is_read_again_and_not_moved_away(folder: FolderRig) -> None:
    folder.put("a.sta", b"first")
    place = folder.place()
    (found,) = [each async for page in place.pages("") for each in page]
    async with place.open(found) as file:
        assert file.read() == b"first"
        folder.take_away("a.sta")
        folder.put("a.sta", b"the second")
    assert await place.put_away(found, Ended.BOOKED, "read")
    assert (folder.path / "a.sta").read_bytes() == b"the second"
    (again,) = [each async for page in place.pages("") for each in page]
    assert again.version != found.version


async def test_what_was_no_file_and_is_not_there_any_more_is_forgotten(folder: FolderRig) -> None:
    (folder.path / "new").mkdir()
    place = folder.place()
    (found,) = [each async for page in place.pages("") for each in page]
    (folder.path / "new").rmdir()
    with pytest.raises(Gone):
        async with place.open(found):
            pass


async def test_the_word_on_a_file_takes_no_other_files_place(folder: FolderRig) -> None:
    place = folder.place()
    for name in ("a.txt", "a"):
        folder.put(name, name.encode())
        (found,) = [each async for page in place.pages("") for each in page]
        await place.put_away(found, Ended.BOOKED, "read")
    assert (folder.path / "done" / "a.txt").read_bytes() == b"a.txt"
    kept = {path.read_text() for path in (folder.path / "done").iterdir()}
    assert kept == {"a.txt", "a", "read"}


async def test_a_file_that_says_it_is_from_the_future_does_not_wait_for_it(folder: FolderRig) -> None:
    folder.put("a.sta", b"said")
    os.utime(folder.path / "a.sta", (time.time() + 86_400,) * 2)
    place = folder.place()
    found: list[str] = []
    async with asyncio.timeout(60):
        while not found:
            found = [each.name async for page in place.pages("") for each in page]
            await asyncio.sleep(0.1)
    assert found == ["a.sta"]
