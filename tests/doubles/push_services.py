"""FCM and a browser's push service as far as they are used: a scripted API that answers for both, and keys for them."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import SecretStr

from services.dispatcher.adapters.push import Push, PushConfig
from shared.outgoing import LOOPBACK, Allowed, Guard
from shared.push import Subscription
from tests.doubles.json_api import JsonApi, json_api

TOKEN = "fcm-token-of-a-handset:APA91bexample"
VAPID_KEY = "mHnxxLeSm2A2dMv7oNWLOHbZRUwZAnTxHFwjLYhvy0w"
BROWSER_KEY = ec.derive_private_key(4711, ec.SECP256R1())
BROWSER_SECRET = b"sixteen bytes..."
BROWSER_POINT = BROWSER_KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
HOME = Guard(Allowed.parse(LOOPBACK))


@cache
def private_key() -> str:
    made = rsa.generate_private_key(65537, 2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def account(url: str) -> str:
    """The JSON of a service account whose tokens come from here."""
    named = {"project_id": "acme", "client_email": "dunnock@acme.iam.gserviceaccount.com", "private_key_id": "k1"}
    return json.dumps({**named, "private_key": private_key(), "token_uri": f"{url}/token"})


def push(url: str, guard: Guard = HOME, **changes: Any) -> Push:
    given: dict[str, Any] = {
        "fcm_account": SecretStr(account(url)),
        "fcm_url": url,
        "vapid_key": SecretStr(VAPID_KEY),
        "timeout": 60.0,
        "connect_timeout": 10.0,
        **changes,
    }
    config = PushConfig(vapid_subject="mailto:it@acme.example", **given)
    return Push(config, guard)


@asynccontextmanager
async def push_api() -> AsyncIterator[JsonApi]:
    """It answers everything with all that either of them says."""
    answer = {"access_token": "access", "expires_in": 3600, "name": "projects/acme/messages/1"}
    async with json_api(201, answer, Location="https://push.example/message/1") as api:
        yield api


def browser(url: str) -> str:
    return str(Subscription(f"{url}/push/{os.urandom(4).hex()}", BROWSER_POINT, BROWSER_SECRET))
