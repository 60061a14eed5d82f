"""What has to be there before the first invoice: the channels that exist, the default creditor, the built-in flows.

What must stay true: any number of processes may do this at once, at every start; it never takes back what was changed
through the API (the default creditor is written only when it is missing, a built-in flow only when its file changed).
"""

from services.scheduler.handlers.learn_channels import learn_channels
from services.scheduler.settings import DefaultCreditor
from services.scheduler.store import flows
from shared.db.engine import Database
from shared.flow import shipped

_DEFAULT_CREDITOR = """
INSERT INTO creditor (ref, name, email_from, locale, timezone, country, iban) VALUES ('default', $1, $2, $3, $4, $5, $6)
ON CONFLICT (ref) DO NOTHING
"""


async def prepare(db: Database, creditor: DefaultCreditor) -> None:
    async with db.transaction() as tx:
        await learn_channels(tx)
        await tx.execute(
            _DEFAULT_CREDITOR,
            creditor.creditor_name,
            creditor.creditor_email_from,
            creditor.creditor_locale,
            creditor.creditor_timezone,
            creditor.creditor_country,
            creditor.creditor_iban,
        )
        for flow in shipped().values():
            await flows.save_built_in(tx, flow)
