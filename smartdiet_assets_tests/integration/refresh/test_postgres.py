"""A refreshed PostgreSQL database is the source's, in structure and contents, and nothing of its own is lost unseen."""

import tracemalloc

import pytest
from psycopg import sql

from smartdiet_assets.errors import ConfigurationError, PermissionDeniedError, RefreshError, SmartdietError
from smartdiet_assets.refresh.postgres.catalog import read_catalog
from smartdiet_assets.refresh.postgres.refresh import PostgresRefresh
from smartdiet_assets.refresh.progress import LineProgress
from smartdiet_assets_tests.integration.refresh.postgres_refreshed import (
    PostgresPair,
    assert_same,
    load_everything,
    read_contents,
    read_structure,
)


@pytest.fixture
def everything(postgres_pair: PostgresPair) -> PostgresPair:
    """A source with everything a refresh copies, and an empty target."""
    with postgres_pair.open(postgres_pair.source_name) as connection:
        load_everything(connection)
    return postgres_pair


@pytest.fixture
def small(postgres_pair: PostgresPair) -> PostgresPair:
    """Parents and children on both sides, other rows in each."""
    for run, first in ((postgres_pair.source, 1), (postgres_pair.target, 101)):
        run(
            "CREATE TABLE parents (id int PRIMARY KEY, name text DEFAULT 'x')",
            "CREATE TABLE children (id serial PRIMARY KEY, parent int REFERENCES parents, note text)",
            f"INSERT INTO parents SELECT g, 'p' || g FROM generate_series({first}, {first} + 49) g",
            f"INSERT INTO children (parent, note) SELECT {first} + g % 50, 'c' FROM generate_series(0, 199) g",
        )
    return postgres_pair


def test_the_target_becomes_the_source_with_everything_in_it(everything: PostgresPair) -> None:
    outcome = everything.refresh()
    assert_same(everything)
    copied = {item.name: (item.action, item.count) for item in outcome.items}
    assert copied["public.users"] == ("create", 500)
    assert copied["app.events_2024"] == ("create", 365)
    # Once more: now everything is replaced, what depends on each other included.
    assert {item.action for item in everything.refresh().items} == {"replace"}
    assert_same(everything)


def test_a_database_that_is_not_there_is_created(everything: PostgresPair) -> None:
    with everything.open("postgres") as admin:
        admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(everything.target_name)))
    plan = everything.build_refresh().plan()
    assert f"no database {everything.target_name}: it will be created" in " ".join(plan.notes)
    assert {item.action for item in plan.items} == {"create"}
    everything.refresh()
    assert_same(everything)


def test_old_tables_of_other_forms_are_replaced_and_names_stay_those_of_the_source(everything: PostgresPair) -> None:
    everything.target(
        "CREATE SCHEMA app",
        "CREATE TYPE mood AS ENUM ('other')",
        "CREATE DOMAIN app.percent AS text",
        "CREATE TABLE users (id serial PRIMARY KEY, m mood, p app.percent, CONSTRAINT users_pk UNIQUE (m))",
        "CREATE VIEW app.summed AS SELECT id FROM users",
        "CREATE TABLE app.happy (id int REFERENCES users)",
        "CREATE FUNCTION app.of_row(u users) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION app.twice(x integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT x * 3'",
        "INSERT INTO users (m, p) VALUES ('other', 'old')",
    )
    everything.refresh()
    assert_same(everything)


def test_the_source_is_only_read(everything: PostgresPair) -> None:
    with everything.open(everything.source_name) as source:
        before = read_structure(source), read_contents(source)
        rows = b"SELECT sum(xmin::text::bigint), sum(hashtext(ctid::text)) FROM public.users"
        versions = source.execute(rows).fetchall()
        everything.refresh()
        assert (read_structure(source), read_contents(source)) == before
        assert source.execute(rows).fetchall() == versions


def test_the_copy_is_one_moment_of_a_source_that_goes_on(small: PostgresPair) -> None:
    def write(step: str) -> None:
        if step == "built":
            small.source(
                "INSERT INTO parents VALUES (999)",
                "INSERT INTO children (parent) VALUES (999)",
                "DELETE FROM children WHERE parent = 1",
                "DELETE FROM parents WHERE id = 1",
            )

    small.refresh(on_step=write)
    assert small.target("SELECT count(*), min(id), max(id) FROM parents") == [(50, 1, 50)]
    assert small.target("SELECT count(*) FROM children") == [(200,)]
    # A sequence is never behind the rows.
    assert small.target("SELECT nextval('children_id_seq') > max(id) FROM children") == [(True,)]


def test_what_only_the_target_has_stays_and_is_named_or_goes_when_asked(small: PostgresPair) -> None:
    small.target(
        "CREATE TABLE own (id int PRIMARY KEY, parent int)",
        "INSERT INTO own VALUES (1, 1)",
        "CREATE TYPE own_type AS ENUM ('a')",
        "CREATE VIEW of_own AS SELECT * FROM own",
    )
    plan = small.build_refresh().plan()
    assert {item.name: item.action for item in plan.items} == {
        "public.parents": "replace", "public.children": "replace", "public.own": "keep",
    }  # fmt: skip
    assert "Stays in the target, which the source has not: view public.of_own, type public.own_type" in plan.notes
    small.refresh()
    assert small.target("SELECT * FROM of_own") == [(1, 1)]
    plan = small.build_refresh(remove_extra=True).plan()
    assert {item.name: item.action for item in plan.items}["public.own"] == "remove"
    assert any("Will be REMOVED" in note and "of_own" in note for note in plan.notes)
    small.refresh(remove_extra=True)
    assert_same(small)


def test_the_targets_own_views_functions_and_foreign_keys_are_made_again(small: PostgresPair) -> None:
    small.target(
        "CREATE SCHEMA report",
        "CREATE VIEW report.names AS SELECT id, name FROM parents",
        "CREATE VIEW report.counted AS SELECT p.id, p.name, count(*) FROM parents p JOIN children c ON c.parent = p.id"
        " GROUP BY p.id",
        "CREATE VIEW report.of_view AS SELECT max(id) AS m FROM report.names",
        "CREATE MATERIALIZED VIEW report.kept AS SELECT count(*) AS c FROM children",
        "CREATE UNIQUE INDEX kept_c ON report.kept (c)",
        "CREATE FUNCTION report.top() RETURNS int LANGUAGE sql STABLE BEGIN ATOMIC SELECT max(id) FROM parents; END",
        "COMMENT ON VIEW report.names IS 'for the analysts'",
        "CREATE TABLE report.seen (parent int REFERENCES parents ON DELETE CASCADE)",
    )
    small.target("INSERT INTO report.seen SELECT 101")
    small.source("INSERT INTO parents VALUES (101)")
    notes = " ".join(small.build_refresh().plan().notes)
    assert "view report.names" in notes
    assert "Foreign keys to replaced tables made again, of: report.seen" in notes
    small.refresh()
    assert small.target("SELECT count(*) FROM report.names") == [(51,)]
    assert small.target("SELECT count(*) FROM report.counted") == [(50,)]
    assert small.target("SELECT m FROM report.of_view") == [(101,)]
    assert small.target("SELECT c FROM report.kept") == [(200,)]
    assert small.target("SELECT report.top()") == [(101,)]
    assert small.target("SELECT obj_description('report.names'::regclass)") == [("for the analysts",)]
    assert small.target("SELECT indexname FROM pg_indexes WHERE schemaname = 'report'") == [("kept_c",)]
    assert small.target("DELETE FROM parents WHERE id = 101", "SELECT count(*) FROM report.seen") == [(0,)]


def test_a_view_that_does_not_fit_the_new_tables_is_named_before_rows_are_copied(small: PostgresPair) -> None:
    small.target("ALTER TABLE parents ADD extra int", "CREATE VIEW wants_extra AS SELECT extra FROM parents")
    with pytest.raises(RefreshError, match=r"public\.wants_extra"):
        small.refresh()
    assert small.steps == []
    assert small.target("SELECT count(extra), min(id) FROM parents") == [(0, 101)]


def test_rows_that_stay_and_lose_their_parent_stop_the_refresh(small: PostgresPair) -> None:
    small.target("CREATE TABLE seen (parent int REFERENCES parents)", "INSERT INTO seen VALUES (101)")
    with pytest.raises(RefreshError, match=r"public.seen: this table of the target stays.*public.parents"):
        small.refresh()
    assert small.target("SELECT count(*), min(id) FROM parents") == [(50, 101)]


def test_what_would_be_lost_with_an_old_table_is_named_and_nothing_is_written(small: PostgresPair) -> None:
    small.target("CREATE TABLE special (more int) INHERITS (parents)")
    with pytest.raises(ConfigurationError, match=r"table public\.special needs public\.parents"):
        small.build_refresh().plan()
    assert small.target("SELECT min(id) FROM parents") == [(101,)]


def test_what_is_not_copied_is_listed(small: PostgresPair) -> None:
    small.source(
        "CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int)",
        "SELECT lo_create(0)",
        "CREATE TEXT SEARCH CONFIGURATION plain (PARSER = default)",
    )
    notes = " ".join(small.build_refresh().plan().notes)
    assert "NOT copied" in notes
    for name in ("function public.total(integer)", "text search configuration public.plain", "1 large objects"):
        assert name in notes


def test_owners_and_grants_stay_those_of_the_target(small: PostgresPair) -> None:
    roles = f"app_{small.target_name}", f"analyst_{small.target_name}"
    small.target(*(f"CREATE ROLE {role}" for role in roles))
    app, analyst = roles
    try:
        small.target(
            f"ALTER TABLE parents OWNER TO {app}",
            f"GRANT SELECT ON parents TO {analyst}",
            f"GRANT UPDATE (note) ON children TO {analyst} WITH GRANT OPTION",
            f"GRANT USAGE ON SEQUENCE children_id_seq TO {analyst}",
            "GRANT SELECT ON children TO PUBLIC",
            "CREATE VIEW seen AS SELECT 1 FROM parents",
            f"GRANT SELECT ON seen TO {analyst}",
            f"ALTER VIEW seen OWNER TO {app}",
        )
        rights = (
            "SELECT relname, relowner::regrole::text, relacl::text,"
            " (SELECT string_agg(attacl::text, ',') FROM pg_attribute WHERE attrelid = c.oid)"
            " FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S') ORDER BY 1"
        )
        before = small.target(rights)
        small.refresh()
        assert small.target(rights) == before
    finally:
        small.target("DROP TABLE parents, children CASCADE", *(f"DROP ROLE {role}" for role in roles))


def test_one_database_is_not_refreshed_from_itself(small: PostgresPair) -> None:
    small.target_name = small.source_name
    with pytest.raises(ConfigurationError, match="same database"):
        small.refresh()


def test_who_may_not_replace_the_tables_is_told_at_once(small: PostgresPair) -> None:
    role = f"nobody_{small.target_name}"
    small.target(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
    try:
        with pytest.raises(SmartdietError, match="does not own the schemas public"):
            small.refresh(user=role, password="pw")
        # The owner of the database owns its schema public; the tables are another's.
        small.target(f"ALTER DATABASE {small.target_name} OWNER TO {role}")
        with pytest.raises(SmartdietError, match="must own what is replaced"):
            small.refresh(user=role, password="pw")
        assert small.steps == []
        assert small.target("SELECT min(id) FROM parents") == [(101,)]
        small.target(*(f"ALTER TABLE {name} OWNER TO {role}" for name in ("parents", "children")))
        small.refresh(user=role, password="pw")
        assert small.target("SELECT min(id) FROM parents") == [(1,)]
    finally:
        small.target(
            f"ALTER DATABASE {small.target_name} OWNER TO postgres", f"DROP OWNED BY {role}", f"DROP ROLE {role}"
        )


def test_an_extension_that_the_target_cannot_have_is_named(small: PostgresPair) -> None:
    small.source("CREATE EXTENSION vector", "CREATE TABLE embedded (v vector(3))")
    small.target("CREATE SCHEMA elsewhere", "CREATE EXTENSION vector SCHEMA elsewhere")
    with pytest.raises(ConfigurationError, match="extension vector is in its schema elsewhere"):
        small.refresh()


def test_rows_go_in_binary_unless_they_hold_numbers_of_types_that_differ(everything: PostgresPair) -> None:
    with everything.open(everything.source_name) as source:
        source.execute("SET search_path = ''")
        catalog = read_catalog(source)
    text = {table.label for table in catalog.objects.values() if table.kind == "table"} - {
        catalog.objects[catalog.class_catalogue, oid].label for oid in catalog.binary
    }
    # An array of an enumeration names that type's number; a table without columns has nothing to be read.
    assert text == {"public.users", "app.nothing"}


def test_memory_does_not_grow_with_the_tables(postgres_pair: PostgresPair) -> None:
    postgres_pair.source(
        "CREATE TABLE wide (id int PRIMARY KEY, t text)",
        "INSERT INTO wide SELECT g, repeat('x', 1000) FROM generate_series(1, 60000) g",
        "INSERT INTO wide VALUES (0, repeat('y', 3000000))",
    )
    refresh = postgres_pair.build_refresh()
    plan = refresh.plan()
    tracemalloc.start()
    try:
        outcome = refresh.run(plan, LineProgress(postgres_pair.say))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.items[0].size > 60_000_000
    # The longest row, some times over, and what the catalogues hold.
    assert peak < 16_000_000


def test_the_source_may_not_hide_rows(small: PostgresPair) -> None:
    role = f"reader_{small.target_name}"
    small.source(
        f"CREATE ROLE {role} LOGIN PASSWORD 'pw'",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
        "ALTER TABLE children ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY few ON children USING (id < 10)",
    )
    try:
        refresh = PostgresRefresh(
            small.build_resource(small.source_name, role, "pw"), small.build_resource(small.target_name), "local"
        )
        with pytest.raises(PermissionDeniedError, match="row-level security policy for table"):
            refresh.run(refresh.plan(), LineProgress(small.say))
        assert small.target("SELECT min(id) FROM parents") == [(101,)]
    finally:
        small.source(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_no_value_of_a_row_is_in_an_error(small: PostgresPair) -> None:
    # A check that its rows no longer pass, as the function it calls was changed.
    small.source(
        "CREATE FUNCTION allowed(t text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'",
        "CREATE TABLE checked (t text CHECK (allowed(t)))",
        "INSERT INTO checked VALUES ('S3CRET')",
        "CREATE OR REPLACE FUNCTION allowed(t text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false'",
    )
    with pytest.raises(SmartdietError, match=r"public\.checked: copying the rows failed") as caught:
        small.refresh()
    assert "S3CRET" not in str(caught.value)
    assert "S3CRET" not in "".join(small.lines)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("body", "language"),
    [
        ("SELECT t::regclass IS NULL", "sql"),
        ("SELECT t::regoper IS NULL", "sql"),
        ("BEGIN RAISE ''of %'', t USING ERRCODE = ''42501''; END", "plpgsql"),
    ],
)
def test_no_value_is_in_an_error_that_names_what_is_not_there(small: PostgresPair, body: str, language: str) -> None:
    """Indexes and materialized views may call what takes a value for a name, or quotes it."""
    small.source(
        "CREATE FUNCTION asked(t text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'",
        "CREATE TABLE named (t text)",
        "CREATE MATERIALIZED VIEW asked_all AS SELECT asked(t) FROM named",
        "CREATE INDEX asked_index ON named (asked(t))",
        "INSERT INTO named VALUES ('S3CRET')",
        f"CREATE OR REPLACE FUNCTION asked(t text) RETURNS boolean LANGUAGE {language} IMMUTABLE AS '{body}'",
    )
    for step in (r"public\.named: building its keys and indexes failed", r"public\.asked_all: filling it failed"):
        with pytest.raises(SmartdietError, match=step) as caught:
            small.refresh()
        assert "s3cret" not in str(caught.value).lower()
        small.source("DROP INDEX IF EXISTS asked_index")


def test_names_that_mean_something_elsewhere_are_copied_as_they_are(postgres_pair: PostgresPair) -> None:
    names = ["rate %", "%s", '"', 'a"b', "{}", "{0}", " ", "Upper", "select", "é" * 31, "a'b", "--", "\\"]
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in names)
    with postgres_pair.open(postgres_pair.source_name) as connection:
        for name in names:
            table = sql.Identifier(name)
            connection.execute(sql.SQL("CREATE TABLE {} ({}, id serial PRIMARY KEY)").format(table, columns))
            connection.execute(sql.SQL("INSERT INTO {} ({}) VALUES ('x')").format(table, sql.Identifier(names[1])))
            connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(table, sql.Identifier(names[0])))
    for _ in range(2):
        postgres_pair.refresh()
        assert_same(postgres_pair)
