"""What reads the types, functions, collations and extensions of a PostgreSQL database, and what cannot be copied.

Here: queries without parameters, for a session whose search_path is empty. Relations are in
`relation_queries`.
"""

from smartdiet_assets.refresh.postgres.relation_queries import USER_SCHEMA, not_of_extension

_ENUM = """\
format(
  'CREATE TYPE %I.%I AS ENUM (%s)', n.nspname, t.typname,
  (
    SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
    FROM pg_enum AS e
    WHERE e.enumtypid = t.oid
  )
)"""
_COMPOSITE = """\
format(
  'CREATE TYPE %I.%I AS (%s)', n.nspname, t.typname,
  (
    SELECT
      string_agg(
        format(
          '%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod),
          CASE
            WHEN a.attcollation NOT IN (0, b.typcollation) THEN ' COLLATE ' || a.attcollation::regcollation ELSE ''
          END
        ),
        ', ' ORDER BY a.attnum
      )
    FROM pg_attribute AS a
    JOIN pg_type AS b ON b.oid = a.atttypid
    WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
  )
)"""
_DOMAIN = """\
format(
  'CREATE DOMAIN %I.%I AS %s%s%s%s%s', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod),
  CASE
    WHEN t.typcollation NOT IN (0, (SELECT b.typcollation FROM pg_type AS b WHERE b.oid = t.typbasetype))
    THEN ' COLLATE ' || t.typcollation::regcollation
  END,
  ' DEFAULT ' || coalesce(pg_get_expr(t.typdefaultbin, 0), quote_literal(t.typdefault)),
  CASE
    WHEN t.typnotnull AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.contypid = t.oid AND k.contype = 'n')
    THEN ' NOT NULL'
  END,
  (
    SELECT
      string_agg(format(' CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), '' ORDER BY k.conname)
    FROM pg_constraint AS k
    WHERE k.contypid = t.oid AND k.convalidated
  )
)"""
_RANGE = """\
(
  SELECT
    format(
      'CREATE TYPE %I.%I AS RANGE (SUBTYPE = %s%s%s%s%s%s)', n.nspname, t.typname, format_type(r.rngsubtype, NULL),
      (
        SELECT format(', SUBTYPE_OPCLASS = %I.%I', s.nspname, o.opcname)
        FROM pg_opclass AS o JOIN pg_namespace AS s ON s.oid = o.opcnamespace WHERE o.oid = r.rngsubopc
      ),
      CASE WHEN r.rngcollation <> 0 THEN ', COLLATION = ' || r.rngcollation::regcollation END,
      CASE WHEN r.rngcanonical <> 0 THEN ', CANONICAL = ' || r.rngcanonical::regproc END,
      CASE WHEN r.rngsubdiff <> 0 THEN ', SUBTYPE_DIFF = ' || r.rngsubdiff::regproc END,
      (
        SELECT format(', MULTIRANGE_TYPE_NAME = %I.%I', n.nspname, m.typname)
        FROM pg_type AS m WHERE m.oid = (to_jsonb(r)->>'rngmultitypid')::oid
      )
    )
  FROM pg_range AS r
  WHERE r.rngtypid = t.oid
)"""

TYPES = f"""\
SELECT
  t.oid::bigint, n.nspname, t.typname,
  CASE t.typtype WHEN 'e' THEN {_ENUM} WHEN 'c' THEN {_COMPOSITE} WHEN 'd' THEN {_DOMAIN} ELSE {_RANGE} END
FROM pg_type AS t
JOIN pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_class AS c ON c.oid = t.typrelid
WHERE t.typtype IN ('e', 'd', 'r', 'c') AND (t.typtype <> 'c' OR c.relkind = 'c') AND {USER_SCHEMA}
  AND {not_of_extension("pg_type", "t.oid")}
ORDER BY n.nspname, t.typname"""

FUNCTIONS = f"""\
SELECT
  p.oid::bigint, n.nspname, p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proname
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prokind IN ('f', 'p', 'w') AND {USER_SCHEMA} AND {not_of_extension("pg_proc", "p.oid")}
  -- What a range type brings along is made with it.
  AND NOT EXISTS (
    SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i'
  )
ORDER BY n.nspname, p.oid::regprocedure::text"""

COLLATIONS = f"""\
SELECT
  c.oid::bigint, n.nspname, c.collname,
  format(
    'CREATE COLLATION %I.%I (%s)', n.nspname, c.collname,
    concat_ws(
      ', ', 'PROVIDER = ' || CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
      'LOCALE = ' || quote_literal(
        coalesce(
          to_jsonb(c)->>'colllocale', to_jsonb(c)->>'colliculocale',
          CASE WHEN c.collcollate = c.collctype THEN c.collcollate::text END
        )
      ),
      'LC_COLLATE = ' || CASE WHEN c.collcollate <> c.collctype THEN quote_literal(c.collcollate) END,
      'LC_CTYPE = ' || CASE WHEN c.collcollate <> c.collctype THEN quote_literal(c.collctype) END,
      'RULES = ' || quote_literal(to_jsonb(c)->>'collicurules'),
      CASE WHEN NOT c.collisdeterministic THEN 'DETERMINISTIC = false' END
    )
  )
FROM pg_collation AS c
JOIN pg_namespace AS n ON n.oid = c.collnamespace
WHERE {USER_SCHEMA} AND {not_of_extension("pg_collation", "c.oid")}
ORDER BY n.nspname, c.collname"""

EXTENSIONS = """\
SELECT e.oid::bigint, e.extname, n.nspname, e.extrelocatable
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql'
ORDER BY e.extname"""

EXTENSION_MEMBERS = """\
SELECT d.classid::bigint, d.objid::bigint, e.extname
FROM pg_depend AS d
JOIN pg_extension AS e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'"""

_LEFT_OUT_OF_SCHEMAS = (
    ("pg_class", "oid", "relnamespace", "relkind = 'f'"),
    ("pg_proc", "oid", "pronamespace", "prokind = 'a'"),
    ("pg_operator", "oid", "oprnamespace", "true"),
    ("pg_opclass", "oid", "opcnamespace", "true"),
    ("pg_opfamily", "oid", "opfnamespace", "true"),
    ("pg_conversion", "oid", "connamespace", "true"),
    ("pg_ts_config", "oid", "cfgnamespace", "true"),
    ("pg_ts_dict", "oid", "dictnamespace", "true"),
    ("pg_ts_parser", "oid", "prsnamespace", "true"),
    ("pg_ts_template", "oid", "tmplnamespace", "true"),
    ("pg_type", "oid", "typnamespace", "typtype = 'b' AND typelem = 0 AND typcategory <> 'A'"),
)
_LEFT_OUT_OF_DATABASE = (
    ("pg_publication", "true"),
    ("pg_event_trigger", "true"),
    ("pg_foreign_server", "true"),
    # A range type brings along its own cast to a multirange.
    ("pg_cast", "oid >= 16384 AND NOT EXISTS (SELECT FROM pg_range AS r WHERE r.rngtypid = x.castsource)"),
    ("pg_transform", "oid >= 16384"),
    ("pg_language", "oid >= 16384"),
)

#: What is not copied, by schema ("" where it is in none) and in PostgreSQL's own words.
LEFT_OUT = "\nUNION ALL\n".join(
    [
        f"SELECT n.nspname, pg_describe_object('{catalogue}'::regclass, x.{oid}, 0) FROM pg_catalog.{catalogue} AS x"
        f" JOIN pg_namespace AS n ON n.oid = x.{namespace}"
        f" WHERE {condition} AND {USER_SCHEMA} AND {not_of_extension(catalogue, f'x.{oid}')}"
        for catalogue, oid, namespace, condition in _LEFT_OUT_OF_SCHEMAS
    ]
    + [
        f"SELECT '', pg_describe_object('{catalogue}'::regclass, x.oid, 0) FROM pg_catalog.{catalogue} AS x"
        f" WHERE {condition} AND {not_of_extension(catalogue, 'x.oid')}"
        for catalogue, condition in _LEFT_OUT_OF_DATABASE
    ]
    + ["SELECT '', count(*) || ' large objects' FROM pg_largeobject_metadata HAVING count(*) > 0"]
)
