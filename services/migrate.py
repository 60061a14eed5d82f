"""python -m services.migrate: brings the database of DUNNOCK_DATABASE_URL (its owner's login) to this version."""

import sys

import uvloop
from pydantic import Field

from shared.db.migrate import migrate
from shared.settings import DatabaseUrl, Settings, load


class MigrateSettings(Settings):
    """A role that owns the database and may create roles."""

    database_url: DatabaseUrl = Field(
        description="PostgreSQL, as the database's owner, such as postgresql://owner:password@host:5432/dunnock"
    )


if __name__ == "__main__":
    uvloop.run(migrate(load(MigrateSettings).database_url.get_secret_value()))
    print("The database is up to date.", file=sys.stderr)
