"""What is said in a call, as TwiML, and the seal under which its script travels with it. Pure.

What must stay true: nobody but this deployment reads or makes a script (it names a customer and a debt, and stands in
URLs); a script belongs to one attempt. A machine's text comes from words that know no debt.
"""

import hmac
import json
import secrets
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from twilio.twiml.voice_response import Gather, Say, VoiceResponse

from services.dispatcher.domain.ports import Key
from shared.content.calls import CallWords, call_words

_PURPOSE = b"dunnock call script v1"
_NONCE = 12
MOST_BYTES = 8192  # of a script that was unpacked
KEY_SECONDS = 8
# (Language of <Say>, a voice of it that reads SSML), by the language or region of a text.
_VOICES = {
    "en": ("en-US", "Polly.Joanna"),
    "en-gb": ("en-GB", "Polly.Amy"),
    "es": ("es-MX", "Polly.Mia"),
    "es-es": ("es-ES", "Polly.Lucia"),
    "es-us": ("es-US", "Polly.Lupe"),
    "pt": ("pt-PT", "Polly.Ines"),
    "pt-br": ("pt-BR", "Polly.Camila"),
    "de": ("de-DE", "Polly.Vicki"),
    "fr": ("fr-FR", "Polly.Lea"),
    "it": ("it-IT", "Polly.Bianca"),
}


@dataclass(frozen=True, slots=True)
class Script:
    """All that a call may say: `message` to a person, `voicemail` to a machine. `followed`: key 1 has something to
    send."""

    locale: str
    message: str
    voicemail: str
    invoice_number: str
    followed: bool

    @property
    def words(self) -> CallWords:
        return call_words(self.locale)


class Seal:
    """AES-GCM under a key of the account's token; the attempt is authenticated with it."""

    def __init__(self, token: str) -> None:
        self._cipher = AESGCM(hmac.digest(token.encode(), _PURPOSE, sha256))

    def close(self, script: Script, attempt_id: str) -> str:
        packed = zlib.compress(json.dumps(asdict(script), ensure_ascii=False).encode(), 9)
        nonce = secrets.token_bytes(_NONCE)
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, packed, attempt_id.encode())).decode().rstrip("=")

    def open(self, sealed: str, attempt_id: str) -> Script | None:
        """None: not sealed here, or not for this attempt."""
        try:
            raw = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            packed = self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], attempt_id.encode())
        except (ValueError, InvalidTag):
            return None
        return Script(**json.loads(zlib.decompressobj().decompress(packed, MOST_BYTES)))


def menu(script: Script, keys: dict[str, Key], url: str) -> str:
    """The message and the keys; silence ends the call."""
    words = script.words
    offered = {
        Key.PAY_LINK: words.pay_link,
        Key.REPEAT: words.repeat,
        Key.PERSON: words.person,
        Key.OPT_OUT: words.opt_out,
    }
    response = VoiceResponse()
    asking = Gather(input="dtmf", num_digits=1, timeout=KEY_SECONDS, action=url, method="POST")
    asking.append(_message(script))
    asking.append(_say(script.locale, " ".join(offered[key] for key in keys.values())))
    response.append(asking)
    response.append(_say(script.locale, words.goodbye))
    return str(response)


def say_and_end(locale: str, text: str) -> str:
    response = VoiceResponse()
    response.append(_say(locale, text))
    response.hangup()
    return str(response)


def connect(locale: str, text: str, phone: str, caller: str) -> str:
    """Hands over to a person; `caller` is what that person's telephone shows."""
    response = VoiceResponse()
    response.append(_say(locale, text))
    response.dial(phone, caller_id=caller or None)
    return str(response)


def hang_up() -> str:
    response = VoiceResponse()
    response.hangup()
    return str(response)


def _message(script: Script) -> Say:
    """The invoice's number is spelled where it comes first: who wants to look it up must be able to write it down."""
    before, number, after = script.message.partition(script.invoice_number)
    said = _say(script.locale, before)
    if number:
        said.say_as(number, interpret_as="characters")
        said.append(after)
    said.break_(strength="strong")
    return said


def _say(locale: str, text: str) -> Say:
    tag = locale.replace("_", "-").lower()
    language, voice = _VOICES.get(tag) or _VOICES.get(tag.partition("-")[0]) or _VOICES["en"]
    return Say(text, language=language, voice=voice)
