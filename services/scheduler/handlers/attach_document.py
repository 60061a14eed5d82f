"""A document is attached to an invoice, or takes another one's place.

What must stay true: what a customer received stays what the ERP can download: after the delivery nothing is replaced.
"""

from services.scheduler.domain.new_invoice import NewDocument
from services.scheduler.handlers.stop_invoice import locked
from services.scheduler.store import accepting, changing, views
from services.scheduler.store.views import InvoiceRow
from shared.db.engine import Database
from shared.kernel.errors import Conflict


async def attach_document(db: Database, ref: str, document: NewDocument) -> InvoiceRow:
    """`document` is in the store already. Raises `NotFound` or `Conflict`; the same document again changes nothing."""
    async with db.transaction() as tx:
        invoice = await locked(tx, ref)
        same = (invoice.document_key, invoice.document_name, invoice.document_type)
        if same == (document.key, document.name, document.media_type):
            return invoice
        if await changing.is_delivered(tx, invoice.id):
            raise Conflict(f"invoice {ref!r} was delivered, so its document cannot change; send a new invoice")
        await changing.document(tx, invoice.id, document)
        now = await tx.fetchval("SELECT business_now()")
        await accepting.log_events(tx, now, "invoice.document", [(invoice.id, {"size": document.size})])
        found = await views.invoice_by_ref(tx, ref)
        assert found is not None
        return found
