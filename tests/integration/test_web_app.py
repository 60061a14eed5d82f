"""What every service's HTTP surface does with good and bad requests, over a real server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
import httpx
import pytest
from fastapi import Depends, FastAPI, Query, Request

from shared.kernel.errors import Conflict
from shared.web.app import build_app, mount
from shared.web.auth import Caller, Keys, Scope, key_hash, new_key, require
from shared.web.fields import Amount, Currency, IsoDate, Ref
from shared.web.health import Readiness
from shared.web.limits import Limits, Pace
from shared.web.paging import Page, Paged
from shared.web.parts import part, provide
from shared.web.problems import declared
from shared.web.server import make_server
from shared.web.strict import StrictModel, strict_router


class Installment(StrictModel):
    due_date: IsoDate
    amount: Amount


class Bill(StrictModel):
    invoice_id: Ref
    currency: Currency = "EUR"
    installments: list[Installment]


@dataclass(frozen=True, slots=True)
class Parts:
    name: str


@dataclass(frozen=True, slots=True)
class OtherParts:
    name: str


router = strict_router("bills")
Broken = dict[str, Exception]
FAULTS: Broken = {
    "bug": ZeroDivisionError("secret-42"),
    "locked": asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
    "slow": asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
    "gone": ConnectionRefusedError(111, "postgresql://u:hunter2@db"),
    "closed": asyncpg.InterfaceError("connection is closed"),
    "full": TimeoutError(),
    "misuse": asyncpg.InterfaceError("another operation is in progress"),
    "taken": Conflict("bill 'B-1' exists with another amount"),
}


@router.post("/v1/bills", status_code=201, responses=declared(401, 403))
async def make_bill(bill: Bill, caller: Annotated[Caller, Depends(require("invoices:write"))]) -> dict[str, str]:
    return {"invoice_id": bill.invoice_id, "by": caller.name, "amount": str(bill.installments[0].amount)}


@router.get("/v1/bills")
async def list_bills(paging: Paged) -> Page[int]:
    (start,) = paging.last(int) or (0,)
    items, cursor = paging.cut([i for i in range(120) if i > start][: paging.limit + 1], lambda i: (i,))
    return Page(items=list(items), next_cursor=cursor)


@router.delete("/v1/bills/held", status_code=204)
async def drop_bills(
    _: Annotated[Caller, Depends(require("invoices:write"))], paging: Paged, only: Annotated[str | None, Query()] = None
) -> None:
    """All of them, unless `only` names one."""


@router.get("/v1/faults/{name}")
async def fail(name: str) -> None:
    raise FAULTS[name]


@router.get("/pay/{token}")
async def pay(token: str, parts: Annotated[Parts, part(Parts)], other: Annotated[OtherParts, part(OtherParts)]) -> str:
    return f"{parts.name} {other.name}"


@router.post("/v1/stream")
async def stream(request: Request) -> int:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return size


KEY, READER, REVOKED = new_key(), new_key(), new_key()
CALLERS = {
    key_hash(KEY): Caller("erp", frozenset({"invoices:write"}), 1),
    key_hash(READER): Caller("reader", frozenset({"invoices:read"}), 2),
    key_hash(REVOKED): Caller("old", frozenset({"invoices:write"}), 3),
}
GOOD: dict[str, Any] = {"invoice_id": "B-1", "installments": [{"due_date": "2026-12-24", "amount": "12.50"}]}
BEARER = {"Authorization": f"Bearer {KEY}"}


def app_with(**options: Any) -> FastAPI:
    async def look_up(hashed: bytes) -> Caller | None:
        return CALLERS.get(hashed)

    options.setdefault("readiness", Readiness())
    app = build_app("Test", keys=Keys(look_up, "bootstrap-key", ttl=0.2), **options)
    provide(app, Parts("one"))
    provide(app, OtherParts("two"))
    mount(app, router)
    return app


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[tuple[httpx.AsyncClient, int]]:
    server = make_server(app, "127.0.0.1", 0)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client, port
    server.should_exit = True
    await task


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app_with(), raise_app_exceptions=False)
    async with httpx.AsyncClient(base_url="http://test", transport=transport) as client:
        yield client


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    members: dict[str, Any] = response.json()
    assert members["status"] == status
    assert {"type", "title"} <= members.keys()
    return members


def pointers(members: dict[str, Any]) -> dict[str, str]:
    return {error["pointer"]: error["detail"] for error in members["errors"]}


async def test_a_good_request_is_answered(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/bills", json=GOOD, headers=BEARER)
    assert (answer.status_code, answer.json()) == (201, {"invoice_id": "B-1", "by": "erp", "amount": "12.50"})
    assert answer.headers["x-request-id"]


async def test_each_wrong_value_is_pointed_at(client: httpx.AsyncClient) -> None:
    bad = {
        "invoice_id": "B 1",
        "currency": "EURO",
        "installments": [{"due_date": 20261224, "amount": 12.5}, {"due_date": "2026-02-30", "amount": "-1"}, {}],
        "colour/~": "red",
    }
    errors = pointers(problem(await client.post("/v1/bills", json=bad, headers=BEARER), 422))
    assert {
        *("/invoice_id", "/currency", "/installments/0/due_date", "/installments/0/amount"),
        *("/installments/1/due_date", "/installments/1/amount", "/installments/2/due_date"),
        *("/installments/2/amount", "/colour~1~0"),
    } == errors.keys()
    assert "decimal string" in errors["/installments/0/amount"]
    assert "not a known field" in errors["/colour~1~0"]
    assert errors["/installments/2/amount"] == "is required"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"a": NaN}', b'{"invoice_id": "1", "invoice_id": "2"}', b"[" * 100_000, b"\xff", b'"\\ud800"'],
)
async def test_a_body_that_is_not_sound_json_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/v1/bills", content=body, headers={**BEARER, "Content-Type": "application/json"})
    problem(answer, 400 if body else 422)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null"])
async def test_json_of_another_shape_is_a_422(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/v1/bills", content=body, headers={**BEARER, "Content-Type": "application/json"})
    assert problem(answer, 422)["errors"][0]["pointer"] == ""


async def test_a_body_that_does_not_say_it_is_json_is_a_415(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/bills", content=b"{}", headers={**BEARER, "Content-Type": "text/plain"})
    assert "application/json" in problem(answer, 415)["detail"]


async def test_unknown_paths_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    problem(await client.get("/nothing"), 404)
    answer = await client.delete("/v1/bills")
    problem(answer, 405)
    assert set(answer.headers["allow"].split(", ")) & {"GET", "POST"}
    problem(await client.get("/v1/bills/"), 404)


@pytest.mark.parametrize(
    ("name", "status"),
    [("bug", 500), ("misuse", 500), ("taken", 409)] + [(n, 503) for n in ("locked", "slow", "gone", "closed", "full")],
)
async def test_a_failure_becomes_the_status_that_says_what_to_do(
    client: httpx.AsyncClient, name: str, status: int
) -> None:
    answer = await client.get(f"/v1/faults/{name}")
    problem(answer, status)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "secret-42" not in answer.text
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eDp5", f"Bearer dk_{'A' * 43}", "Bearer ä"])
async def test_without_a_known_key_nothing_is_read(client: httpx.AsyncClient, header: str | None) -> None:
    headers = {b"Content-Type": b"application/json"} | ({} if header is None else {b"Authorization": header.encode()})
    answer = await client.post("/v1/bills", content=b"{not json", headers=headers)
    problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_missing_scope_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/bills", json=GOOD, headers={"Authorization": f"Bearer {READER}"})
    assert "'invoices:write'" in problem(answer, 403)["detail"]


async def test_the_bootstrap_key_may_do_everything(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/bills", json=GOOD, headers={"Authorization": "bearer bootstrap-key"})
    assert answer.json()["by"] == "bootstrap"


async def test_a_revoked_key_stops_within_a_second(client: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {REVOKED}"}
    assert (await client.post("/v1/bills", json=GOOD, headers=headers)).status_code == 201
    row = CALLERS.pop(key_hash(REVOKED))
    try:
        async with asyncio.timeout(1):
            while (await client.post("/v1/bills", json=GOOD, headers=headers)).status_code != 401:
                await asyncio.sleep(0.02)
    finally:
        CALLERS[key_hash(REVOKED)] = row


async def test_many_requests_of_one_moment_look_a_key_up_once() -> None:
    looked = 0

    async def look_up(_: bytes) -> Caller | None:
        nonlocal looked
        looked += 1
        await asyncio.sleep(0.01)
        return Caller("x", frozenset({"operate"}), 9)

    keys = Keys(look_up)
    callers = await asyncio.gather(*(keys.caller("dk_x") for _ in range(50)))
    assert looked == 1
    assert {caller.owner for caller in callers} == {"key:9"}


async def test_a_failed_look_up_is_told_and_not_kept() -> None:
    answers: list[Caller | Exception] = [ConnectionError("away"), Caller("x", frozenset(), 1)]

    async def look_up(_: bytes) -> Caller | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keys = Keys(look_up)
    with pytest.raises(ConnectionError):
        await keys.caller("dk_x")
    assert (await keys.caller("dk_x")).name == "x"


async def test_a_list_is_walked_to_its_end(client: httpx.AsyncClient) -> None:
    seen: list[int] = []
    cursor = None
    while True:
        page = (await client.get("/v1/bills", params={"limit": 50} | ({"cursor": cursor} if cursor else {}))).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == list(range(1, 120))


@pytest.mark.parametrize("cursor", ["", "!", "WzFd0", "W10", "WyJhIl0", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OV0", "e30", "ä"])
async def test_a_cursor_of_another_list_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    assert "cursor" in problem(await client.get("/v1/bills", params={"cursor": cursor}), 400)["detail"]


@pytest.mark.parametrize("limit", ["0", "201", "x", "1e1"])
async def test_a_limit_out_of_range_is_named(client: httpx.AsyncClient, limit: str) -> None:
    detail = problem(await client.get("/v1/bills", params={"limit": limit}), 422)["errors"][0]["detail"]
    assert "query parameter 'limit'" in detail


async def test_a_misspelt_parameter_is_named_and_not_passed_over(client: httpx.AsyncClient) -> None:
    refused = problem(await client.delete("/v1/bills/held?onyl=B-1&limit=5", headers=BEARER), 422)
    assert {"": "query parameter 'onyl' is not known here; there are cursor, limit, only"} == pointers(refused)
    assert (await client.delete("/v1/bills/held?only=B-1&limit=5", headers=BEARER)).status_code == 204
    problem(await client.delete("/v1/bills/held?onyl=B-1"), 401)  # a stranger learns no names


async def test_what_a_mail_program_appends_to_a_link_does_no_harm(client: httpx.AsyncClient) -> None:
    assert (await client.get("/pay/abc?utm_source=mail")).status_code == 200


async def test_the_character_nul_never_reaches_the_database(client: httpx.AsyncClient) -> None:
    problem(await client.get("/v1/faults/a%00b"), 400)
    problem(await client.get("/v1/bills?cursor=%00"), 400)


async def test_metrics_and_routes_never_show_a_token(client: httpx.AsyncClient) -> None:
    assert (await client.get("/pay/tok-SECRET")).json() == "one two"
    await client.get("/nothing/tok-SECRET")
    text = (await client.get("/metrics")).text
    assert 'dunnock_http_requests_total{method="GET",route="/pay/{token}",status="200"} 1.0' in text
    assert 'route="(none)",status="404"' in text
    assert "SECRET" not in text


async def test_readiness_names_what_is_missing_and_never_hangs() -> None:
    readiness = Readiness(timeout=0.05)

    async def well() -> None:
        return None

    async def raises() -> str | None:
        raise ConnectionError("postgresql://u:hunter2@db")

    readiness.add("bus", well)
    readiness.notice("sms", "no provider is configured")
    transport = httpx.ASGITransport(app_with(readiness=readiness))
    async with httpx.AsyncClient(base_url="http://test", transport=transport) as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["notices"] == {"sms": "no provider is configured"}
        readiness.add("database", raises)
        readiness.add("store", asyncio.Event().wait)  # type: ignore[arg-type]  # never answers
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {
            "bus": "ok",
            "database": "fails (ConnectionError)",
            "store": "does not answer within 0.05 s",
        }
        assert (await client.get("/healthz")).json()["status"] == "alive"


async def test_a_draining_process_is_not_ready() -> None:
    readiness = Readiness()
    readiness.drain()
    ready, health = await readiness.report()
    assert not ready
    assert health.checks == {"process": "is shutting down"}


async def test_the_openapi_document_declares_problems_and_keys(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    call = document["paths"]["/v1/bills"]["post"]
    assert {"201", "400", "401", "403", "408", "413", "415", "422", "503"} == call["responses"].keys()
    assert call["responses"]["422"]["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
    assert call["security"] == [{"ApiKey": []}]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    amount = document["components"]["schemas"]["Installment"]["properties"]["amount"]
    assert amount["type"] == "string"


def test_a_path_belongs_to_one_router() -> None:
    other = strict_router("twins")

    @other.get("/v1/faults/{other_name}")
    async def twin(other_name: str) -> str:
        return other_name

    app = app_with()
    with pytest.raises(RuntimeError, match="belongs to one service"):
        mount(app, other)


def test_parts_of_two_apps_never_mix() -> None:
    app = app_with()
    with pytest.raises(RuntimeError, match="already provided"):
        provide(app, Parts("again"))
    assert app_with().state.parts[Parts] == Parts("one")


def test_an_unknown_scope_fails_at_import() -> None:
    with pytest.raises(ValueError, match="everything"):
        require("everything")
    assert require(Scope.OPERATE).scope == "operate"


async def test_an_oversize_body_is_refused_before_or_while_it_comes() -> None:
    limits = Limits({"/v1/stream": 100_000}, default=1000)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2000):
            yield b"x" * 1000

    async with running(app_with(limits=limits)) as (client, _):
        told = await client.post("/v1/bills", content=b"[" + b" " * 1000 + b"]", headers=BEARER)
        assert "1000 bytes" in problem(told, 413)["detail"]
        problem(await client.post("/v1/stream", content=endless()), 413)
        sent = b'{"x": "' + b"y" * 5000 + b'"}'

        async def chunked() -> AsyncIterator[bytes]:
            yield sent

        headers = {**BEARER, "Content-Type": "application/json"}
        problem(await client.post("/v1/bills", content=chunked(), headers=headers), 413)
        assert (await client.post("/v1/stream", content=b"x" * 90_000)).json() == 90_000


async def test_a_path_without_a_limit_streams() -> None:
    async def much() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * 10_000

    async with running(app_with(limits=Limits({"/v1/stream": None}, default=1000))) as (client, _):
        assert (await client.post("/v1/stream", content=much())).json() == 3_000_000


@pytest.mark.parametrize(
    "pace",
    [Pace(chunk=0.1), Pace(chunk=5.0, grace=0.1, rate=1000.0)],
    ids=["a chunk that does not come", "a drip"],
)
async def test_a_slow_body_is_a_408_and_frees_the_connection(pace: Pace) -> None:
    async with running(app_with(pace=pace)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip()) if pace.chunk > 1 else None
        async with asyncio.timeout(4):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"application/problem+json" in answer
        if dripping:
            await dripping
        writer.close()


async def test_a_client_that_leaves_disturbs_nobody() -> None:
    async with running(app_with()) as (client, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        await writer.drain()
        writer.transport.abort()
        assert (await client.post("/v1/stream", content=b"abc")).json() == 3
