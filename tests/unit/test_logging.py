"""Whoever logs: one JSON object a line, without secrets and without a customer's token."""

import io
import logging
from collections.abc import Iterator

import orjson
import pytest
import structlog

from shared.kernel.ids import new_token
from shared.logging import configure, redact
from shared.web.auth import new_key


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, said = (root.handlers[:], root.level), structlog.get_config()
    stream = io.StringIO()
    configure("info", stream=stream)
    yield stream
    structlog.configure(**said)
    root.handlers[:], level = before
    root.setLevel(level)


def test_a_line_is_one_json_object_even_with_line_breaks_in_it(lines: io.StringIO) -> None:
    structlog.get_logger().info("started", name="a\nb", count=3)
    (line,) = lines.getvalue().splitlines()
    event = orjson.loads(line)
    assert {"event": "started", "name": "a\nb", "count": 3, "level": "info"}.items() <= event.items()
    assert event["timestamp"].endswith("Z")


def test_a_library_that_logs_an_exception_does_not_leak_a_password(lines: io.StringIO) -> None:
    try:
        raise ConnectionError("postgresql://dunnock:hunter2@db/dunnock is away")
    except ConnectionError:
        logging.getLogger("library").exception("connect to %s", "amqp://user:hunter2@mq:5672/")
    (line,) = lines.getvalue().splitlines()
    event = orjson.loads(line)
    assert event["logger"] == "library"
    assert "ConnectionError" in event["exception"]
    assert "db/dunnock" in event["exception"]
    assert "hunter2" not in line


def test_fields_that_are_secrets_by_name_are_hidden(lines: io.StringIO) -> None:
    structlog.get_logger().warning("x", password="p1", Authorization="p2", api_key="p3", link_token="p4", tries=2)
    line = lines.getvalue()
    assert not any(secret in line for secret in ("p1", "p2", "p3", "p4"))
    assert orjson.loads(line)["tries"] == 2


def test_below_the_level_nothing_is_written(lines: io.StringIO) -> None:
    structlog.get_logger().debug("detail")
    logging.getLogger("library").debug("detail")
    assert lines.getvalue() == ""


@pytest.mark.parametrize(
    "form",
    [
        "{key}",
        "Bearer {key}",
        "key={key};",
        '"{key}"',
        "whsec_{token}",
        "/pay/{token}",
        "/push/{token}",
        "/u/{token}?x",
    ],
)
def test_keys_and_tokens_are_hidden_wherever_they_stand(form: str) -> None:
    key, token = new_key(), new_token()
    shown = redact(f"before {form.format(key=key, token=token)} after")
    assert key not in shown
    assert token not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


def test_ordinary_text_stays_as_it_is() -> None:
    text = "GET /v1/invoices/INV-2026-001 https://example.com/a@b 12:30 task dk_ /pay/{token}"
    assert redact(text) == text


def test_a_mail_servers_talk_is_not_written_because_it_names_customers(lines: io.StringIO) -> None:
    logging.getLogger("mail.log").info("%s >> %s", "127.0.0.1", "RCPT TO:<anna@example.com>")
    logging.getLogger("mail.log").warning("something is wrong")
    assert [orjson.loads(line)["event"] for line in lines.getvalue().splitlines()] == ["something is wrong"]


def test_a_url_that_is_called_is_not_written_because_it_may_hold_a_secret(lines: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET https://erp.example/invoice.pdf?signature=hunter2")
    assert lines.getvalue() == ""
