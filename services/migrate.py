"""python -m services.migrate: brings the database of DUNNOCK_DATABASE_URL (its owner's login) to this version."""

import sys

import asyncpg
import uvloop
from pydantic import Field

from shared.db.migrate import migrate
from shared.settings import DatabaseUrl, Settings, load


class MigrateSettings(Settings):
    """A role that owns the database and may create roles."""

    database_url: DatabaseUrl = Field(
        description="PostgreSQL, as the database's owner, such as postgresql://owner:password@host:5432/dunnock"
    )


def main() -> str | None:
    """What went wrong, for a person; the rest of what PostgreSQL may say is a bug and is shown whole."""
    url = load(MigrateSettings).database_url.get_secret_value()
    try:
        uvloop.run(migrate(url))
    except OSError as error:
        return f"PostgreSQL does not answer at the address of DUNNOCK_DATABASE_URL ({type(error).__name__}): is it up?"
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        return f"PostgreSQL refuses the login of DUNNOCK_DATABASE_URL: {error}"
    except asyncpg.InsufficientPrivilegeError as error:
        return f"the login of DUNNOCK_DATABASE_URL must own the database and be able to create roles: {error}"
    print("The database is up to date.", file=sys.stderr)
    return None


if __name__ == "__main__":
    sys.exit(main())
