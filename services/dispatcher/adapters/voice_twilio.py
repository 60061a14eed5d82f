"""Automated calls through Twilio Voice.

Twilio calls, finds out whether a person or a machine answers, and only then asks here what to say. What may be said is
the claim's: it travels with the call, sealed, so that nothing is looked up, or changed, while the telephone rings.
A machine hears the limited text alone. A call that reached nobody (busy, no answer, failed, machine) is missed.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from math import ceil
from typing import ClassVar, Self
from urllib.parse import quote

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.dispatcher.adapters.twilio_account import PROVIDER, TwilioChannel, TwilioConfig, callback_url
from services.dispatcher.adapters.twilio_calls import Script, Seal, connect, hang_up, menu, say_and_end
from services.dispatcher.domain.outcomes import (
    Accepted,
    Delivered,
    Engaged,
    Engagement,
    Missed,
    Outcome,
    Receipt,
    Rejected,
)
from services.dispatcher.domain.ports import Gate, Key, NotSigned, Outgoing, Replied, Report, Reported, Turn
from shared.content.calls import call_words
from shared.content.facts import one_line
from shared.settings import PhoneNumber, Settings

END_WITHIN = timedelta(hours=1)
MOST_CHARACTERS = 2000  # of a text, which travels in a URL; about two minutes of speech
LONGEST_CALL = 600  # seconds; with a person on the line as long as that person likes, see <Dial>
KEYS = {"1": Key.PAY_LINK, "2": Key.REPEAT, "3": Key.PERSON, "9": Key.OPT_OUT}


class VoiceConfig(Settings):
    """Without a caller's number there are no calls."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_TWILIO_")

    voice_from: PhoneNumber | None = Field(
        None, description="caller's number of creditors without their own, E.164; empty: no calls"
    )
    voice_person: PhoneNumber | None = Field(
        None, description="number of a person: key 3 connects to it, voicemails name it; empty: neither"
    )
    voice_price: Decimal = Field(Decimal("0.03"), ge=0, description="what a started minute of a call costs")
    voice_ring: int = Field(25, ge=5, le=600, description="seconds that a telephone rings")
    voice_retry_after: int = Field(
        7200, ge=60, description="seconds until a customer who was not reached is called again"
    )
    voice_per_day: int = Field(2, ge=1, le=100, description="calls of one reminder in 24 hours at most")
    voice_limit: int = Field(4, ge=1, le=100, description="calls that reach nobody, after which the reminder moves on")


class VoiceTwilio(TwilioChannel):
    name: ClassVar[str] = "voice"

    def __init__(self, account: TwilioConfig, config: VoiceConfig) -> None:
        if config.voice_from is None:
            raise ValueError("DUNNOCK_TWILIO_VOICE_FROM is missing: set it to the caller's number")
        super().__init__(account)
        assert account.auth_token
        self._config = config
        self._seal = Seal(account.auth_token.get_secret_value())

    @classmethod
    def from_settings(cls) -> Self | None:
        account, config = TwilioConfig(), VoiceConfig()
        return cls(account, config) if account.present and config.voice_from else None

    def price(self, to_address: str) -> Decimal:
        return self._config.voice_price

    def cost(self, outgoing: Outgoing) -> Decimal:
        """Of the first minute; the receipt tells how long it was."""
        return self._config.voice_price

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome:
        if len(outgoing.rendered.text) > MOST_CHARACTERS:
            return Rejected(f"the text is longer than the {MOST_CHARACTERS} characters that a call can say", "too_long")
        script = self._script(outgoing)
        made = await self._create(
            gate,
            lambda client: client.calls.create_async(
                to=outgoing.to_address,
                from_=outgoing.facts.voice_from or str(self._config.voice_from),
                url=_turns(outgoing, self._seal.close(script, outgoing.attempt_id)),
                machine_detection="DetectMessageEnd",
                timeout=self._config.voice_ring,
                time_limit=LONGEST_CALL,
                status_callback=callback_url(outgoing),
            ),
        )
        if isinstance(made, Outcome):
            return made
        return Accepted(made.sid, str(made.status or ""), receipt_within=END_WITHIN)

    def _script(self, outgoing: Outgoing) -> Script:
        facts, locale = outgoing.facts, outgoing.rendered.locale or outgoing.facts.locale
        voicemail = call_words(locale).for_a_machine(one_line(facts.creditor_name), self._config.voice_person)
        return Script(locale, outgoing.rendered.text, voicemail, one_line(facts.invoice_number), outgoing.followed)

    def read_report(self, report: Report) -> Sequence[Reported | Replied]:
        self._check(report)
        word = self._ended(report) if "CallSid" in report.form else None
        return [Reported(report.query.get("attempt", ""), word)] if word else []

    def _ended(self, report: Report) -> Receipt | None:
        """How a call ended; None while it goes on."""
        form = report.form
        status, answered_by = form.get("CallStatus", ""), form.get("AnsweredBy", "")
        minutes = _minutes(form.get("CallDuration", ""))
        match status:
            case "completed" if _is_machine(answered_by):
                return self._missed(answered_by, minutes)
            case "completed":
                unheard = self._missed("ended before anything was said", minutes)
                return Delivered(form.get("CallSid", ""), status, minutes, unheard)
            case "busy" | "no-answer" | "failed" | "canceled":
                return self._missed(" ".join(filter(None, (status, form.get("SipResponseCode", "")))), 0)
            case _:
                return None

    def _missed(self, detail: str, minutes: int | None = None) -> Missed:
        config = self._config
        spacing = timedelta(seconds=config.voice_retry_after)
        return Missed(detail, spacing, config.voice_limit, config.voice_per_day, minutes)

    def read_turn(self, report: Report) -> Turn:
        self._check(report)
        attempt = report.query.get("attempt", "")
        script = self._seal.open(report.query.get("script", ""), attempt)
        if script is None:
            raise NotSigned
        answered_by, pressed = report.form.get("AnsweredBy", ""), report.form.get("Digits", "")
        keys = self._keys(script)
        if pressed:
            return self._pressed(attempt, script, keys.get(pressed), report)
        if _is_machine(answered_by):
            document = hang_up() if answered_by == "fax" else say_and_end(script.locale, script.voicemail)
            return Turn(attempt, self._missed(answered_by), None, document)
        return Turn(attempt, Engaged(Engagement.ANSWERED, "answered"), None, menu(script, keys, report.url))

    def _pressed(self, attempt: str, script: Script, key: Key | None, report: Report) -> Turn:
        words, locale = script.words, script.locale
        match key:
            case Key.PAY_LINK:
                return Turn(attempt, None, key, say_and_end(locale, words.link_sent))
            case Key.PERSON:
                person, caller = str(self._config.voice_person), report.form.get("From", "")
                return Turn(attempt, None, key, connect(locale, words.connecting, person, caller))
            case Key.OPT_OUT:
                return Turn(attempt, None, key, say_and_end(locale, words.stopped))
            case Key.REPEAT | None:
                return Turn(attempt, None, key, menu(script, self._keys(script), report.url))

    def _keys(self, script: Script) -> dict[str, Key]:
        absent = set() if script.followed else {Key.PAY_LINK}
        absent |= set() if self._config.voice_person else {Key.PERSON}
        return {digit: key for digit, key in KEYS.items() if key not in absent}


def _turns(outgoing: Outgoing, sealed: str) -> str:
    """Where Twilio asks what to say."""
    return f"{outgoing.callback_url}/{PROVIDER}/call?attempt={quote(outgoing.attempt_id)}&script={sealed}"


def _is_machine(answered_by: str) -> bool:
    """Who cannot be told from a machine hears what a machine hears."""
    return answered_by.startswith("machine") or answered_by in ("fax", "unknown")


def _minutes(seconds: str) -> int:
    """Started ones."""
    return ceil(int(seconds) / 60) if seconds.isascii() and seconds.isdigit() and len(seconds) < 7 else 1
