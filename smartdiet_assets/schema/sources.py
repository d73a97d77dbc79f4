"""The kinds of source: one object each, with what the declaration and every later stage know of it.

A new kind is an object here and its keys in `schema.declaration`; how it is read is a module in `mirror.sources`, what
the checks and the doctor look at there one in theirs. What differs between kinds is asked of the object.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """A kind of server that tables are mirrored from.

    Attributes:
        name: how tags of runs, findings and outcomes spell it.
        title: how a sentence calls it.
        server: how a sentence calls the server that is away.
        technology: what Dagit shows beside PostgreSQL.
        resource: the key of its resource in Dagster.
        key: the key of a schema file that says where a table's rows are, and that they are there.
        has_documents: whether its rows are documents: read by paths, with arrays, and ids that have a type of their
            own. Otherwise they have named columns, and the id is the text of the primary key's value.
        shown: the keys of a table that tell where its rows come from, and how.
        variables: of which one must be set, or its tables are left out; none of a source that is never left out.
    """

    name: str
    title: str
    server: str
    technology: str
    resource: str
    key: str
    has_documents: bool = False
    shown: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def unset(self) -> str:
        """Why its tables are left out, in a clause."""
        return f"neither {' nor '.join(self.variables)} is set"

    @property
    def items(self) -> str:
        """What there is, one by one."""
        return "documents" if self.has_documents else "rows"

    def locate(self, origin: str) -> str:
        """Name a collection or a table of it in a sentence."""
        return f"the collection {origin}" if self.has_documents else f"{self.title}'s table {origin}"


MONGODB = SourceKind(
    name="mongodb",
    title="MongoDB",
    server="MongoDB",
    technology="mongodb",
    resource="mongo",
    key="mongo_collection",
    has_documents=True,
    shown=("mongo_collection", "capture"),
)
MATOMO = SourceKind(
    name="matomo",
    title="Matomo",
    server="Matomo's database",
    technology="mariadb",
    resource="matomo",
    key="source_table",
    shown=("source_table", "time_column", "on_delete"),
    variables=("MATOMO_HOST", "MATOMO_DATABASE"),
)
