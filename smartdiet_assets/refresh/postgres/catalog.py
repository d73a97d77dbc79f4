"""What a PostgreSQL database consists of, as far as a refresh copies it: objects, the statements that make them,
what depends on what.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from psycopg import Connection
from psycopg.rows import tuple_row

from smartdiet_assets.refresh.postgres import object_queries, relation_queries
from smartdiet_assets.refresh.postgres.attachment_queries import ATTACHMENTS

#: An object: the number of its catalogue and its own.
Key = tuple[int, int]
Kind = Literal["table", "partitioned table", "view", "materialized view", "sequence", "type", "function", "collation"]
RELATIONS: frozenset[Kind] = frozenset({"table", "partitioned table", "view", "materialized view", "sequence"})
TABLES: frozenset[Kind] = frozenset({"table", "partitioned table"})
VIEWS: frozenset[Kind] = frozenset({"view", "materialized view"})
#: What the kinds are called in DROP and ALTER; a partitioned table is a table there.
STATEMENT_KINDS: dict[Kind, str] = {
    "table": "TABLE",
    "partitioned table": "TABLE",
    "view": "VIEW",
    "materialized view": "MATERIALIZED VIEW",
    "sequence": "SEQUENCE",
    "type": "TYPE",
    "function": "ROUTINE",
    "collation": "COLLATION",
}
#: The first number of an object that is not PostgreSQL's own.
FIRST_USER_OID = 16384
Fetch = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class CatalogObject:
    """An object, and the statement that makes it, bare.

    Attributes:
        name: without schema; of a function with its argument types.
        identity: as statements name it, quoted and qualified.
        rows: the server's estimate, for a table.
        partition_of: the number of the table it is a partition of.
        owned_by: the number of the table a sequence goes with.
        implicit: made by its owner's statement (the sequence of an identity column).
        populated: of a materialized view.
    """

    key: Key
    kind: Kind
    schema: str
    name: str
    identity: str
    statement: str
    rows: int | None = None
    partition_of: int | None = None
    owned_by: int | None = None
    implicit: bool = False
    populated: bool = True

    @property
    def label(self) -> str:
        """How people read it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A statement that belongs to an object and is run after it was made; `needs` is another relation's number."""

    owner: Key
    phase: str
    statement: str
    needs: int | None


@dataclass(frozen=True, slots=True)
class Dependency:
    """One object needs another; `via` says by what of it: `column` where it cannot be made without.

    Owned parts count as their owner: a column default as its table, an index as its table, a rule as its view.
    """

    dependent: Key
    referenced: Key
    via: str
    #: The number in its catalogue of what depends: the constraint, the default, or the object itself.
    part: Key


@dataclass(frozen=True, slots=True)
class Extension:
    name: str
    schema: str
    relocatable: bool


@dataclass(slots=True)
class Catalog:
    """All of a database that a refresh can copy, and what it cannot.

    Attributes:
        schemas: whether we may rename each.
        members: what belongs to which extension.
        left_out: (schema or "", description) of what is not copied.
        columns: of each table, those that rows are copied by.
        binary: the tables whose rows have the same binary form on another server.
    """

    class_catalogue: int
    type_catalogue: int
    proc_catalogue: int
    schemas: dict[str, bool] = field(default_factory=dict)
    schema_comments: dict[str, str] = field(default_factory=dict)
    objects: dict[Key, CatalogObject] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)
    dependencies: list[Dependency] = field(default_factory=list)
    extensions: dict[str, Extension] = field(default_factory=dict)
    members: dict[Key, str] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    columns: dict[int, list[str]] = field(default_factory=dict)
    binary: set[int] = field(default_factory=set)

    def name_objects(self) -> "dict[tuple[int, str], CatalogObject]":
        """All objects by catalogue and identity: a type may be called what a function is called."""
        return {(found.key[0], found.identity): found for found in self.objects.values()}

    def relation(self, oid: int) -> CatalogObject | None:
        return self.objects.get((self.class_catalogue, oid))

    def attached(self, phase: str, owners: "set[Key]") -> Iterator[Attachment]:
        """The statements of a phase that belong to some objects, in their order."""
        return (found for found in self.attachments if found.phase == phase and found.owner in owners)


#: The part of an object that is a row of another catalogue: (it, its owner, what kind of part).
_PARTS = """\
SELECT 'pg_attrdef'::regclass::oid::bigint, d.oid::bigint, 'pg_class'::regclass::oid::bigint, d.adrelid::bigint,
  CASE WHEN a.attgenerated = '' THEN 'default' ELSE 'column' END
FROM pg_attrdef AS d
JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
UNION ALL
SELECT 'pg_constraint'::regclass::oid::bigint, k.oid::bigint,
  CASE WHEN k.conrelid <> 0 THEN 'pg_class'::regclass ELSE 'pg_type'::regclass END::oid::bigint,
  CASE WHEN k.conrelid <> 0 THEN k.conrelid ELSE k.contypid END::bigint,
  CASE WHEN k.conrelid = 0 THEN 'column' WHEN k.contype = 'f' THEN 'reference' ELSE 'constraint' END
FROM pg_constraint AS k
UNION ALL
SELECT 'pg_rewrite'::regclass::oid::bigint, r.oid::bigint, 'pg_class'::regclass::oid::bigint, r.ev_class::bigint,
  CASE WHEN r.rulename = '_RETURN' THEN 'column' ELSE 'rule' END
FROM pg_rewrite AS r
UNION ALL
SELECT 'pg_trigger'::regclass::oid::bigint, t.oid::bigint,
  -- Those of a foreign key are on the parent too, and go with the child's constraint.
  CASE WHEN t.tgisinternal AND t.tgconstraint <> 0 THEN 'pg_constraint'::regclass ELSE 'pg_class'::regclass END
    ::oid::bigint,
  CASE WHEN t.tgisinternal AND t.tgconstraint <> 0 THEN t.tgconstraint ELSE t.tgrelid END::bigint,
  'trigger'
FROM pg_trigger AS t
UNION ALL
SELECT 'pg_policy'::regclass::oid::bigint, p.oid::bigint, 'pg_class'::regclass::oid::bigint, p.polrelid::bigint,
  'policy'
FROM pg_policy AS p
UNION ALL
SELECT 'pg_class'::regclass::oid::bigint, i.indexrelid::bigint, 'pg_class'::regclass::oid::bigint, i.indrelid::bigint,
  'index'
FROM pg_index AS i
UNION ALL
SELECT 'pg_statistic_ext'::regclass::oid::bigint, s.oid::bigint, 'pg_class'::regclass::oid::bigint, s.stxrelid::bigint,
  'statistics'
FROM pg_statistic_ext AS s
UNION ALL
SELECT 'pg_class'::regclass::oid::bigint, c.reltoastrelid::bigint, 'pg_class'::regclass::oid::bigint, c.oid::bigint,
  'toast'
FROM pg_class AS c
WHERE c.reltoastrelid <> 0
UNION ALL
SELECT 'pg_type'::regclass::oid::bigint, t.oid::bigint, 'pg_class'::regclass::oid::bigint, c.oid::bigint, 'column'
FROM pg_type AS t
JOIN pg_class AS c ON c.oid = t.typrelid AND c.relkind <> 'c'
UNION ALL
SELECT 'pg_class'::regclass::oid::bigint, c.oid::bigint, 'pg_type'::regclass::oid::bigint, c.reltype::bigint, 'column'
FROM pg_class AS c
WHERE c.relkind = 'c'
UNION ALL
SELECT 'pg_type'::regclass::oid::bigint, t.typarray::bigint, 'pg_type'::regclass::oid::bigint, t.oid::bigint, 'column'
FROM pg_type AS t
WHERE t.typarray <> 0
UNION ALL
SELECT 'pg_type'::regclass::oid::bigint, (to_jsonb(r)->>'rngmultitypid')::bigint, 'pg_type'::regclass::oid::bigint,
  r.rngtypid::bigint, 'column'
FROM pg_range AS r
WHERE to_jsonb(r)->>'rngmultitypid' IS NOT NULL"""

_DEPENDENCIES = f"""\
SELECT DISTINCT classid::bigint, objid::bigint, refclassid::bigint, refobjid::bigint, deptype::text
FROM pg_depend
WHERE objid >= {FIRST_USER_OID} AND refobjid >= {FIRST_USER_OID} AND deptype IN ('n', 'a', 'i', 'P', 'S')"""


def read_catalog(connection: Connection) -> Catalog:
    """Read all that a database consists of; the session's search_path must be empty.

    Raises:
        psycopg.Error: as the server says it.
    """
    with connection.cursor(row_factory=tuple_row) as cursor:

        def fetch(query: str) -> list[tuple[Any, ...]]:
            return cursor.execute(query.encode(), prepare=False).fetchall()

        numbers = fetch(
            "SELECT 'pg_class'::regclass::oid::bigint, 'pg_type'::regclass::oid::bigint,"
            " 'pg_proc'::regclass::oid::bigint, 'pg_collation'::regclass::oid::bigint"
        )
        of_class, of_type, of_proc, of_collation = numbers[0]
        catalog = Catalog(of_class, of_type, of_proc)
        for _, name, ours, comment in fetch(relation_queries.SCHEMAS):
            catalog.schemas[name] = ours
            if comment is not None:
                catalog.schema_comments[name] = comment
        found = [*_read_relations(fetch, of_class), *_read_definitions(fetch, of_type, of_proc, of_collation)]
        catalog.objects = {each.key: each for each in found}
        for phase, queries in ATTACHMENTS.items():
            for query in queries:
                catalog.attachments += [Attachment((row[0], row[1]), phase, row[2], row[3]) for row in fetch(query)]
        for _, name, schema, relocatable in fetch(object_queries.EXTENSIONS):
            catalog.extensions[name] = Extension(name, schema, relocatable)
        catalog.members = {(row[0], row[1]): row[2] for row in fetch(object_queries.EXTENSION_MEMBERS)}
        catalog.left_out = [(row[0], row[1]) for row in fetch(object_queries.LEFT_OUT)]
        catalog.dependencies = read_dependencies(connection)
        kinds_of: dict[int, list[int]] = {}
        for oid, column, kind_of_column in fetch(relation_queries.COPIED_COLUMNS):
            catalog.columns.setdefault(oid, []).append(column)
            kinds_of.setdefault(oid, []).append(kind_of_column)
        changing = find_changing_types(fetch(relation_queries.TYPE_PARTS))
        catalog.binary = {oid for oid, kinds in kinds_of.items() if changing.isdisjoint(kinds)}
    return catalog


def _read_relations(fetch: Fetch, of_class: int) -> Iterator[CatalogObject]:
    identities: dict[int, str] = dict(
        fetch(f"SELECT oid::bigint, oid::regclass::text FROM pg_class WHERE oid >= {FIRST_USER_OID}")
    )
    for oid, schema, name, plain, rows, parent, statement in fetch(relation_queries.TABLES):
        kind: Kind = "table" if plain else "partitioned table"
        yield CatalogObject(
            (of_class, oid), kind, schema, name, identities[oid], statement, rows if plain else None, parent
        )
    for oid, schema, name, materialized, populated, statement in fetch(relation_queries.VIEWS):
        kind = "materialized view" if materialized else "view"
        yield CatalogObject((of_class, oid), kind, schema, name, identities[oid], statement, populated=populated)
    for oid, schema, name, statement, owner, implicit in fetch(relation_queries.SEQUENCES):
        yield CatalogObject(
            (of_class, oid), "sequence", schema, name, identities[oid], statement, owned_by=owner, implicit=implicit
        )


def _read_definitions(fetch: Fetch, of_type: int, of_proc: int, of_collation: int) -> Iterator[CatalogObject]:
    types: dict[int, str] = dict(
        fetch(f"SELECT oid::bigint, format_type(oid, NULL) FROM pg_type WHERE oid >= {FIRST_USER_OID}")
    )
    for oid, schema, name, statement in fetch(object_queries.TYPES):
        yield CatalogObject((of_type, oid), "type", schema, name, types[oid], statement)
    for oid, schema, identity, statement, _ in fetch(object_queries.FUNCTIONS):
        # The identity begins with the schema, quoted where it must be.
        name = identity[len(_quoted(schema, identity)) + 1 :]
        yield CatalogObject((of_proc, oid), "function", schema, name, identity, statement)
    for oid, schema, name, statement in fetch(object_queries.COLLATIONS):
        identity = fetch(f"SELECT {oid}::regcollation::text")[0][0]
        yield CatalogObject((of_collation, oid), "collation", schema, name, identity, statement)


def read_dependencies(connection: Connection) -> list[Dependency]:
    """Read what depends on what, extensions' own objects included."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        parts = cursor.execute(_PARTS.encode(), prepare=False).fetchall()
        depends = cursor.execute(_DEPENDENCIES.encode(), prepare=False).fetchall()
    return list(_resolve_dependencies(parts, depends))


def _quoted(schema: str, identity: str) -> str:
    return f'"{schema.replace(chr(34), chr(34) * 2)}"' if identity.startswith('"') else schema


def _resolve_dependencies(parts: list[tuple[Any, ...]], depends: list[tuple[Any, ...]]) -> Iterator[Dependency]:
    owner_of: dict[Key, tuple[Key, str]] = {(row[0], row[1]): ((row[2], row[3]), row[4]) for row in parts}

    def resolve(key: Key) -> tuple[Key, str]:
        via = "column"
        while key in owner_of:
            key, kind = owner_of[key]
            via = kind if via == "column" else via
        return key, via

    for class_of, oid, referenced_class, referenced_oid, _ in depends:
        part = (class_of, oid)
        dependent, via = resolve(part)
        referenced, _ = resolve((referenced_class, referenced_oid))
        if dependent != referenced:
            yield Dependency(dependent, referenced, via, part)


def find_changing_types(parts: Iterable[tuple[int, int, bool, bool]]) -> set[int]:
    """Find the types whose binary form is another one on each server, or that have none. Pure.

    Arrays and composite values name the number of their parts' types, which users' types have by chance.

    Args:
        parts: (type, what it is made of, whether that must be PostgreSQL's own, whether there is no binary form).
    """
    parts = list(parts)
    changing = {oid for oid, part, own, formless in parts if formless or (own and part >= FIRST_USER_OID)}
    while True:
        more = {oid for oid, part, _, _ in parts if part in changing} - changing
        if not more:
            return changing
        changing |= more
