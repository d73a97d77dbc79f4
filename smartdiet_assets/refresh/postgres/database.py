"""The target's database where there is none yet: creating it, as the replaced tool did. Not here: anything in it."""

import psycopg

from smartdiet_assets.errors import DatabaseNotFoundError
from smartdiet_assets.refresh.postgres.sessions import explain, quote
from smartdiet_assets.resources.postgres import PostgresResource

#: The database every server has, for connecting to it when the wanted one is not there.
_MAINTENANCE = "postgres"


def exists(resource: PostgresResource) -> bool:
    """Whether the server has the database.

    Raises:
        SmartdietError: the server cannot be asked.
    """
    try:
        resource.connect().close()
    except DatabaseNotFoundError:
        return False
    return True


def create_database(resource: PostgresResource, encoding: str) -> None:
    """Create the database, empty, in an encoding and otherwise as the server makes them.

    Raises:
        SmartdietError: the user may not, or the server has no database to connect to meanwhile.
    """
    maintenance = resource.model_copy(update={"database": _MAINTENANCE})
    connection = maintenance.connect()
    try:
        connection.autocommit = True
        # Also behind a pooler this is to be in no transaction.
        connection.pooled = False
        statement = f"CREATE DATABASE {quote(resource.database)} TEMPLATE template0 ENCODING '{encoding}'"
        connection.execute(statement.encode(), prepare=False)
    except psycopg.errors.DuplicateDatabase:
        return
    except psycopg.Error as error:
        raise explain(error, "creating the database", resource.database) from None
    finally:
        connection.close()
