"""The page that offers notifications of a browser, in the customer's language."""

from html import escape

from services.dispatcher.api.opt_out_page import STYLE

WORDS = {
    "en": {
        "title": "Notifications",
        "ask": "Get a short notification on this device before an invoice is due.",
        "button": "Notify me here",
        "done": "Done: you will be notified here.",
        "unknown": "This link is not valid (any more).",
    },
    "es": {
        "title": "Avisos",
        "ask": "Reciba un aviso breve en este dispositivo antes de que venza una factura.",
        "button": "Avisarme aquí",
        "done": "Listo: recibirá los avisos aquí.",
        "unknown": "Este enlace no es válido o ya no lo es.",
    },
    "pt": {
        "title": "Avisos",
        "ask": "Receba um aviso breve neste dispositivo antes do vencimento de uma fatura.",
        "button": "Avisar-me aqui",
        "done": "Pronto: receberá os avisos aqui.",
        "unknown": "Este link não é válido ou deixou de ser.",
    },
}


def page(locale: str, token: str | None) -> str:
    """`token` None: the link is not one of ours."""
    language = locale.split("-", maxsplit=1)[0].lower()
    words = WORDS.get(language, WORDS["en"])
    offer = (
        f"<p>{words['ask']}</p><button data-push='{escape(token)}' data-done='{words['done']}' hidden>{words['button']}</button>"
        "<script src='/push/subscribe.js' defer></script>"
        if token
        else f"<p>{words['unknown']}</p>"
    )
    return (
        f"<!doctype html><html lang={language if language in WORDS else 'en'}><meta charset=utf-8>"
        f"<meta name=viewport content='width=device-width,initial-scale=1'><title>{words['title']}</title>"
        f"<style>{STYLE}</style><main><h1>{words['title']}</h1>{offer}</main></html>"
    )
