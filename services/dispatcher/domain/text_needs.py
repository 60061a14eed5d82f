"""Who would be left without words if a text were taken away.

True here: a flow needs every channel of every message that it sends, in whatever language a customer of it may speak.
"""

from collections.abc import Iterable, Iterator, Set

from shared.content.catalog import cascade
from shared.flow import THEN_LEG, Flow
from shared.flow.steps import Step


def steps_that_say(flow: Flow, message: str, channel: str) -> list[str]:
    """The steps of this flow that send this message over this channel."""
    return [step.id for step in flow.steps if (message, channel) in _ways(step)]


def left_without(locales: Iterable[str], known: Set[str]) -> list[str]:
    """Those of these languages for which none of the known texts (locales, lower case) speaks; all of them, if there is
    no text at all."""
    return [locale for locale in locales if not any(tag.lower() in known for tag in cascade(locale))]


def _ways(step: Step) -> Iterator[tuple[str, str]]:
    for leg in (*step.legs, THEN_LEG) if step.then else step.legs:
        for channel in step.channels_of(leg) if step.speaks else ():
            yield step.message_of(leg), channel
