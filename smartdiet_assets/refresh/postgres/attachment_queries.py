"""What reads that which belongs to a relation, type or function of PostgreSQL and is made after it.

Here: queries without parameters, for a session whose search_path is empty. Each row is (catalogue and number of the
owner, the statement, the number of another relation it needs or NULL); the queries of a phase are run in their order.
"""

from smartdiet_assets.refresh.postgres.relation_queries import USER_SCHEMA

_CLASS = "'pg_class'::regclass::oid::bigint"
_OF_RELATION = f"""\
JOIN pg_class AS c ON c.oid = {{oid}}
JOIN pg_namespace AS n ON n.oid = c.relnamespace AND {USER_SCHEMA}"""


def _of(oid: str) -> str:
    return _OF_RELATION.format(oid=oid)


_PARTITIONS = f"""\
SELECT {_CLASS}, c.oid::bigint,
  format(
    'ALTER TABLE ONLY %s ATTACH PARTITION %s %s', i.inhparent::regclass, c.oid::regclass,
    pg_get_expr(c.relpartbound, c.oid)
  ),
  i.inhparent::bigint
FROM pg_inherits AS i
{_of("i.inhrelid")}
WHERE c.relispartition AND c.relkind IN ('r', 'p')
ORDER BY c.oid"""

_TYPED_TABLES = f"""\
SELECT {_CLASS}, c.oid::bigint, format('ALTER TABLE %s OF %s', c.oid::regclass, c.reloftype::regtype), NULL::bigint
FROM pg_class AS o
{_of("o.oid")}
WHERE c.reloftype <> 0"""

_DEFAULTS = f"""\
SELECT {_CLASS}, c.oid::bigint,
  format(
    'ALTER TABLE ONLY %s ALTER COLUMN %I SET DEFAULT %s', c.oid::regclass, a.attname, pg_get_expr(d.adbin, d.adrelid)
  ),
  NULL::bigint
FROM pg_attrdef AS d
JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated = ''
{_of("d.adrelid")}
WHERE c.relkind {{kinds}}
ORDER BY c.oid, d.adnum"""

_OWNED_SEQUENCES = f"""\
SELECT {_CLASS}, c.oid::bigint,
  format('ALTER SEQUENCE %s OWNED BY %s.%I', d.objid::regclass, c.oid::regclass, a.attname), d.objid::bigint
FROM pg_depend AS d
JOIN pg_sequence AS s ON s.seqrelid = d.objid
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
{_of("d.refobjid")}
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a'
ORDER BY c.oid, d.objid"""

_COLUMN_SETTINGS = f"""\
SELECT {_CLASS}, c.oid::bigint,
  format('ALTER TABLE ONLY %s ALTER COLUMN %I %s', c.oid::regclass, a.attname, setting.text), NULL::bigint
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
{_of("a.attrelid")}
CROSS JOIN LATERAL (
  VALUES
    (
      CASE
        WHEN a.attstorage <> t.typstorage
        THEN 'SET STORAGE ' || CASE a.attstorage
          WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED'
        END
      END
    ),
    (
      CASE to_jsonb(a)->>'attcompression'
        WHEN 'p' THEN 'SET COMPRESSION pglz' WHEN 'l' THEN 'SET COMPRESSION lz4'
      END
    ),
    (CASE WHEN (to_jsonb(a)->>'attstattarget')::integer >= 0 THEN 'SET STATISTICS ' || a.attstattarget END),
    (
      (
        SELECT format('SET (%s)', string_agg(format('%s=%L', o.option_name, o.option_value), ', '))
        FROM pg_options_to_table(a.attoptions) AS o
        HAVING count(*) > 0
      )
    )
) AS setting (text)
WHERE c.relkind {{kinds}} AND a.attnum > 0 AND NOT a.attisdropped AND setting.text IS NOT NULL
ORDER BY c.oid, a.attnum"""

_CHECKS = f"""\
SELECT {_CLASS}, c.oid::bigint,
  format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.oid::regclass, k.conname, pg_get_constraintdef(k.oid)), NULL::bigint
FROM pg_constraint AS k
{_of("k.conrelid")}
WHERE {{which}} AND (k.conislocal OR k.coninhcount = 0)
ORDER BY k.coninhcount DESC, c.oid, k.conname"""

_STATISTICS = f"""\
SELECT {_CLASS}, c.oid::bigint, pg_get_statisticsobjdef(s.oid), NULL::bigint
FROM pg_statistic_ext AS s
{_of("s.stxrelid")}
UNION ALL
SELECT {_CLASS}, c.oid::bigint,
  format('ALTER STATISTICS %I.%I SET STATISTICS %s', x.nspname, s.stxname, s.stxstattarget), NULL
FROM pg_statistic_ext AS s
JOIN pg_namespace AS x ON x.oid = s.stxnamespace
{_of("s.stxrelid")}
WHERE (to_jsonb(s)->>'stxstattarget')::integer >= 0"""

_OF_CONSTRAINT = """\
EXISTS (
  SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
)"""

# An index that an interrupted CREATE INDEX CONCURRENTLY left behind is none.
_INDEXES = f"""\
SELECT {_CLASS}, c.oid::bigint, pg_get_indexdef(i.indexrelid), NULL::bigint
FROM pg_index AS i
{_of("i.indrelid")}
WHERE (i.indisvalid OR c.relkind = 'p') AND NOT {_OF_CONSTRAINT}
ORDER BY c.oid, i.indexrelid"""

_KEYS = f"""\
SELECT {_CLASS}, c.oid::bigint,
  format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s', c.oid::regclass, k.conname, pg_get_constraintdef(k.oid)),
  NULL::bigint
FROM pg_constraint AS k
{_of("k.conrelid")}
WHERE k.contype IN ('p', 'u', 'x')
ORDER BY c.oid, k.contype, k.conname"""

_INDEX_SETTINGS = f"""\
SELECT {_CLASS}, c.oid::bigint,
  format(
    'ALTER INDEX %s SET (%s)', x.oid::regclass,
    (
      SELECT string_agg(format('%s=%L', o.option_name, o.option_value), ', ')
      FROM pg_options_to_table(x.reloptions) AS o
    )
  ),
  NULL::bigint
FROM pg_index AS i
JOIN pg_class AS x ON x.oid = i.indexrelid AND x.reloptions IS NOT NULL
{_of("i.indrelid")}
WHERE {_OF_CONSTRAINT}
UNION ALL
SELECT {_CLASS}, c.oid::bigint,
  format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', i.indexrelid::regclass, a.attnum, a.attstattarget), NULL
FROM pg_index AS i
JOIN pg_attribute AS a ON a.attrelid = i.indexrelid AND (to_jsonb(a)->>'attstattarget')::integer >= 0
{_of("i.indrelid")}
UNION ALL
SELECT {_CLASS}, c.oid::bigint,
  format('ALTER TABLE %s CLUSTER ON %I', c.oid::regclass, x.relname), NULL
FROM pg_index AS i
JOIN pg_class AS x ON x.oid = i.indexrelid
{_of("i.indrelid")}
WHERE i.indisclustered
UNION ALL
SELECT {_CLASS}, c.oid::bigint,
  format(
    'ALTER TABLE ONLY %s REPLICA IDENTITY %s', c.oid::regclass,
    CASE c.relreplident
      WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
      ELSE (
        SELECT format('USING INDEX %I', x.relname)
        FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident
      )
    END
  ),
  NULL
FROM pg_class AS o
{_of("o.oid")}
WHERE c.relreplident <> 'd' AND c.relkind IN ('r', 'p')"""

_INDEX_PARTITIONS = f"""\
SELECT {_CLASS}, c.oid::bigint,
  format('ALTER INDEX %s ATTACH PARTITION %s', p.inhparent::regclass, p.inhrelid::regclass),
  (SELECT up.indrelid::bigint FROM pg_index AS up WHERE up.indexrelid = p.inhparent)
FROM pg_inherits AS p
JOIN pg_index AS i ON i.indexrelid = p.inhrelid
{_of("i.indrelid")}
ORDER BY p.inhrelid"""

_REFERENCES = f"""\
SELECT {_CLASS}, c.oid::bigint,
  format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.oid::regclass, k.conname, pg_get_constraintdef(k.oid)),
  k.confrelid::bigint
FROM pg_constraint AS k
{_of("k.conrelid")}
WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY c.oid, k.conname"""

_RULES = f"""\
SELECT {_CLASS}, c.oid::bigint, pg_get_ruledef(r.oid), NULL::bigint
FROM pg_rewrite AS r
{_of("r.ev_class")}
WHERE r.rulename <> '_RETURN'
UNION ALL
SELECT {_CLASS}, c.oid::bigint,
  format(
    'ALTER TABLE %s %s RULE %I', c.oid::regclass,
    CASE r.ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, r.rulename
  ),
  NULL
FROM pg_rewrite AS r
{_of("r.ev_class")}
WHERE r.rulename <> '_RETURN' AND r.ev_enabled <> 'O'"""

_TRIGGERS = f"""\
SELECT {_CLASS}, c.oid::bigint, pg_get_triggerdef(t.oid), nullif(t.tgconstrrelid, 0)::bigint
FROM pg_trigger AS t
{_of("t.tgrelid")}
WHERE NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL
SELECT {_CLASS}, c.oid::bigint,
  format(
    'ALTER TABLE %s %s TRIGGER %I', c.oid::regclass,
    CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, t.tgname
  ),
  NULL
FROM pg_trigger AS t
{_of("t.tgrelid")}
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'O'"""

_POLICIES = f"""\
SELECT {_CLASS}, c.oid::bigint,
  format(
    'CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, c.oid::regclass,
    CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
    CASE p.polcmd
      WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL'
    END,
    (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE r::regrole::text END, ', ') FROM unnest(p.polroles) AS r),
    format(' USING (%s)', nullif(pg_get_expr(p.polqual, p.polrelid), '')),
    format(' WITH CHECK (%s)', nullif(pg_get_expr(p.polwithcheck, p.polrelid), ''))
  ),
  NULL::bigint
FROM pg_policy AS p
{_of("p.polrelid")}
UNION ALL
SELECT {_CLASS}, c.oid::bigint, format('ALTER TABLE %s %s ROW LEVEL SECURITY', c.oid::regclass, w.what), NULL
FROM pg_class AS o
{_of("o.oid")}
CROSS JOIN LATERAL (
  VALUES ('ENABLE', c.relrowsecurity), ('FORCE', c.relforcerowsecurity)
) AS w (what, wanted)
WHERE w.wanted"""

_COMMENTS = """\
SELECT
  CASE WHEN d.classoid IN ('pg_type'::regclass, 'pg_proc'::regclass, 'pg_collation'::regclass)
    THEN d.classoid::bigint ELSE coalesce(o.catalogue, 'pg_class'::regclass)::oid::bigint END,
  coalesce(o.owner, d.objoid)::bigint,
  format(
    'COMMENT ON %s %s IS %L',
    CASE
      WHEN i.type IN ('table column', 'view column', 'materialized view column', 'composite type column') THEN 'COLUMN'
      WHEN i.type IN ('table constraint', 'domain constraint') THEN 'CONSTRAINT'
      WHEN i.type = 'statistics object' THEN 'STATISTICS'
      ELSE upper(i.type)
    END,
    CASE
      WHEN i.type = 'domain constraint' THEN regexp_replace(i.identity, ' on (?!.* on )', ' ON DOMAIN ')
      ELSE i.identity
    END,
    d.description
  ),
  o.needs
FROM pg_description AS d
CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) AS i
LEFT JOIN LATERAL (
  SELECT 'pg_class'::regclass AS catalogue, x.indrelid AS owner, NULL::bigint AS needs
  FROM pg_index AS x WHERE d.classoid = 'pg_class'::regclass AND x.indexrelid = d.objoid
  UNION ALL
  SELECT CASE WHEN k.contypid <> 0 THEN 'pg_type'::regclass ELSE 'pg_class'::regclass END,
    CASE WHEN k.contypid <> 0 THEN k.contypid ELSE k.conrelid END, nullif(k.confrelid, 0)::bigint
  FROM pg_constraint AS k WHERE d.classoid = 'pg_constraint'::regclass AND k.oid = d.objoid
  UNION ALL
  SELECT 'pg_class'::regclass, t.tgrelid, NULL
  FROM pg_trigger AS t WHERE d.classoid = 'pg_trigger'::regclass AND t.oid = d.objoid
  UNION ALL
  SELECT 'pg_class'::regclass, r.ev_class, NULL
  FROM pg_rewrite AS r WHERE d.classoid = 'pg_rewrite'::regclass AND r.oid = d.objoid
  UNION ALL
  SELECT 'pg_class'::regclass, p.polrelid, NULL
  FROM pg_policy AS p WHERE d.classoid = 'pg_policy'::regclass AND p.oid = d.objoid
  UNION ALL
  SELECT 'pg_class'::regclass, s.stxrelid, NULL
  FROM pg_statistic_ext AS s WHERE d.classoid = 'pg_statistic_ext'::regclass AND s.oid = d.objoid
  UNION ALL
  SELECT 'pg_type'::regclass, y.reltype, NULL
  FROM pg_class AS y WHERE d.classoid = 'pg_class'::regclass AND y.oid = d.objoid AND y.relkind = 'c'
) AS o ON true
WHERE d.objoid >= 16384 AND i.type NOT IN ('schema', 'extension', 'database')
  AND NOT EXISTS (
    SELECT FROM pg_depend AS e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e'
  )
ORDER BY d.objoid, d.objsubid"""

_TABLES_ONLY = "IN ('r', 'p')"
_OTHERS = "IN ('v', 'm')"

#: By phase: `shape` before the rows, `key` after them, `reference` when all keys are there, `rule` at the end.
ATTACHMENTS: dict[str, tuple[str, ...]] = {
    "shape": (
        _PARTITIONS,
        _DEFAULTS.format(kinds=_TABLES_ONLY),
        _TYPED_TABLES,
        _OWNED_SEQUENCES,
        _COLUMN_SETTINGS.format(kinds=_TABLES_ONLY),
        _CHECKS.format(which="k.contype = 'c' AND k.convalidated"),
    ),
    "key": (_INDEXES, _KEYS, _INDEX_PARTITIONS, _INDEX_SETTINGS, _STATISTICS),
    "reference": (_REFERENCES,),
    "rule": (
        _CHECKS.format(which="k.contype IN ('c', 'n') AND NOT k.convalidated"),
        _DEFAULTS.format(kinds=_OTHERS),
        _COLUMN_SETTINGS.format(kinds=_OTHERS),
        _RULES,
        _TRIGGERS,
        _POLICIES,
        _COMMENTS,
    ),
}
