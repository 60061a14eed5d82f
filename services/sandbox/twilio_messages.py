"""Twilio's Messages resource: POST and GET, status callbacks, and replies from the handset.

A message is on the disk, with its callbacks, before the 201. Statuses go queued -> sent -> delivered | undelivered.
RCS and WhatsApp use the same resource; the scheme before the number names the channel. WhatsApp takes a free text only
from whom wrote within 24 hours; else it fails with 63016. The numbers that read tell so, on both.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.sandbox.addresses import (
    FAILED_ON,
    FAULTS,
    READS,
    REFUSED_RECIPIENTS,
    REFUSED_SENDERS,
    UNDELIVERED,
    Fault,
)
from services.sandbox.errands import Handler, Rest
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
from services.sandbox.twilio_contents import BadContent, rendered
from shared.web.strict import strict_router

CHANNELS = {"": "sms", "whatsapp": "whatsapp", "rcs": "rcs"}
STATUS_ERRAND, REPLY_ERRAND = "twilio.status", "twilio.reply"
STOP_WORDS = {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"}
START_WORDS = {"START", "YES", "UNSTOP"}
SESSION = timedelta(hours=24)
OUTSIDE_SESSION = 63016
FINAL = ("delivered", "read", "undelivered", "failed")


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
            params = await form(request, OPERATIONS["create_message"])
            fault = self._faults.take() or FAULTS.get(_number(params.get("To", "")), Fault.NONE)
            refuse_for(fault)
            await self._check(params)
            message = self._message(params)
        except Refused as refused:
            return refused.response()
        error = await self._failure(message, params)
        message = replace(message, data={**(message.data or {}), "error": error})
        await self._store.accept(message, self._owed(message, params, fault, error))
        await linger(self._pace, fault, request)
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
        """The handset answers: owed to the incoming-message webhook from now on. Returns its sid. `whatsapp:` before both
        numbers makes it a WhatsApp message."""
        word = body.strip().upper()
        if word in STOP_WORDS | START_WORDS:
            await self._store.opt(from_, out=word in STOP_WORDS)
        await self._store.wrote(from_, self._now())
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
        if word in STOP_WORDS | START_WORDS:
            params["OptOutType"] = "STOP" if word in STOP_WORDS else "START"
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
            text=_text(CHANNELS[_scheme(to)], params),
            status="queued",
            reminder_id=int(attempt["reminder"]) if attempt else None,
            data={"To": to, "From": params.get("From"), "MessagingServiceSid": params.get("MessagingServiceSid")},
        )

    async def _failure(self, message: Message, params: Mapping[str, str]) -> int | None:
        """Why it will not arrive."""
        if message.channel == "whatsapp" and not params.get("ContentSid"):
            wrote = await self._store.last_wrote(params["To"])
            if wrote is None or self._now() - wrote > SESSION:
                return OUTSIDE_SESSION
        return UNDELIVERED.get(message.to) or FAILED_ON.get((message.channel, message.to))

    def _owed(self, message: Message, params: Mapping[str, str], fault: Fault, error: int | None) -> list[Errand]:
        statuses = ["queued", "sent", "undelivered" if error else "delivered"]
        statuses += ["read"] if message.to == READS and message.channel != "sms" else []
        if fault is Fault.REORDER_CALLBACKS:
            statuses.reverse()
        if fault is Fault.DOUBLE_CALLBACKS:
            statuses = [status for status in statuses for _ in range(2)]
        url = None if fault is Fault.NO_CALLBACKS else params.get("StatusCallback") or None
        payload = {"sid": message.message_id, "url": url, "statuses": statuses, "error": error}
        return [Errand(STATUS_ERRAND, payload)]

    async def _report_status(self, payload: Mapping[str, Any]) -> Rest | None:
        """One status, then the rest of them a moment later."""
        status, *later = payload["statuses"]
        message = await self._store.message(payload["sid"])
        assert message is not None, f"no message {payload['sid']}"
        if payload["url"]:
            await self._account.call_back(payload["url"], self._callback(message, status, payload["error"]))
        if message.status not in FINAL or status == "read":
            await self._store.set_status(message.message_id, status)
        return Rest({**payload, "statuses": later}, self._pace.callback) if later else None

    async def _deliver_reply(self, payload: Mapping[str, Any]) -> Rest | None:
        """The answer may hold a text for the handset, which is then sent as any other."""
        document = await self._account.call_back(self._incoming_url, payload)
        for text in ElementTree.fromstring(document).iter("Message") if document else ():
            await self._store.accept(
                self._message({"To": payload["From"], "From": payload["To"], "Body": text.text or ""})
            )
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
        error = (message.data or {}).get("error") if message.status == "undelivered" else None
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


def _check_text(params: Mapping[str, str]) -> None:
    body = params.get("Body", "")
    if not body and not params.get("ContentSid") and not params.get("MediaUrl"):
        raise Refused(21602)
    if len(body) > 1600:
        raise Refused(21617)


def _text(channel: str, params: Mapping[str, str]) -> str:
    """A content template comes before a body, as at Twilio."""
    if not params.get("ContentSid"):
        return params.get("Body", "")
    try:
        return rendered(channel, params["ContentSid"], params.get("ContentVariables", ""))
    except BadContent as error:
        raise Refused(error.code) from None


def _scheme(address: str) -> str:
    return address.rpartition(":")[0]


def _number(address: str) -> str:
    return address.rpartition(":")[2]


def _sid() -> str:
    return "SM" + secrets.token_hex(16)
