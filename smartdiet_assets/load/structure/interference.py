"""What belongs to a live table and changes, hides or refuses what a run writes: triggers, rules, row security,
publications.
"""

from collections.abc import Collection
from dataclasses import dataclass

from psycopg import sql

from smartdiet_assets.load.execution import Connection, fetch_all
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA

#: The kinds: a trigger that runs before each row, any other trigger, a rule, row security that the user is subject to,
#: the same with a policy that may allow what is written, a publication of a table that has no replica identity.
TRIGGER, OTHER_TRIGGER, RULE, ROW_SECURITY, POLICY, PUBLICATION = (
    "trigger", "other trigger", "rule", "row security", "policy", "publication",
)  # fmt: skip

_SENTENCES = {
    TRIGGER: "the trigger {name} runs before each row and can change it or leave it out",
    OTHER_TRIGGER: "the trigger {name} runs when rows are written",
    RULE: "the rule {name} puts another statement in the place of those that write",
    ROW_SECURITY: "row security hides its rows from the user, and refuses new ones",
    POLICY: "row security may hide rows from the user, or refuse new ones",
    PUBLICATION: "the publication {name} needs a replica identity to publish changed and deleted rows, and it has none",
}
_FIND = sql.SQL("""\
WITH here AS (
  SELECT c.oid, n.nspname, c.relname, c.relreplident, c.relowner, c.relrowsecurity
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p')
    AND ((n.nspname = current_schema() AND c.relname = ANY (%(tables)s)) OR n.nspname = %(state)s)
)
SELECT h.nspname, h.relname, CASE WHEN t.tgtype & 3 = 3 THEN 'trigger' ELSE 'other trigger' END, t.tgname::text,
  format('ALTER TABLE %%I.%%I DISABLE TRIGGER %%I', h.nspname, h.relname, t.tgname)
FROM here AS h
JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = h.oid
WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 28 <> 0
UNION ALL
SELECT h.nspname, h.relname, 'rule', r.rulename::text,
  format('ALTER TABLE %%I.%%I DISABLE RULE %%I', h.nspname, h.relname, r.rulename)
FROM here AS h
JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = h.oid
WHERE r.ev_type <> '1' AND r.ev_enabled IN ('O', 'A')
UNION ALL
SELECT h.nspname, h.relname,
  CASE
    WHEN EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = h.oid AND p.polpermissive) THEN 'policy'
    ELSE 'row security'
  END,
  '',
  CASE
    WHEN pg_has_role(h.relowner, 'USAGE')
      THEN format('ALTER TABLE %%I.%%I NO FORCE ROW LEVEL SECURITY', h.nspname, h.relname)
    ELSE format('ALTER ROLE %%I BYPASSRLS', current_user)
  END
FROM here AS h
WHERE row_security_active(h.oid)
UNION ALL
SELECT h.nspname, h.relname, 'publication', p.pubname::text,
  format(
    'ALTER TABLE %%I.%%I REPLICA IDENTITY %%s', h.nspname, h.relname,
    coalesce((
      SELECT format('USING INDEX %%I', ic.relname)
      FROM pg_catalog.pg_index AS i
      JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
      WHERE i.indrelid = h.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
        AND i.indpred IS NULL AND i.indexprs IS NULL
        AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_attribute AS a
          WHERE a.attrelid = h.oid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull)
      ORDER BY i.indnatts, ic.relname
      LIMIT 1
    ), 'FULL'))
FROM here AS h
CROSS JOIN LATERAL (
  SELECT min(p.pubname) AS pubname
  FROM pg_catalog.pg_publication_tables AS t
  JOIN pg_catalog.pg_publication AS p ON p.pubname = t.pubname
  WHERE t.schemaname = h.nspname AND t.tablename = h.relname AND (p.pubupdate OR p.pubdelete)
) AS p
WHERE p.pubname IS NOT NULL
  AND CASE h.relreplident
    WHEN 'f' THEN false
    WHEN 'n' THEN true
    ELSE NOT EXISTS (
      SELECT FROM pg_catalog.pg_index AS i
      WHERE i.indrelid = h.oid AND i.indimmediate AND i.indisvalid
        AND CASE h.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END)
  END
ORDER BY 1, 2, 3, 4""")


@dataclass(frozen=True, slots=True)
class Interference:
    """One thing that stands between a run and a table.

    Attributes:
        table: with its schema where that is the mirror's own.
        kind: one of the kinds above.
        name: of the trigger, rule or publication.
        statement: takes it out of the way, for an administrator to decide.
    """

    table: str
    kind: str
    name: str
    statement: str

    @property
    def sentence(self) -> str:
        return _SENTENCES[self.kind].replace("{name}", self.name)


def find_interferences(connection: Connection, tables: Collection[str]) -> list[Interference]:
    """Find what stands between a run and tables of the connection's schema, and the mirror's own."""
    found = fetch_all(connection, _FIND, {"tables": list(tables), "state": BOOKKEEPING_SCHEMA})
    return [
        Interference(f"{schema}.{table}" if schema == BOOKKEEPING_SCHEMA else table, kind, name, f"{statement};")
        for schema, table, kind, name, statement in found
    ]
