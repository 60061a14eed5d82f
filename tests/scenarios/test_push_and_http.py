"""Notifications and APIs on their doubles, over the real queue: what arrives, what does not, what is tried next."""

import json
from typing import Any

from tests.scenarios.story import Case

FLOW = """
name: {name}
steps:
  - id: told
    when: {{on: issue}}
    message: upcoming
    channels: [{channels}]
    requires_open: false
"""
GOOD_TOKEN = "fcm-token-of-a-handset:APA91bexample"


def told(case: Case, channels: str, *points: dict[str, Any]) -> None:
    """An invoice whose only step goes over these channels, to a customer with these addresses and a mailbox."""
    name = "told-" + channels.replace(", ", "-")
    flow = FLOW.format(name=name, channels=channels)
    case.world.call("PUT", f"/v1/flows/{name}", content=flow, headers={"Content-Type": "application/yaml"})
    mailbox = {"kind": "email", "address": "ana@x.sandbox.test"}
    preferred = channels.partition(",")[0]
    case.invoice(flow=name, customer={"contact_points": [*points, mailbox], "preferred_channel": preferred})


def test_an_app_shows_the_notification_with_the_link_to_the_pay_page(case: Case) -> None:
    told(case, "push, email", {"kind": "push", "address": GOOD_TOKEN})

    assert case.sent() == ["day 1 push told"]
    [message] = case.messages()
    assert message["to"] == GOOD_TOKEN
    assert "/pay/" in message["text"]
    assert case.tries("told") == ["push accepted"]


def test_an_app_that_is_gone_gives_way_to_the_mail_and_is_not_used_again(case: Case) -> None:
    told(case, "push, email", {"kind": "push", "address": "unregistered-token-of-a-handset"})

    assert case.sent() == ["day 1 email told"]
    assert case.tries("told") == ["push rejected", "email accepted"]
    assert case.suppressed() == ["push invalid"]


def test_a_browser_shows_what_only_it_can_read(case: Case) -> None:
    subscription = case.world.call("POST", "/sandbox/browsers", {"name": "ana"})
    told(case, "push, email", {"kind": "push", "address": json.dumps(subscription)})

    [message] = case.messages()
    assert (message["channel"], message["to"]) == ("push", subscription["endpoint"])
    assert message["subject"].startswith("Invoice")
    assert "/pay/" in message["text"]


def test_a_browser_elsewhere_is_not_reached_from_a_sandbox(case: Case) -> None:
    subscription = case.world.call("POST", "/sandbox/browsers", {"name": "ana"})
    elsewhere = {**subscription, "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/gAAA"}
    told(case, "push, email", {"kind": "push", "address": json.dumps(elsewhere)})

    assert case.tries("told") == ["push accepted"]
    [message] = case.world.call("GET", f"/sandbox/messages?to={elsewhere['endpoint']}")["items"]
    assert message["text"] == "(encrypted)"


def test_a_browser_that_is_gone_gives_way_to_the_mail(case: Case) -> None:
    subscription = case.world.call("POST", "/sandbox/browsers", {"name": "gone-1"})
    told(case, "push, email", {"kind": "push", "address": json.dumps(subscription)})

    assert case.tries("told") == ["push rejected", "email accepted"]


def test_an_api_takes_the_message_and_reports_that_it_arrived(case: Case) -> None:
    told(case, "http, email", {"kind": "url", "address": "https://hooks.sandbox.test/ana"})

    assert case.sent() == ["day 1 http told"]
    assert case.tries("told") == ["http delivered"]
    assert case.messages()[0]["to"] == "https://hooks.sandbox.test/ana"


def test_an_address_that_the_api_refuses_is_barred_and_the_mail_goes(case: Case) -> None:
    told(case, "http, email", {"kind": "url", "address": "https://reject.sandbox.test/ana"})

    assert case.tries("told") == ["http rejected", "email accepted"]
    assert case.suppressed() == ["http invalid"]


def test_a_report_that_it_did_not_arrive_lets_the_mail_go(case: Case) -> None:
    told(case, "http, email", {"kind": "url", "address": "https://undelivered.sandbox.test/ana"})

    assert case.tries("told") == ["http undelivered", "email accepted"]
    assert case.sent() == ["day 1 http told", "day 1 email told"]


def test_an_api_that_is_busy_is_asked_again_and_takes_it_once(case: Case) -> None:
    case.world.call("POST", "/sandbox/faults", {"provider": "http", "fault": "too_many"})
    told(case, "http, email", {"kind": "url", "address": "https://hooks.sandbox.test/ana"})

    assert case.tries("told") == ["http notsent", "http delivered"]
    assert case.sent() == ["day 1 http told"]


def test_an_error_after_the_api_took_it_is_not_sent_again(case: Case) -> None:
    case.world.call("POST", "/sandbox/faults", {"provider": "http", "fault": "accept_then_error"})
    told(case, "http, email", {"kind": "url", "address": "https://hooks.sandbox.test/ana"})

    assert case.sent() == ["day 1 http told"]
    assert case.tries("told") == ["http delivered"]  # unknown until the report came
