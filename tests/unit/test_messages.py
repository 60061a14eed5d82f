"""The messages say the same in Python and in `deploy/asyncapi.yaml`, and refuse what is none."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from jsonschema import Draft7Validator

from shared.bus.topology import Topology
from shared.messages import BULK, MAX_ID, MAX_IDS, PARKED, QUEUES, URGENT, BadMessage, RemindersDue

CONTRACT: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "asyncapi.yaml").read_text())
SCHEMA: dict[str, Any] = CONTRACT["components"]["schemas"]["RemindersDue"]

BAD = [
    b'{"ids":[]}',
    b'{"ids":[0]}',
    b'{"ids":[-1]}',
    b'{"ids":[1.5]}',
    b'{"ids":[true]}',
    b'{"ids":["1"]}',
    b'{"ids":[null]}',
    b'{"ids":1}',
    b'{"ids":[9223372036854775808]}',
    b"{}",
    b"[]",
    b"null",
    orjson.dumps({"ids": list(range(1, MAX_IDS + 2))}),
]
NO_JSON = [b"", b"{", b"\xff\xfe", b'{"ids":[NaN]}', b"[" * 10_000, b'{"ids":[1]}' + b" " * 20_000]


def test_a_message_survives_the_wire() -> None:
    message = RemindersDue([1, MAX_ID])
    assert b'{"ids":[1,9223372036854775807]}' == message.encode()
    assert message == RemindersDue.decode(message.encode())


def test_fields_of_a_newer_sender_are_skipped() -> None:
    assert RemindersDue([7]) == RemindersDue.decode(b'{"ids":[7],"since":"2026-11-22"}')


@pytest.mark.parametrize("body", BAD + NO_JSON, ids=lambda body: repr(body[:30]))
def test_anything_else_is_a_bad_message(body: bytes) -> None:
    with pytest.raises(BadMessage):
        RemindersDue.decode(body)


@pytest.mark.parametrize("body", BAD, ids=lambda body: repr(body[:30]))
def test_the_contract_refuses_the_same_bodies(body: bytes) -> None:
    assert not Draft7Validator(SCHEMA).is_valid(orjson.loads(body))


@pytest.mark.parametrize("message", [RemindersDue([1]), RemindersDue([MAX_ID] * MAX_IDS)], ids=["least", "most"])
def test_the_contract_takes_what_is_sent(message: RemindersDue) -> None:
    Draft7Validator(SCHEMA).validate(orjson.loads(message.encode()))


def test_a_message_of_too_many_ids_cannot_be_made() -> None:
    with pytest.raises(BadMessage, match="101 ids; a message carries 1 to 100"):
        RemindersDue(list(range(1, 102)))


def test_the_contract_names_the_same_queues() -> None:
    assert {URGENT, BULK, PARKED} == {channel["address"] for channel in CONTRACT["channels"].values()}


def test_the_contract_states_the_arguments_that_are_declared() -> None:
    topology = Topology()
    expected = {name: topology.work_arguments() for name in QUEUES} | {PARKED: topology.parked_arguments()}
    stated = {channel["address"]: channel["x-queue-arguments"] for channel in CONTRACT["channels"].values()}
    assert expected == stated


def test_the_contract_states_the_exchanges_that_are_declared() -> None:
    exchanges = {
        channel["address"]: channel["bindings"]["amqp"]["exchange"] for channel in CONTRACT["channels"].values()
    }
    topology = Topology()
    assert {topology.exchange} == {exchanges[name]["name"] for name in QUEUES}
    assert topology.parked_exchange == exchanges[PARKED]["name"]
    assert {"direct"} == {exchanges[name]["type"] for name in QUEUES}
    assert "fanout" == exchanges[PARKED]["type"]
