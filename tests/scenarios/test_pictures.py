"""A company's logo, banner and payment code, from the upload to what the customer sees."""

import re

from tests.doubles.pictures import png
from tests.scenarios.story import Case

HTML = (
    '<img src="cid:logo" alt="{{ creditor_name }}"><img src="cid:spring-sale" alt="Spring sale">'
    '{% if payment_code %}<p>Scan to pay:</p>{% endif %}<img src="cid:payment-code" alt="Payment code">'
)


def test_one_text_serves_creditors_with_and_without_logo_and_account(case: Case) -> None:
    world = case.world
    for name in ("acme-logo", "spring-sale"):
        world.client.put(f"/v1/pictures/{name}", content=png(len(name))).raise_for_status()
    acme = {"name": "Acme", "logo": "acme-logo", "iban": "DE89370400440532013000"}
    world.call("PUT", "/v1/creditors/acme", acme)
    world.call("PUT", "/v1/creditors/plain", {"name": "Plain & Sons"})
    text = {"subject": "Invoice {{ invoice_number }}", "text": "{{ pay_url }}", "html": HTML}
    world.call("PUT", "/v1/templates/invoice/email/en-IE", text)

    ireland = {"locale": "en-IE"}
    case.invoice(creditor_id="acme", customer=ireland)
    plain = Case(world, beside=case)
    plain.invoice(creditor_id="plain", customer=ireland)

    [full], [bare] = case.messages(), plain.messages()
    assert [one["filename"] for one in full["pictures"]] == ["acme-logo.png", "spring-sale.png", "payment-code.png"]
    assert [one["filename"] for one in bare["pictures"]] == ["spring-sale.png"]
    assert "Scan to pay" in full["html"]
    assert bare["html"].startswith("Plain &amp; Sons<img src=")
    assert "Scan to pay" not in bare["html"]
    assert full["attachments"] == []

    page = world.client.get(f"/sandbox/messages/{full['message_id']}/html").text
    assert [source[:22] for source in re.findall(r'src="([^"]*)"', page)] == ["data:image/png;base64,"] * 3
    [went_out] = [line for line in case.timeline() if "went out by email" in line]
    assert "text 'invoice' in en-IE, version 1; picture 'acme-logo', version 1; picture 'spring-sale'" in went_out
    assert world.client.delete("/v1/pictures/acme-logo").status_code == 409
    plain.forget()
