"""What the target's roles may do with an object that is replaced: owner and grants, which the source knows nothing of.

Objects that are new to the target belong to who refreshes.
"""

from collections.abc import Collection

from psycopg import Connection

from smartdiet_assets.refresh.postgres.catalog import Key
from smartdiet_assets.refresh.postgres.sessions import fetch

_GRANT = """\
format(
  'GRANT %s{columns} ON {kind} %s TO %s%s', a.privilege_type, {name},
  CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
)"""
_OWNER = """\
format('ALTER {kind} %s OWNER TO %I', {name}, pg_get_userbyid({owner}))"""


def _compose(catalogue: str, name: str, kind: str, owner: str, acl: str, grant_kind: str, where: str) -> str:
    return f"""\
SELECT '{catalogue}'::regclass::oid::bigint, x.oid::bigint, 1,
  format('REVOKE ALL ON {grant_kind} %s FROM PUBLIC', {name})
FROM {catalogue} AS x
WHERE {acl} IS NOT NULL AND x.oid >= 16384 AND {where}
UNION ALL
SELECT '{catalogue}'::regclass::oid::bigint, x.oid::bigint, 2,
  {_GRANT.format(kind=grant_kind, name=name, columns="")}
FROM {catalogue} AS x, aclexplode({acl}) AS a
WHERE a.grantee <> {owner} AND x.oid >= 16384 AND {where}
UNION ALL
SELECT '{catalogue}'::regclass::oid::bigint, x.oid::bigint, 3, {_OWNER.format(kind=kind, name=name, owner=owner)}
FROM {catalogue} AS x
WHERE {owner} <> (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user) AND x.oid >= 16384 AND {where}"""


_RELATION = "x.oid::regclass"
# An owned sequence has its table's owner.
_NOT_OWNED = """\
NOT EXISTS (
  SELECT FROM pg_depend AS d
  WHERE x.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = x.oid AND d.deptype IN ('a', 'i')
)"""
_QUERIES = (
    _compose("pg_class", _RELATION, "TABLE", "x.relowner", "x.relacl", "TABLE", "x.relkind IN ('r', 'p', 'v', 'm')"),
    _compose(
        "pg_class", _RELATION, "SEQUENCE", "x.relowner", "x.relacl", "SEQUENCE", f"x.relkind = 'S' AND {_NOT_OWNED}"
    ),
    _compose(
        "pg_class", _RELATION, "SEQUENCE", "0::oid", "x.relacl", "SEQUENCE", f"x.relkind = 'S' AND NOT {_NOT_OWNED}"
    ).rpartition("UNION ALL")[0],
    _compose("pg_proc", "x.oid::regprocedure", "ROUTINE", "x.proowner", "x.proacl", "ROUTINE", "true"),
    _compose(
        "pg_type", "format_type(x.oid, NULL)", "TYPE", "x.typowner", "x.typacl", "TYPE",
        "x.typtype IN ('e', 'd', 'r', 'c') AND (x.typrelid = 0 OR x.typrelid IN "
        "(SELECT c.oid FROM pg_class AS c WHERE c.relkind = 'c'))",
    ),
    f"""\
SELECT 'pg_class'::regclass::oid::bigint, x.oid::bigint, 2,
  {_GRANT.format(kind="TABLE", name=_RELATION, columns=" (' || quote_ident(c.attname) || ')")}
FROM pg_class AS x
JOIN pg_attribute AS c ON c.attrelid = x.oid
CROSS JOIN LATERAL aclexplode(c.attacl) AS a
WHERE a.grantee <> x.relowner AND x.oid >= 16384""",
)  # fmt: skip


def read_grants(connection: Connection, keys: Collection[Key]) -> list[tuple[Key, str]]:
    """Read owner and grants of some objects as statements, each with its object; grants come before owners."""
    found: list[tuple[int, Key, str]] = []
    for query in _QUERIES:
        for catalogue, oid, rank, statement in fetch(connection, query):
            if (catalogue, oid) in keys:
                found.append((rank, (catalogue, oid), statement))
    return [(key, statement) for _, key, statement in sorted(found)]
