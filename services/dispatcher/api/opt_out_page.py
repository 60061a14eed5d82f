"""The opt-out page in the customer's language."""

from html import escape

from shared.routing import mask_address

WORDS = {
    "en": {
        "title": "Messages to this address",
        "ask": "Do you want no more messages at {address}?",
        "button": "Stop messages",
        "done": "Done. We will not write to {address} any more.",
        "unknown": "This link is not valid (any more).",
        "note": "What you owe does not change by this.",
    },
    "es": {
        "title": "Mensajes a esta dirección",
        "ask": "¿No quiere recibir más mensajes en {address}?",
        "button": "No enviar más mensajes",
        "done": "Listo. No escribiremos más a {address}.",
        "unknown": "Este enlace no es válido o ya no lo es.",
        "note": "Esto no cambia lo que está pendiente de pago.",
    },
    "pt": {
        "title": "Mensagens para este endereço",
        "ask": "Não quer receber mais mensagens em {address}?",
        "button": "Não enviar mais mensagens",
        "done": "Pronto. Não escreveremos mais para {address}.",
        "unknown": "Este link não é válido ou deixou de ser.",
        "note": "Isto não altera o valor em aberto.",
    },
}
STYLE = (
    "body{font:17px/1.5 system-ui,sans-serif;margin:12vh auto;max-width:30rem;padding:0 1.2rem;color:#1d2733}"
    "h1{font-size:1.25rem}small{color:#5b6773}"
    "button{font:inherit;padding:.6rem 1.2rem;border:0;border-radius:.4rem;background:#1d4f91;color:#fff}"
)


def page(locale: str, state: str, address: str = "") -> str:
    """`state`: ask, done or unknown."""
    language = locale.split("-", maxsplit=1)[0].lower()
    words = WORDS.get(language, WORDS["en"])
    text = words[state].format(address=escape(mask_address(address)) if address else "")
    form = f"<form method=post><button>{words['button']}</button></form>" if state == "ask" else ""
    note = "" if state == "unknown" else f"<p><small>{words['note']}</small></p>"
    return (
        f"<!doctype html><html lang={language if language in WORDS else 'en'}><meta charset=utf-8>"
        f"<meta name=viewport content='width=device-width,initial-scale=1'><title>{words['title']}</title>"
        f"<style>{STYLE}</style><main><h1>{words['title']}</h1><p>{text}</p>{form}{note}</main></html>"
    )
