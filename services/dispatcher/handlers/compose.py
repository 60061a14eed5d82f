"""What a claim says becomes what a channel sends. Uses nothing but the claim, the creditor and the file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from services.dispatcher.domain.creditor import CreditorCard
from services.dispatcher.domain.ports import Outgoing
from services.dispatcher.domain.together import longest_due
from services.dispatcher.domain.tokens import MessageIds, ReturnPaths
from shared.content import Attachment, Catalog, MessageFacts, OwedInvoice
from shared.content.several import for_several
from shared.flow import THEN_LEG, Flow
from shared.ledger.send import Claim


@dataclass(frozen=True, slots=True)
class Composer:
    """`public_url` without a trailing slash."""

    catalog: Catalog
    return_paths: ReturnPaths
    public_url: str
    message_ids: MessageIds

    def compose(self, claim: Claim, flow: Flow, creditor: CreditorCard, attachment: Attachment | None) -> Outgoing:
        """Raises when the text cannot be made; nothing was sent then."""
        return self._outgoing(claim, flow, self._facts(claim, creditor), attachment)

    def compose_together(self, claims: Sequence[Claim], flow: Flow, creditor: CreditorCard) -> Outgoing:
        """One message in the words of the first claim, whose flow it is, that lists them all: never with files, and with
        a link for each invoice. The first link is that of the invoice that is due for the longest."""
        facts = replace(
            self._facts(longest_due(claims), creditor),
            invoices=tuple(self._owed(one) for one in sorted(claims, key=lambda one: (one.due_date, one.reminder_id))),
        )
        made = self._outgoing(claims[0], flow, facts, None)
        return replace(made, message=for_several(made.message))

    def takes_long(self, claims: Sequence[Claim], flow: Flow) -> bool:
        """Whether making the message would keep all others waiting: it draws something."""
        one = claims[0]
        message = flow.step(one.step).message_of(one.leg)
        return len(claims) == 1 and self.catalog.draws(message, one.channel or "", one.locale)

    def _outgoing(self, claim: Claim, flow: Flow, facts: MessageFacts, attachment: Attachment | None) -> Outgoing:
        assert claim.channel
        assert claim.address
        assert claim.contact_point_id
        step = flow.step(claim.step)
        message = step.message_of(claim.leg)
        return Outgoing(
            attempt_id=f"{claim.reminder_id}.{claim.fence}",
            message_id=self.message_ids.make(claim.reminder_id, claim.contact_point_id),
            to_address=claim.address,
            facts=facts,
            rendered=self.catalog.render(message, claim.channel, facts),
            return_path=self.return_paths.make(claim.reminder_id, claim.fence),
            callback_url=f"{self.public_url}/v1/receipts",
            sent_at=claim.business_at,
            attachment=attachment if step.attach and claim.leg != THEN_LEG else None,
            message=message,
            followed=step.then is not None and not claim.leg,
        )

    def _owed(self, claim: Claim) -> OwedInvoice:
        pay_url = self._pay_url(claim)
        return OwedInvoice(
            claim.number
            if claim.installments == 1
            else f"{claim.number} ({claim.installment_no}/{claim.installments})",
            claim.due_date,
            claim.open_amount,
            claim.currency,
            claim.payment_reference,
            pay_url,
            f"{pay_url}/document" if claim.document_key else None,
        )

    def _pay_url(self, claim: Claim) -> str:
        return f"{self.public_url}/pay/{claim.invoice_token}"

    def _facts(self, claim: Claim, creditor: CreditorCard) -> MessageFacts:
        pay_url = self._pay_url(claim)
        return MessageFacts(
            creditor_name=creditor.name,
            email_from=creditor.email_from,
            reply_to=creditor.reply_to,
            sms_from=creditor.sms_from,
            voice_from=creditor.voice_from,
            iban=creditor.iban,
            bic=creditor.bic,
            logo_url=creditor.logo_url,
            logo=creditor.logo,
            customer_name=claim.customer_name,
            locale=claim.locale,
            invoice_ref=claim.invoice_ref,
            invoice_number=claim.number,
            currency=claim.currency,
            amount=claim.amount,
            open_amount=claim.open_amount,
            issue_date=claim.issue_date,
            due_date=claim.due_date,
            days_past_due=days_past_due(claim.business_at, claim),
            payment_reference=claim.payment_reference,
            pay_url=pay_url,
            document_url=f"{pay_url}/document" if claim.document_key else None,
            opt_out_url=f"{self.public_url}/u/{claim.contact_token}",
            installment_no=claim.installment_no,
            installment_count=claim.installments,
            fallback_from=claim.fallback_from if claim.fallback_from != claim.channel else None,
            attributes=claim.attributes,
        )


def days_past_due(now: datetime, claim: Claim) -> int:
    """Local calendar days after the due date, negative before."""
    return (now.astimezone(ZoneInfo(claim.timezone)).date() - claim.due_date).days
