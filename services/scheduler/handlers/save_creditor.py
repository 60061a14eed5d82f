"""Make or replace a creditor. True here: the picture that it names as its logo is there, and stays there while it does."""

from services.scheduler.store import parties
from services.scheduler.store.parties import CreditorRow
from shared.db.engine import Database
from shared.kernel.errors import FieldError, Invalid
from shared.pictures import lock, there_is


async def save_creditor(db: Database, creditor: CreditorRow) -> bool:
    """Whether it is new. Raises `Invalid`."""
    async with db.transaction() as tx:
        if creditor.logo is not None:
            await lock(tx)
            if not await there_is(tx, creditor.logo):
                reason = f"there is no picture {creditor.logo!r}: PUT /v1/pictures/{creditor.logo} first"
                raise Invalid(f"/logo: {reason}", errors=(FieldError("/logo", reason),))
        return await parties.put_creditor(tx, creditor)
