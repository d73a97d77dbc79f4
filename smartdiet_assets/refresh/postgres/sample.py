"""Which rows of a table a refresh copies, where it does not copy all: a sample, the mirror's own lines, none.

A sample of P percent holds of each table the rows whose key hashes below P percent, and every row that a chosen one
refers to through a foreign key, however far, cycles included. It is the same each time, and a smaller sample is part
of a larger one. Rows are told by their place (`ctid`), which cannot change while the snapshot is open.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from psycopg import Connection, sql

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA
from smartdiet_assets.refresh.postgres.catalog import Catalog, CatalogObject, Key
from smartdiet_assets.refresh.postgres.selection import Selection, compose_about, is_record
from smartdiet_assets.refresh.postgres.sessions import fetch, quote

#: The steps a percentage is counted in.
_STEPS = 1_000_000

# Compared as the foreign key itself compares: by its operators, in the parent's collation. Of a key over periods the
# last column is not compared: that chooses more than is needed.
_REFERENCES = """\
SELECT k.conrelid::bigint, k.confrelid::bigint,
  string_agg(
    format(
      'p.%I%s OPERATOR(%I.%s) c.%I', up.attname,
      CASE WHEN up.attcollation <> 0 THEN ' COLLATE ' || up.attcollation::regcollation ELSE '' END,
      s.nspname, o.oprname, down.attname
    ),
    ' AND ' ORDER BY u.n
  ),
  string_agg(format('c.%I IS NOT NULL', down.attname), ' AND ' ORDER BY u.n)
FROM pg_constraint AS k
CROSS JOIN LATERAL unnest(k.conkey, k.confkey, k.conpfeqop) WITH ORDINALITY AS u (child, parent, operator, n)
JOIN pg_attribute AS up ON up.attrelid = k.confrelid AND up.attnum = u.parent
JOIN pg_attribute AS down ON down.attrelid = k.conrelid AND down.attnum = u.child
JOIN pg_operator AS o ON o.oid = u.operator
JOIN pg_namespace AS s ON s.oid = o.oprnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
  AND NOT (coalesce((to_jsonb(k)->>'conperiod')::boolean, false) AND u.n = cardinality(k.conkey))
GROUP BY k.oid, k.conrelid, k.confrelid
ORDER BY k.oid"""

_PRIMARY_KEYS = """\
SELECT k.conrelid::bigint, string_agg(format('t.%I::text', a.attname), ', ' ORDER BY u.n)
FROM pg_constraint AS k
CROSS JOIN LATERAL unnest(k.conkey) WITH ORDINALITY AS u (number, n)
JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number
WHERE k.contype = 'p'
GROUP BY k.conrelid"""


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key from rows of `child`, called c, to rows of `parent`, called p."""

    child: int
    parent: int
    condition: str
    present: str


@dataclass(slots=True)
class ReferenceGraph:
    """The tables a sample is taken of, each partitioned one as a whole, and the foreign keys between them.

    Attributes:
        relations: how each table is read, by number, with all its partitions and nothing else.
        keys: what a row is known by, as arguments of `concat_ws`, called t.
        roots: of each table or partition that rows are in, the table it counts as.
    """

    relations: dict[int, str] = field(default_factory=dict)
    keys: dict[int, str] = field(default_factory=dict)
    roots: dict[int, int] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    own_relations: dict[int, str] = field(default_factory=dict)


def compose_queries(source: Connection, catalog: Catalog, selection: Selection, sample: float | None) -> dict[Key, str]:
    """Compose the query for each table of which not all rows are copied.

    Raises:
        ConfigurationError: rows to copy refer to a table whose data is left out.
    """
    tables = [catalog.objects[key] for key in catalog.objects if key in selection.created]
    tables = [table for table in tables if table.kind == "table"]
    _refuse_dangling(source, catalog, selection)
    queries: dict[Key, str] = {}
    emptied = {(catalog.objects[key].schema, catalog.objects[key].name) for key in selection.empty}
    copied = [one for one in selection.mirrored if one not in emptied]
    for table in tables:
        if is_record(table):
            columns = catalog.columns[table.key[1]]
            about = sql.SQL(compose_about(columns)).format(
                schemas=sql.Literal([schema for schema, _ in copied]), names=sql.Literal([name for _, name in copied])
            )
            listed = ", ".join(map(quote, columns))
            queries[table.key] = f"SELECT {listed} FROM ONLY {table.identity} WHERE {about.as_string(source)}"
    if sample is None or sample >= 100:
        return queries
    sampled = [table for table in tables if table.schema != BOOKKEEPING_SCHEMA and table.key not in selection.empty]
    graph = read_graph(source, catalog, sampled)
    for table in sampled:
        columns = catalog.columns.get(table.key[1], [])
        queries[table.key] = compose_sample(graph, table.key[1], columns, sample)
    return queries


def read_graph(source: Connection, catalog: Catalog, tables: Iterable[CatalogObject]) -> ReferenceGraph:
    """Read how tables refer to each other."""
    graph = ReferenceGraph()
    for table in tables:
        root = table
        while root.partition_of is not None and (above := catalog.relation(root.partition_of)) is not None:
            root = above
        graph.roots[table.key[1]] = root.key[1]
        graph.own_relations[table.key[1]] = f"ONLY {table.identity}"
        graph.relations[root.key[1]] = root.identity if root.kind == "partitioned table" else f"ONLY {root.identity}"
    keys = dict(fetch(source, _PRIMARY_KEYS))
    graph.keys = {root: keys.get(root, "t::text") for root in graph.relations}

    def root_of(oid: int) -> int | None:
        found = catalog.relation(oid)
        while found is not None and found.partition_of is not None:
            found = catalog.relation(found.partition_of)
        return found.key[1] if found is not None and found.key[1] in graph.relations else None

    for child, parent, condition, present in fetch(source, _REFERENCES):
        below, above_it = root_of(child), root_of(parent)
        if below is not None and above_it is not None:
            graph.references.append(Reference(below, above_it, condition, present))
    return graph


def compose_sample(graph: ReferenceGraph, table: int, columns: Collection[str], percent: float) -> str:
    """Compose the query of a table's sampled rows. Pure.

    Args:
        table: one that holds rows: a plain one or a partition.
    """
    root = graph.roots[table]
    listed = ", ".join(f"t.{quote(column)}" for column in columns)
    relation = graph.own_relations[table]
    below: dict[int, set[int]] = {}
    for reference in graph.references:
        below.setdefault(reference.parent, set()).add(reference.child)
    groups = _group_cycles(root, below)
    if len(groups) == 1 and not below.get(root):
        return f"SELECT {listed} FROM {relation} AS t WHERE {_compose_hash(graph, root, percent)}"
    steps = [_compose_step(graph, group, percent) for group in groups]
    return (
        f"WITH RECURSIVE {', '.join(steps)} SELECT {listed} FROM {relation} AS t"
        f" JOIN {_name(groups, root)} AS w ON w.id = t.ctid AND w.part = {table} AND w.node = {root}"
    )


def _compose_hash(graph: ReferenceGraph, root: int, percent: float) -> str:
    # Without its sign, which a remainder would have too.
    hashed = f"hashtextextended(concat_ws(E'\\x1f', {graph.keys[root]}) COLLATE \"C\", 0) & 9223372036854775807"
    return f"({hashed}) % {_STEPS} < {round(percent / 100 * _STEPS)}"


def _name(groups: list[list[int]], root: int) -> str:
    return next(f"chosen_{group[0]}" for group in groups if root in group)


def _compose_step(graph: ReferenceGraph, group: list[int], percent: float) -> str:
    """Compose the rows chosen of a table, or of the tables of a cycle, as (node, part, id)."""
    members = set(group)
    parts = [
        f"SELECT {node} AS node, t.tableoid AS part, t.ctid AS id FROM {graph.relations[node]} AS t"
        f" WHERE {_compose_hash(graph, node, percent)}"
        for node in group
    ]
    within: list[Reference] = []
    for reference in graph.references:
        if reference.parent not in members:
            continue
        if reference.child in members:
            within.append(reference)
            continue
        parts.append(
            f"SELECT {reference.parent}, p.tableoid, p.ctid FROM {_chosen_name(graph, reference.child)} AS x"
            f" JOIN {graph.relations[reference.child]} AS c ON c.tableoid = x.part AND c.ctid = x.id"
            f" JOIN {graph.relations[reference.parent]} AS p ON {reference.condition}"
            f" WHERE x.node = {reference.child}"
        )
    start = " UNION ".join(parts)
    name = f"chosen_{group[0]}"
    if not within:
        return f"{name} AS MATERIALIZED ({start})"
    further = " UNION ALL ".join(
        f"SELECT {reference.parent} AS node, p.tableoid AS part, p.ctid AS id"
        f" FROM {graph.relations[reference.child]} AS c"
        f" JOIN {graph.relations[reference.parent]} AS p ON {reference.condition}"
        f" WHERE x.node = {reference.child} AND c.tableoid = x.part AND c.ctid = x.id"
        for reference in within
    )
    return (
        f"{name} (node, part, id) AS (({start}) UNION"
        f" SELECT n.node, n.part, n.id FROM {name} AS x CROSS JOIN LATERAL ({further}) AS n)"
    )


def _chosen_name(graph: ReferenceGraph, node: int) -> str:
    below: dict[int, set[int]] = {}
    for reference in graph.references:
        below.setdefault(reference.parent, set()).add(reference.child)
    return _name(_group_cycles(node, below), node)


def _group_cycles(root: int, below: Mapping[int, set[int]]) -> list[list[int]]:
    """Group the tables that a table depends on by the cycles they form, each group after those below it (Tarjan)."""
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    groups: list[list[int]] = []

    def visit(node: int) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for child in sorted(below.get(node, ())):
            if child not in number:
                visit(child)
                low[node] = min(low[node], low[child])
            elif child in stack:
                low[node] = min(low[node], number[child])
        if low[node] == number[node]:
            cut = stack.index(node)
            groups.append(sorted(stack[cut:]))
            del stack[cut:]

    visit(root)
    return groups


def _refuse_dangling(source: Connection, catalog: Catalog, selection: Selection) -> None:
    """Refuse to leave out the data of a table that rows to copy refer to."""
    if not selection.empty:
        return
    problems = []
    empty = {oid for _, oid in selection.empty}
    for child, parent, _, present in fetch(source, _REFERENCES):
        key = (catalog.class_catalogue, child)
        if parent not in empty or child in empty or key not in selection.created:
            continue
        found = catalog.objects[key]
        if fetch(source, f"SELECT FROM {found.identity} AS c WHERE {present} LIMIT 1"):
            above = catalog.relation(parent)
            problems.append(f"{found.label} to {above.label if above else ''}")
    if problems:
        raise ConfigurationError(
            f"rows refer to tables whose data is left out ({', '.join(sorted(problems))}): leave out their data too"
        )
