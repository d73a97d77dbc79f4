"""What reads the relations of a PostgreSQL database: each with the statement that creates it, bare.

Here: queries without parameters, for a session whose search_path is empty, so that every name they give is qualified.
What belongs to a relation and is made after it (defaults, keys, triggers) is in `attachment_queries`.
Columns of the catalogues that not every version has are read through `to_jsonb`.
"""

#: Of pg_namespace as `n`: what users made.
USER_SCHEMA = r"n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


def not_of_extension(catalogue: str, oid: str) -> str:
    """Compose the condition that an object does not belong to an extension."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = '{catalogue}'::regclass AND e.objid = {oid}"
        " AND e.deptype = 'e')"
    )


SCHEMAS = f"""\
SELECT n.oid::bigint, n.nspname, pg_has_role(n.nspowner, 'USAGE'), obj_description(n.oid, 'pg_namespace')
FROM pg_namespace AS n
WHERE {USER_SCHEMA} AND {not_of_extension("pg_namespace", "n.oid")}"""

_SEQUENCE_OPTIONS = """\
format(
  ' START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s', s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
  s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END
)"""

SEQUENCES = f"""\
SELECT
  c.oid::bigint, n.nspname, c.relname,
  format(
    'CREATE %sSEQUENCE %I.%I AS %s%s', CASE WHEN c.relpersistence = 'u' THEN 'UNLOGGED ' ELSE '' END, n.nspname,
    c.relname, format_type(s.seqtypid, NULL), {_SEQUENCE_OPTIONS}
  ),
  owned.refobjid::bigint,
  coalesce(owned.deptype = 'i', false)
FROM pg_sequence AS s
JOIN pg_class AS c ON c.oid = s.seqrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_depend AS owned
  ON owned.classid = 'pg_class'::regclass AND owned.objid = c.oid AND owned.refclassid = 'pg_class'::regclass
    AND owned.refobjsubid > 0 AND owned.deptype IN ('a', 'i')
WHERE c.relpersistence <> 't' AND {USER_SCHEMA} AND {not_of_extension("pg_class", "c.oid")}
ORDER BY n.nspname, c.relname"""

_IDENTITY = f"""\
(
  SELECT
    format(
      ' GENERATED %s AS IDENTITY (SEQUENCE NAME %s%s)',
      CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, s.seqrelid::regclass, {_SEQUENCE_OPTIONS}
    )
  FROM pg_depend AS d
  JOIN pg_sequence AS s ON s.seqrelid = d.objid
  WHERE a.attidentity <> '' AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'i'
)"""

# From PostgreSQL 18 on NOT NULL has a name, and need not hold for the rows that are there.
_NOT_NULL = """\
coalesce(
  (
    SELECT
      CASE
        WHEN k.convalidated
        THEN format(' CONSTRAINT %I NOT NULL%s', k.conname, CASE WHEN k.connoinherit THEN ' NO INHERIT' ELSE '' END)
        ELSE ''
      END
    FROM pg_constraint AS k
    WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]
  ),
  CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
)"""

_COLUMNS = f"""\
(
  SELECT
    string_agg(
      format(
        '%I %s%s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
        CASE
          WHEN a.attcollation NOT IN (0, t.typcollation) THEN ' COLLATE ' || a.attcollation::regcollation ELSE ''
        END,
        CASE a.attgenerated
          WHEN '' THEN ''
          ELSE format(
            ' GENERATED ALWAYS AS (%s) %s', pg_get_expr(d.adbin, d.adrelid),
            CASE a.attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END
          )
        END,
        coalesce({_IDENTITY}, ''),
        {_NOT_NULL}
      ),
      ', ' ORDER BY a.attnum
    )
  FROM pg_attribute AS a
  JOIN pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attislocal OR c.relispartition)
)"""

_PARENTS = """\
(
  SELECT format(' INHERITS (%s)', string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno))
  FROM pg_inherits AS i
  WHERE i.inhrelid = c.oid AND NOT c.relispartition
  HAVING count(*) > 0
)"""

_STORAGE_OPTIONS = """\
(
  SELECT format(' WITH (%s)', string_agg(format('%s=%L', o.name, o.option_value), ', ' ORDER BY o.n))
  FROM (
    SELECT quote_ident(p.option_name) AS name, p.option_value, p.n
    FROM pg_options_to_table(c.reloptions) WITH ORDINALITY AS p (option_name, option_value, n)
    UNION ALL
    SELECT 'toast.' || quote_ident(p.option_name), p.option_value, 1000 + p.n
    FROM pg_class AS toast,
      pg_options_to_table(toast.reloptions) WITH ORDINALITY AS p (option_name, option_value, n)
    WHERE toast.oid = c.reltoastrelid
  ) AS o
  HAVING count(*) > 0
)"""

TABLES = f"""\
SELECT
  c.oid::bigint, n.nspname, c.relname, c.relkind = 'r', nullif(c.reltuples, -1)::bigint,
  CASE WHEN c.relispartition THEN (SELECT i.inhparent::bigint FROM pg_inherits AS i WHERE i.inhrelid = c.oid) END,
  format(
    'CREATE %sTABLE %I.%I (%s)%s%s%s%s', CASE WHEN c.relpersistence = 'u' THEN 'UNLOGGED ' ELSE '' END, n.nspname,
    c.relname, {_COLUMNS}, {_PARENTS},
    CASE WHEN c.relkind = 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(c.oid) END,
    CASE WHEN m.amname <> 'heap' THEN format(' USING %I', m.amname) END,
    {_STORAGE_OPTIONS}
  )
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_am AS m ON m.oid = c.relam
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {USER_SCHEMA}
  AND {not_of_extension("pg_class", "c.oid")}
ORDER BY n.nspname, c.relname"""

VIEWS = f"""\
SELECT
  c.oid::bigint, n.nspname, c.relname, c.relkind = 'm', c.relispopulated,
  format(
    'CREATE %sVIEW %I.%I%s AS %s%s', CASE WHEN c.relkind = 'm' THEN 'MATERIALIZED ' ELSE '' END, n.nspname, c.relname,
    {_STORAGE_OPTIONS}, rtrim(pg_get_viewdef(c.oid), ';'),
    CASE WHEN c.relkind = 'm' THEN ' WITH NO DATA' ELSE '' END
  )
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND c.relpersistence <> 't' AND {USER_SCHEMA} AND {not_of_extension("pg_class", "c.oid")}
ORDER BY n.nspname, c.relname"""

#: The columns that rows are copied by, with their types: generated ones are computed anew.
COPIED_COLUMNS = f"""\
SELECT a.attrelid::bigint, a.attname, a.atttypid::bigint
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND {USER_SCHEMA} AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attrelid, a.attnum"""

#: Types whose values have another form on each server, in binary: they hold numbers of types that users made.
#: (type, what it is made of, whether that must be built in, whether it has no binary form at all)
TYPE_PARTS = """\
SELECT t.oid::bigint, t.typelem::bigint, true, false
FROM pg_type AS t
WHERE t.typelem <> 0 AND t.typcategory = 'A' AND t.oid >= 16384
UNION ALL
SELECT t.oid::bigint, a.atttypid::bigint, true, false
FROM pg_type AS t
JOIN pg_attribute AS a ON a.attrelid = t.typrelid
WHERE t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped AND t.oid >= 16384
UNION ALL
SELECT t.oid::bigint, t.typbasetype::bigint, false, false FROM pg_type AS t WHERE t.typtype = 'd'
UNION ALL
SELECT r.rngtypid::bigint, r.rngsubtype::bigint, false, false FROM pg_range AS r WHERE r.rngtypid >= 16384
UNION ALL
SELECT (to_jsonb(r)->>'rngmultitypid')::bigint, r.rngsubtype::bigint, false, false
FROM pg_range AS r
WHERE r.rngtypid >= 16384 AND to_jsonb(r)->>'rngmultitypid' IS NOT NULL
UNION ALL
SELECT t.oid::bigint, 0, false, true
FROM pg_type AS t
WHERE t.typtype IN ('b', 'd', 'r', 'm', 'e') AND (t.typsend = 0 OR t.typreceive = 0)"""
