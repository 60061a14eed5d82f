"""Whether a flow reaches anybody: channels that are offered, messages that have words. One function per kind."""

from collections.abc import Iterator

from shared.flow.ground import Ground
from shared.flow.spec import Flow
from shared.flow.steps import THEN_LEG, Step

Found = Iterator[tuple[tuple[str | int, ...], str]]


def nobody_sends(flow: Flow, ground: Ground) -> Found:
    """no channel of the whole flow has a provider"""
    named = sorted({channel for step in flow.steps for _, channels, _ in _ways(step) for channel in channels})
    if named and not any(ground.offers(channel) for channel in named):
        detail = (
            f"nobody offers a channel of this flow ({', '.join(named)}); configure a provider or name other channels"
        )
        yield ("steps",), detail


def no_words(flow: Flow, ground: Ground) -> Found:
    """a message without a text in any language for one of its channels"""
    for index, step in enumerate(flow.steps):
        for message, channels, place in _ways(step):
            dumb = [channel for channel in channels if not ground.texts(message, channel)]
            if dumb:
                detail = f"message '{message}' of step '{step.id}' has no text for {', '.join(dumb)} in any language"
                yield (
                    ("steps", index, *place, "message"),
                    f"{detail}; PUT /v1/templates/{message} first, or use another",
                )


def no_words_for_some(flow: Flow, ground: Ground) -> Found:
    """a message that some customers cannot get: no text in their language, and none that stands in"""
    for index, step in enumerate(flow.steps):
        for message, channels, place in _ways(step):
            worded = [channel for channel in channels if ground.texts(message, channel)]
            dumb = [c for c in worded if any(not ground.answers(message, c, tag) for tag in ground.locales)]
            tags = [tag for tag in ground.locales if any(not ground.answers(message, c, tag) for c in dumb)]
            if dumb:
                detail = (
                    f"message '{message}' of step '{step.id}' has no text for {', '.join(dumb)} in {', '.join(tags)}"
                )
                todo = f"PUT /v1/templates/{message} in {' or '.join(dict.fromkeys((tags[0], ground.stands_in)))} first"
                yield (
                    ("steps", index, *place, "message"),
                    f"{detail}, and none in {ground.stands_in} to stand in; {todo}",
                )


def reaches_nobody(flow: Flow, ground: Ground) -> Found:
    """a step none of whose channels has a provider"""
    for index, step in enumerate(flow.steps):
        for _, channels, place in _ways(step):
            if not any(ground.offers(channel) for channel in channels):
                detail = f"nobody offers {', '.join(channels)}, so step '{step.id}' reaches nobody"
                yield ("steps", index, *place, _word(step)), f"{detail} until a provider is configured"


def goes_without(flow: Flow, ground: Ground) -> Found:
    """a step some of whose channels have no provider"""
    for index, step in enumerate(flow.steps):
        for _, channels, place in _ways(step):
            lacking = [channel for channel in channels if not ground.offers(channel)]
            if lacking and len(lacking) < len(channels):
                detail = f"nobody offers {', '.join(lacking)}; step '{step.id}' goes without"
                yield ("steps", index, *place, _word(step)), detail


def not_their_language(flow: Flow, ground: Ground) -> Found:
    """a message that some customers get in another language than theirs"""
    for index, step in enumerate(flow.steps):
        for message, channels, place in _ways(step):
            worded = [channel for channel in channels if ground.texts(message, channel)]
            answered = [tag for tag in ground.locales if all(ground.answers(message, c, tag) for c in worded)]
            missing = [tag for tag in answered if any(not ground.speaks(message, c, tag) for c in worded)]
            if missing:
                detail = f"message '{message}' of step '{step.id}' has no text in {', '.join(missing)}"
                yield ("steps", index, *place, "message"), f"{detail}; who speaks that gets another language"


REACH = (nobody_sends, no_words, no_words_for_some)
REACH_HABITS = (reaches_nobody, goes_without, not_their_language)


def _word(step: Step) -> str:
    return "broadcast" if step.broadcast else "channels"


def _ways(step: Step) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(message, channels, place inside the step) of all that it sends."""
    if step.speaks:
        yield step.message_of(""), tuple(step.broadcast or step.channels or ()), ()
    if step.then is not None:
        yield step.then.message, step.channels_of(THEN_LEG), ("then",)
