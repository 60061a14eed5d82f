"""What servers say when they do not deliver, as a table of reasons: phrases in small letters, without signs, each the
beginning of words (so `quota` also finds `quotas`); `address` stands for any mail address.

A phrase belongs here if it is said of one reason only. Measure before and after: `python -m tests.bounce_accuracy`.
"""

import re
from html import unescape

GONE: dict[str, tuple[str, ...]] = {
    "nobody by that name": (
        "user unknown", "user is unknown", "user not found", "user not known", "user name unknown", "user doesn",
        "user does not", "user invalid", "user is invalid", "unknown user", "unknown recipient", "unknown address",
        "unknown account", "unknown mailbox", "unknown local", "unknown alias", "unknown or illegal", "unknown or invalid",
        "unknown in", "recipient unknown", "recipient is unknown", "recipient not found", "recipient invalid",
        "recipient is invalid", "recipientnotfound", "recipnotfound", "address unknown", "address is unknown",
        "addressee unknown", "address not found", "address invalid", "address is invalid", "account not found",
        "account unknown", "account is invalid", "mailbox not found", "mail box not found", "mailbox unknown",
        "mailbox is unknown", "mailbox invalid", "alias unknown", "couldn t be found", "wasn t found", "could not be found",
        "cannot be found", "can t be found", "no such", "no mailbox", "no mail box", "no account by that name",
        "no user by that name", "no recipient by that name", "no matches to nameserver query", "not a known", "not a valid",
        "isn t a valid", "not a user", "not a recipient", "not our customer", "not listed in", "name is not recognized",
        "recipient not recognized", "not known at this", "not have an account", "nonexistent",
        "non existent", "does not exist", "doesn t exist", "not exist", "invalid user", "invalid recipient",
        "invalid mailbox", "invalid address", "invalid alias", "invalid final delivery userid", "illegal user",
        "illegal alias", "bad destination", "bad recipient", "bad address", "bad user", "badrcptto", "recipient rejected",
        "recipient address rejected access denied", "address is wrong", "addresses were unknown", "badrecipientto",
        "validrcptto", "accept user", "no valid recipients", "recipient is not accepted", "recipient is not local",
        "recipient not ok", "recipient has been denied", "no one at this address", "not present in directory",
        "mailbox not present", "missing home directory", "not a local",
    ),
    "nobody by that name, in other languages": (
        "no existe", "não existe", "nao existe", "inexistente", "desconocid", "desconhecid", "no encontrad",
        "no se encontr", "não encontrad", "nao encontrad", "dirección no válida", "direccion invalida", "dirección inválida",
        "endereço inválido", "endereco invalido", "n existe pas", "inconnu", "existiert nicht", "unbekannt",
        "nicht gefunden", "keine e mails empfangen", "sconosciut", "non esiste", "nie istnieje", "пользователь не найден", "не существует",
    ),
    "closed": (
        "account unavailable", "user not active", "no longer accepts mail", "disabled", "deactivated", "discontinued", "suspended",
        "terminated", "account closed", "account is closed",
        "account has been closed", "account inactive", "account is inactive", "mailbox inactive", "mailbox is inactive",
        "inactive user", "not an active", "no longer on", "no longer valid", "no longer active", "no longer available",
        "no longer in use", "no longer exist", "no longer with", "no longer employed", "no longer works", "no longer being used",
        "has moved", "cuenta desactivada", "conta desativada", "mailbox unavailable", "mailbox not available",
        "mailbox is unavailable", "final email delivery point",
    ),
    "no such domain": (
        "host unknown", "unknown host", "host not found", "domain not found", "illegal host", "no mx", "domain must exist",
        "unknown domain", "unknown in dns", "unrouteable", "unroutable", "name or service not known", "name server reply",
        "unexpected name server", "nullmx", "null mx", "does not accept mail", "does not accept email", "nxdomain",
    ),
}  # fmt: skip
OTHERWISE: dict[str, tuple[str, ...]] = {
    "full": (
        "quota", "overquota", "mailbox full", "mailbox is full", "full mailbox", "mail box full", "mailfolder is full",
        "folder is full", "inbox is full", "inbox full", "account is full", "over limit", "over its limit",
        "exceeds allowed size", "mailbox size", "disk space", "diskspace", "storage", "enough space", "box space",
        "too much mail", "too many messages", "insufficient", "buzón lleno", "cuota", "caixa cheia", "caixa postal cheia",
        "boîte pleine", "postfach voll", "postfach ist voll",
    ),
    "too large": ("too large", "too big", "size limit", "message size", "maximum size", "maximum incoming", "maximum inbound"),
    "unwanted": (
        "spam", "antispam", "blocked", "block list", "blocklist", "blocked using", "blacklist", "black list", "dnsbl", "rbl",
        "uribl", "unsolicited", "bulk", "mass mail", "reputation", "content reject", "content filter", "content filtering",
        "virus", "malware", "phishing", "junk", "abuse", "banned",
    ),
    "not from us": (
        "policy", "policies", "dmarc", "spf", "dkim", "sender address rejected", "sender rejected", "sender domain",
        "sender verify", "sending address", "reverse dns", "helo", "ptr record", "relaying", "relay access", "as a relay",
        "not allowed", "not permitted",
        "access denied", "permission denied", "not accepting", "requires confirmation", "unauthenticated",
        "authentication required", "rcpthosts", "messages without",
    ),
    "a fault on the way": (
        "temporar", "temp failure", "try again later", "again later", "host not found try again", "timed out", "timeout",
        "time out", "time expired", "maximum time expired", "delivery time", "queue too long", "allowed queue period",
        "greylist", "graylist", "rate limit", "too many connections", "too many recipients", "loop", "too many hops",
        "deferred", "connection refused", "connection dropped", "connection was dropped", "unable to connect",
        "could not connect", "not reachable", "service unavailable", "service currently unavailable",
        "unavailable or busy", "server busy", "command died", "maximum delivery attempts", "delivery failed 20 attempts",
        "all hosts have been failing", "not been collected",
    ),
}  # fmt: skip
STILL_TRYING = (
    "not yet been delivered", "has been delayed", "is delayed", "been postponed", "warning message only",
    "this is a warning only", "this is just a warning", "advisory only", "attempts will continue", "will be retried",
    "continue to try", "continue to attempt", "being retried",
)  # fmt: skip
FAILED = (
    "could not be delivered", "couldn t be delivered", "cannot be delivered", "can t be delivered", "not delivered",
    "was not delivered", "undeliverable", "undelivered", "unable to deliver", "not able to deliver", "delivery failed",
    "delivery failure", "delivery has failed", "delivery to the following recipient failed", "failed to deliver",
    "delivery problem", "mail delivery problem", "failure notice", "delivery status notification failure",
    "returned mail", "mail returned", "did not reach", "not reach the following", "did not receive", "could not deliver",
    "automatically rejected", "has been returned", "invalid final delivery", "exceeds allowed size", "mail error",
    "failed recipients", "failed mail", "mail failed", "no ha podido ser entregado", "no pudo ser entregado",
    "não pôde ser entregue", "nao pode ser enviada", "nicht zugestellt", "non remis", "not a valid user",
    "delivery failed 20 attempts",
)  # fmt: skip
AWAY = (
    "out of office", "out of the office", "automatic reply", "auto reply", "autoreply", "automatic response",
    "auto response", "autoresponse", "on vacation", "away from", "fuera de oficina", "fuera de la oficina",
    "respuesta autom", "resposta autom", "ausente", "ausência", "ausencia", "abwesen", "automatische antwort", "absence",
    "réponse automatique", "automatyczna odpowied", "risposta automatica",
)  # fmt: skip
ASKS_WHO_WE_ARE = (
    "click on the following link to have your address added", "guest list", "approved senders", "i have approved beforehand",
    "add yourself to my", "confirm that you are a person", "prove that you are", "are you human", "are you a human",
    "sender verification", "message verification", "sender confirmation", "sender authorization",
    "waiting for your approval", "waiting for verification", "to deliver your message", "confirm your email",
    "confirm your e mail", "verify your email", "verify your e mail", "verify your identity", "confirm this message",
    "confirm your message", "verify your message", "challenge", "confirme su correo", "confirme seu e mail",
    "confirme sua mensagem", "confirme su mensaje",
)  # fmt: skip
_ADDRESS = re.compile(r"(?<![^\s<>()\[\]:;,\"])[^\s<>()\[\]:;,\"]+@[^\s<>()\[\]:;,\"]+")
_TAG = re.compile(r"<(?=[a-z!/])[^<>@]{0,500}>", re.IGNORECASE)
_SIGNS = re.compile(r"[\W_]+")


def plain(text: str) -> str:
    """In small letters, words between single blanks, tags and signs away."""
    words = _SIGNS.sub(" ", _ADDRESS.sub("address", unescape(_TAG.sub(" ", text))).lower())
    return f" {words.strip()} "


def says(words: str, phrases: tuple[str, ...]) -> bool:
    """`words` as `plain` gives them."""
    return any(f" {phrase}" in words for phrase in phrases)


def reason(words: str, table: dict[str, tuple[str, ...]]) -> str | None:
    return next((name for name, phrases in table.items() if says(words, phrases)), None)
