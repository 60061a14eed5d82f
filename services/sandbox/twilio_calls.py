"""Twilio's Calls resource: a telephone rings, somebody or something answers, hears what our TwiML says, presses keys.

A call is on the disk before the 201; each thing that happens in it is owed from then on, one after the other, as a
signed request. Its text is what was spoken. The number alone decides who answers (`addresses.py`).
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit
from xml.etree import ElementTree

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.sandbox.addresses import FAULTS, REFUSED_CALLERS, REFUSED_CALLS, CallOutcome, Fault, call_outcome, keys_of
from services.sandbox.errands import GiveUp, Handler, Rest
from services.sandbox.faults import Faults
from services.sandbox.store import Errand, Message, Store
from services.sandbox.twilio import (
    ACCOUNTS,
    API_VERSION,
    ATTEMPT,
    E164,
    Account,
    Pace,
    Refused,
    form,
    linger,
    refuse_for,
)
from services.sandbox.twilio_api import OPERATIONS
from shared.web.strict import strict_router

CALL_ERRAND = "twilio.call"
NOBODY = {CallOutcome.NO_ANSWER: "no-answer", CallOutcome.BUSY: "busy", CallOutcome.FAILED: "failed"}
SECONDS_A_WORD = 0.4


@dataclass(frozen=True, slots=True)
class Heard:
    """What a TwiML document says, and where a key would be sent."""

    words: tuple[str, ...]
    action: str | None


class Calls:
    def __init__(
        self, account: Account, store: Store, faults: Faults[Fault], now: Callable[[], datetime], pace: Pace
    ) -> None:
        self._account, self._store, self._faults, self._now, self._pace = account, store, faults, now, pace

    def errands(self) -> Mapping[str, Handler]:
        return {CALL_ERRAND: self._go_on}

    def router(self) -> APIRouter:
        router = strict_router("sandbox")
        router.add_api_route(
            f"{ACCOUNTS}/{{account}}/Calls.json", self.create, methods=["POST"], include_in_schema=False
        )
        router.add_api_route(f"{ACCOUNTS}/{{account}}/Calls/{{sid}}.json", self.fetch, include_in_schema=False)
        return router

    async def create(self, account: str, request: Request) -> Response:
        try:
            self._account.authenticate(request, account)
            params = await form(request, OPERATIONS["create_call"])
            fault = self._faults.take() or FAULTS.get(params.get("To", ""), Fault.NONE)
            refuse_for(fault)
            _check(params)
        except Refused as refused:
            return refused.response()
        call = self._call(params)
        errand = Errand(CALL_ERRAND, {"sid": call.message_id, "fault": fault.value, "next": "ring"})
        await self._store.accept(call, [errand])
        await linger(self._pace, fault, request)
        if fault is Fault.ACCEPT_THEN_ERROR:
            return Refused(20500).response()
        return JSONResponse(self._shown(call), 201)

    async def fetch(self, account: str, sid: str, request: Request) -> Response:
        try:
            self._account.authenticate(request, account)
        except Refused as refused:
            return refused.response()
        call = await self._store.message(sid)
        if call is None or call.channel != "voice":
            return Refused(20404).response()
        return JSONResponse(self._shown(call))

    def _call(self, params: Mapping[str, str]) -> Message:
        attempt = ATTEMPT.fullmatch(parse_qs(urlsplit(params.get("StatusCallback", "")).query).get("attempt", [""])[0])
        kept = ("To", "From", "Url", "StatusCallback", "MachineDetection")
        return Message(
            message_id="CA" + secrets.token_hex(16),
            channel="voice",
            to=params["To"],
            sent_at=self._now(),
            status="queued",
            reminder_id=int(attempt["reminder"]) if attempt else None,
            data={name: params.get(name, "") for name in kept},
        )

    async def _go_on(self, payload: Mapping[str, Any]) -> Rest | None:
        """The next thing that happens in a call, and what then."""
        call = await self._store.message(payload["sid"])
        assert call is not None, f"no call {payload['sid']}"
        rest: dict[str, Any] | None
        match payload["next"]:
            case "ring":
                rest = await self._ring(call, payload)
            case "say":
                rest = await self._say(call, payload)
            case _:
                rest = await self._report(call, payload)
        return Rest(rest, self._pace.ring if payload["next"] == "ring" else self._pace.callback) if rest else None

    async def _ring(self, call: Message, payload: Mapping[str, Any]) -> dict[str, Any]:
        outcome = call_outcome(call.to)
        if outcome in NOBODY:
            return {**payload, "next": "end", "status": NOBODY[outcome]}
        await self._store.set_status(call.message_id, "in-progress")
        by = "machine_end_beep" if outcome is CallOutcome.VOICEMAIL else "human"
        keys = [] if outcome is CallOutcome.VOICEMAIL else keys_of(call.to)
        url = (call.data or {})["Url"]
        return {**payload, "next": "say", "url": url, "by": by, "keys": keys, "pressed": ""}

    async def _say(self, call: Message, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Twilio asks what to say, with the key that was pressed; the words are heard, and a further key pressed."""
        ended = {**payload, "next": "end", "status": "completed"}
        params = self._params(call, "in-progress")
        if payload["pressed"]:
            params["Digits"] = payload["pressed"]
        elif (call.data or {})["MachineDetection"]:
            params["AnsweredBy"] = payload["by"]
        try:
            document = await self._account.call_back(payload["url"], params)
        except GiveUp:
            return ended  # the caller hears that an application error has occurred
        heard = listen(document)
        spoken = [
            *filter(None, [call.text, f"[presses {payload['pressed']}]" if payload["pressed"] else ""]),
            *heard.words,
        ]
        await self._store.rewrite(replace(call, text="\n".join(spoken)))
        if not heard.action or not payload["keys"]:
            return ended
        key, *later = payload["keys"]
        return {**payload, "url": urljoin(payload["url"], heard.action), "keys": later, "pressed": key}

    async def _report(self, call: Message, payload: Mapping[str, Any]) -> dict[str, Any] | None:
        """The end of the call, as often as the ordered fault says."""
        url, status, fault = (call.data or {})["StatusCallback"], payload["status"], Fault(payload["fault"])
        times = {Fault.DOUBLE_CALLBACKS: [status, status], Fault.REORDER_CALLBACKS: [status, "ringing"]}
        for said in times.get(fault, [status]) if url and fault is not Fault.NO_CALLBACKS else []:
            await self._account.call_back(url, self._ended(call, said, payload))
        await self._store.set_status(call.message_id, status)
        return None

    def _ended(self, call: Message, status: str, payload: Mapping[str, Any]) -> dict[str, str]:
        params = self._params(call, status) | {"CallbackSource": "call-progress-events", "SequenceNumber": "0"}
        if status == "failed":
            params["SipResponseCode"] = "404"
        if status == "completed":
            params |= {"CallDuration": str(_seconds(call)), "Duration": str((_seconds(call) + 59) // 60)}
            params |= {"AnsweredBy": payload["by"]} if (call.data or {})["MachineDetection"] else {}
        return params

    def _params(self, call: Message, status: str) -> dict[str, str]:
        data = call.data or {}
        return {
            "CallSid": call.message_id,
            "CallStatus": status,
            "AccountSid": self._account.sid,
            "ApiVersion": API_VERSION,
            "Direction": "outbound-api",
            "From": data["From"],
            "To": data["To"],
        }

    def _shown(self, call: Message) -> dict[str, Any]:
        data, date = call.data or {}, format_datetime(datetime.now(UTC))
        return {
            "sid": call.message_id,
            "account_sid": self._account.sid,
            "api_version": API_VERSION,
            "to": data["To"],
            "from": data["From"],
            "status": call.status,
            "direction": "outbound-api",
            "answered_by": None,
            "duration": str(_seconds(call)) if call.status == "completed" else None,
            "price": None,
            "price_unit": "USD",
            "date_created": date,
            "date_updated": date,
            "uri": f"/{API_VERSION}/Accounts/{self._account.sid}/Calls/{call.message_id}.json",
        }


def listen(document: str) -> Heard:
    """Words in the order of the document; a key is taken by the first Gather."""
    root = ElementTree.fromstring(document)
    words = tuple(" ".join("".join(said.itertext()).split()) for said in root.iter("Say"))
    gather = root.find("Gather")
    numbers = tuple(f"[connected to {dial.text}]" for dial in root.iter("Dial"))
    if gather is not None:  # whoever presses a key hears nothing after it; silence hears the rest
        words = words if not gather.get("action") else words[: len(list(gather.iter("Say")))]
    return Heard(words + numbers, None if gather is None else gather.get("action"))


def _seconds(call: Message) -> int:
    return 5 + int(len(call.text.split()) * SECONDS_A_WORD)


def _check(params: Mapping[str, str]) -> None:
    to, caller = params.get("To", ""), params.get("From", "")
    words = {"to": to, "from_": caller, "url": params.get("Url", "")}
    if not to:
        raise Refused(21201)
    if caller in REFUSED_CALLERS or not E164.fullmatch(caller):
        raise Refused(REFUSED_CALLERS.get(caller, 21212), **words)
    if to in REFUSED_CALLS or not E164.fullmatch(to):
        raise Refused(REFUSED_CALLS.get(to, 21211), **words)
    if not urlsplit(words["url"]).scheme.startswith("http"):
        raise Refused(21205, **words)
