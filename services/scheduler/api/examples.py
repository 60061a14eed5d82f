"""Example bodies for the OpenAPI document; a test sends each of them."""

from typing import Any

from fastapi import Body
from fastapi.openapi.models import Example

CUSTOMER: dict[str, Any] = {
    "customer_id": "C-1001",
    "name": "Ana García",
    "locale": "es-ES",
    "timezone": "Europe/Madrid",
    "country": "ES",
    "contact_points": [
        {"kind": "email", "address": "ana@example.com"},
        {"kind": "phone", "address": "+34600111222", "channels": ["sms", "voice", "whatsapp"], "priority": 1},
    ],
}
INVOICE: dict[str, Any] = {
    "invoice_id": "INV-2026-001",
    "number": "2026/001",
    "customer": CUSTOMER,
    "issue_date": "2026-11-20",
    "due_date": "2026-12-20",
    "currency": "EUR",
    "amount": "1250.00",
    "document": {"filename": "invoice.pdf", "media_type": "application/pdf", "content_base64": "JVBERi0xLjcK"},
}
IN_PARTS: dict[str, Any] = {
    "invoice_id": "INV-2026-002",
    "number": "2026/002",
    "customer_id": "C-1001",
    "issue_date": "2026-11-20",
    "currency": "EUR",
    "installments": [{"due_date": "2026-12-20", "amount": "500.00"}, {"due_date": "2027-01-20", "amount": "500.00"}],
    "payment_url": "https://pay.example.com/2026-002",
    "attributes": {"region": "north"},
}
INVOICES = Body(
    openapi_examples={
        "with its customer and document": Example(value=INVOICE),
        "in two installments, of a known customer": Example(value=IN_PARTS),
    }
)
IMPORT_BODIES: dict[str, Any] = {
    "application/x-ndjson": {
        "schema": {"type": "string", "description": "one invoice a line, as POST /v1/invoices takes it"},
        "example": '{"invoice_id": "INV-1", "number": "1", "customer_id": "C-1001", "issue_date": "2026-11-20", '
        '"due_date": "2026-12-20", "currency": "EUR", "amount": "10.00"}\n',
    },
    "text/csv": {
        "schema": {"type": "string", "description": "a header, then one invoice a line; UTF-8; , or ; between fields"},
        "example": "invoice_id,number,issue_date,due_date,currency,amount,customer_id,customer_name,email\n"
        "INV-1,1,2026-11-20,2026-12-20,EUR,10.00,C-1001,Ana,ana@example.com\n",
    },
}
