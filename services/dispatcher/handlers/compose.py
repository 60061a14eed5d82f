"""What a claim says becomes what a channel sends. Uses nothing but the claim, the creditor and the file."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from services.dispatcher.domain.creditor import CreditorCard
from services.dispatcher.domain.ports import Outgoing
from services.dispatcher.domain.tokens import ReturnPaths
from shared.content import Attachment, Catalog, MessageFacts
from shared.flow import THEN_LEG, Flow
from shared.ledger.send import Claim


@dataclass(frozen=True, slots=True)
class Composer:
    """`public_url` without a trailing slash; `mail_domain` is the right side of Message-IDs."""

    catalog: Catalog
    return_paths: ReturnPaths
    public_url: str
    mail_domain: str

    def compose(self, claim: Claim, flow: Flow, creditor: CreditorCard, attachment: Attachment | None) -> Outgoing:
        """Raises when the text cannot be made; nothing was sent then."""
        assert claim.channel
        assert claim.address
        step = flow.step(claim.step)
        message = step.message_of(claim.leg)
        facts = self._facts(claim, creditor)
        return Outgoing(
            attempt_id=f"{claim.reminder_id}.{claim.fence}",
            message_id=f"<r{claim.reminder_id}.{claim.contact_point_id}@{self.mail_domain}>",
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

    def _facts(self, claim: Claim, creditor: CreditorCard) -> MessageFacts:
        pay_url = f"{self.public_url}/pay/{claim.invoice_token}"
        return MessageFacts(
            creditor_name=creditor.name,
            email_from=creditor.email_from,
            reply_to=creditor.reply_to,
            sms_from=creditor.sms_from,
            voice_from=creditor.voice_from,
            iban=creditor.iban,
            bic=creditor.bic,
            logo_url=creditor.logo_url,
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
