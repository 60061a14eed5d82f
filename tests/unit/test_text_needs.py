"""Who would be left without words."""

from services.dispatcher.domain.text_needs import left_without, steps_that_say
from shared.flow import Flow, standard


def test_a_step_and_what_follows_it_say_each_their_own_over_their_own_channels() -> None:
    flow = standard()
    assert steps_that_say(flow, "delinquent-call", "voice") == ["delinquent"]
    assert steps_that_say(flow, "pay-link", "sms") == ["delinquent"]
    assert steps_that_say(flow, "pay-link", "voice") == []


def test_every_channel_of_a_broadcast_needs_its_text() -> None:
    spec = standard().to_dict()
    spec["steps"] = [{"id": "all", "when": {"on": "due"}, "message": "now", "broadcast": ["email", "sms"]}]
    assert [steps_that_say(Flow.parse(spec), "now", channel) for channel in ("email", "sms", "push")] == [
        ["all"],
        ["all"],
        [],
    ]


def test_a_language_is_left_without_where_no_text_of_its_cascade_is_left() -> None:
    assert left_without(["pt-BR", "es", "de"], {"pt", "es-co"}) == ["es", "de"]
    assert left_without(["pt-BR", "es", "de"], {"en"}) == []
