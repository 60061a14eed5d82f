"""Twilio's Messages resource: POST and GET, status callbacks, and replies from the handset.

A message is on the disk, with its callbacks, before the 201. Statuses go queued -> sent -> delivered | undelivered.
RCS and WhatsApp use the same resource; the scheme before the number names the channel.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.sandbox.addresses import FAULTS, REFUSED_RECIPIENTS, REFUSED_SENDERS, UNDELIVERED, Fault
from services.sandbox.errands import Handler, Rest
from services.sandbox.faults import Faults
from services.sandbox.store import Errand, Message, Store
from services.sandbox.twilio import ACCOUNTS, API_VERSION, Account, Refused, form
from shared.web.strict import strict_router

CHANNELS = {"": "sms", "whatsapp": "whatsapp", "rcs": "rcs"}
E164 = re.compile(r"\+[1-9]\d{6,14}")
STATUS_ERRAND, REPLY_ERRAND = "twilio.status", "twilio.reply"
STOP_WORDS = {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"}
START_WORDS = {"START", "YES", "UNSTOP"}
ATTEMPT = re.compile(r"(?P<reminder>\d+)\.\d+")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between callbacks, of a delayed answer, and until a hanging answer is given up."""

    callback: float = 0.02
    delay: float = 3.0
    hang: float = 300.0


class Messages:
    def __init__(
        self,
        account: Account,
        store: Store,
        faults: Faults[Fault],
        now: Callable[[], datetime],
        incoming_url: str,
        pace: Pace,
    ) -> None:
        self._account, self._store, self._faults, self._now = account, store, faults, now
        self._incoming_url, self._pace = incoming_url, pace

    def errands(self) -> Mapping[str, Handler]:
        return {STATUS_ERRAND: self._report_status, REPLY_ERRAND: self._deliver_reply}

    def router(self) -> APIRouter:
        router = strict_router("sandbox")
        router.add_api_route(
            f"{ACCOUNTS}/{{account}}/Messages.json", self.create, methods=["POST"], include_in_schema=False
        )
        router.add_api_route(f"{ACCOUNTS}/{{account}}/Messages/{{sid}}.json", self.fetch, include_in_schema=False)
        return router

    async def create(self, account: str, request: Request) -> Response:
        try:
            self._account.authenticate(request, account)
            params = await form(request)
            fault = self._faults.take() or FAULTS.get(_number(params.get("To", "")), Fault.NONE)
            _refuse_for(fault)
            await self._check(params)
        except Refused as refused:
            return refused.response()
        message = self._message(params)
        await self._store.accept(message, self._owed(message, params, fault))
        await self._linger(fault, request)
        if fault is Fault.ACCEPT_THEN_ERROR:
            return Refused(20500).response()
        return JSONResponse(self._shown(message), 201)

    async def fetch(self, account: str, sid: str, request: Request) -> Response:
        try:
            self._account.authenticate(request, account)
        except Refused as refused:
            return refused.response()
        message = await self._store.message(sid)
        if message is None or message.channel not in CHANNELS.values():
            return Refused(20404).response()
        return JSONResponse(self._shown(message))

    async def reply(self, from_: str, body: str, to: str = "+15005550006") -> str:
        """The handset answers: owed to the incoming-message webhook from now on. Returns its sid."""
        word = body.strip().upper()
        if word in STOP_WORDS | START_WORDS:
            await self._store.opt(from_, out=word in STOP_WORDS)
        sid = _sid()
        params = {
            "MessageSid": sid,
            "SmsMessageSid": sid,
            "SmsSid": sid,
            "AccountSid": self._account.sid,
            "ApiVersion": API_VERSION,
            "From": from_,
            "To": to,
            "Body": body,
            "NumMedia": "0",
            "NumSegments": "1",
            "SmsStatus": "received",
        }
        if word in STOP_WORDS:
            params["OptOutType"] = "STOP"
        await self._store.owe([Errand(REPLY_ERRAND, params)])
        return sid

    async def _check(self, params: Mapping[str, str]) -> None:
        to, sender = params.get("To", ""), params.get("From", "")
        if not to:
            raise Refused(21604)
        if not sender and not params.get("MessagingServiceSid"):
            raise Refused(21603)
        _check_text(params)
        words = {"to": to, "from_": sender, "url": params.get("StatusCallback", "")}
        if _number(sender) in REFUSED_SENDERS:
            raise Refused(REFUSED_SENDERS[_number(sender)], **words)
        if _number(to) in REFUSED_RECIPIENTS or not E164.fullmatch(_number(to)) or _scheme(to) not in CHANNELS:
            raise Refused(REFUSED_RECIPIENTS.get(_number(to), 21211), **words)
        if words["url"] and not urlsplit(words["url"]).scheme.startswith("http"):
            raise Refused(21609, **words)
        if await self._store.opted_out(to):
            raise Refused(21610)

    def _message(self, params: Mapping[str, str]) -> Message:
        attempt = ATTEMPT.fullmatch(parse_qs(urlsplit(params.get("StatusCallback", "")).query).get("attempt", [""])[0])
        to = params["To"]
        return Message(
            message_id=_sid(),
            channel=CHANNELS[_scheme(to)],
            to=_number(to),
            sent_at=self._now(),
            text=params.get("Body", ""),
            status="queued",
            reminder_id=int(attempt["reminder"]) if attempt else None,
            data={"To": to, "From": params.get("From"), "MessagingServiceSid": params.get("MessagingServiceSid")},
        )

    def _owed(self, message: Message, params: Mapping[str, str], fault: Fault) -> list[Errand]:
        error = UNDELIVERED.get(message.to)
        statuses = ["queued", "sent", "undelivered" if error else "delivered"]
        if fault is Fault.REORDER_CALLBACKS:
            statuses.reverse()
        if fault is Fault.DOUBLE_CALLBACKS:
            statuses = [status for status in statuses for _ in range(2)]
        url = None if fault is Fault.NO_CALLBACKS else params.get("StatusCallback") or None
        payload = {"sid": message.message_id, "url": url, "statuses": statuses, "error": error}
        return [Errand(STATUS_ERRAND, payload)]

    async def _linger(self, fault: Fault, request: Request) -> None:
        """Keep the client waiting, but not longer than it waits: a hanging answer must not hold up a shutdown."""
        seconds = {Fault.DELAY: self._pace.delay, Fault.HANG: self._pace.hang}.get(fault, 0.0)
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end and not await request.is_disconnected():
            await asyncio.sleep(0.1)

    async def _report_status(self, payload: Mapping[str, Any]) -> Rest | None:
        """One status, then the rest of them a moment later."""
        status, *later = payload["statuses"]
        message = await self._store.message(payload["sid"])
        assert message is not None, f"no message {payload['sid']}"
        if payload["url"]:
            await self._account.call_back(payload["url"], self._callback(message, status, payload["error"]))
        if message.status not in ("delivered", "undelivered"):
            await self._store.set_status(message.message_id, status)
        return Rest({**payload, "statuses": later}, self._pace.callback) if later else None

    async def _deliver_reply(self, payload: Mapping[str, Any]) -> Rest | None:
        await self._account.call_back(self._incoming_url, payload)
        return None

    def _callback(self, message: Message, status: str, error: int | None) -> dict[str, str]:
        data = message.data or {}
        params = {
            "MessageSid": message.message_id,
            "SmsSid": message.message_id,
            "MessageStatus": status,
            "SmsStatus": status,
            "AccountSid": self._account.sid,
            "ApiVersion": API_VERSION,
            "To": data["To"],
        }
        optional = {"From": data["From"], "MessagingServiceSid": data["MessagingServiceSid"]}
        if status == "undelivered" and error:
            optional["ErrorCode"] = str(error)
        return params | {name: value for name, value in optional.items() if value}

    def _shown(self, message: Message) -> dict[str, Any]:
        data = message.data or {}
        error = UNDELIVERED.get(message.to) if message.status == "undelivered" else None
        uri = f"/{API_VERSION}/Accounts/{self._account.sid}/Messages/{message.message_id}"
        date = format_datetime(datetime.now(UTC))
        return {
            "sid": message.message_id,
            "account_sid": self._account.sid,
            "api_version": API_VERSION,
            "to": data["To"],
            "from": data["From"],
            "messaging_service_sid": data["MessagingServiceSid"],
            "body": message.text,
            "status": message.status,
            "direction": "outbound-api",
            "num_segments": "1",
            "num_media": "0",
            "price": None,
            "price_unit": "USD",
            "error_code": error,
            "error_message": None,
            "date_created": date,
            "date_updated": date,
            "date_sent": None if message.status == "queued" else date,
            "uri": f"{uri}.json",
            "subresource_uris": {"media": f"{uri}/Media.json"},
        }


def _refuse_for(fault: Fault) -> None:
    if fault is Fault.TOO_MANY:
        raise Refused(20429)
    if fault is Fault.SERVER_ERROR:
        raise Refused(20500)


def _check_text(params: Mapping[str, str]) -> None:
    body = params.get("Body", "")
    if not body and not params.get("ContentSid") and not params.get("MediaUrl"):
        raise Refused(21602)
    if len(body) > 1600:
        raise Refused(21617)


def _scheme(address: str) -> str:
    return address.rpartition(":")[0]


def _number(address: str) -> str:
    return address.rpartition(":")[2]


def _sid() -> str:
    return "SM" + secrets.token_hex(16)
