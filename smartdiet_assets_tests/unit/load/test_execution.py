"""A `%` in what is composed into a statement is text, and in the statement's own parts the driver's."""

from psycopg import sql

from smartdiet_assets.load.execution import _double_percent

STATEMENT = sql.SQL("SELECT {}, {} FROM {} WHERE a = {} AND b = {} AND c LIKE 'x%%' AND d = %s").format(
    sql.Identifier("rate %"),
    sql.SQL("{}::text").format(sql.Identifier("s", "%s")),
    sql.Identifier("t"),
    sql.Placeholder("ids"),
    sql.Literal("100 %"),
)


def test_names_and_values_are_doubled_and_placeholders_are_not() -> None:
    assert _double_percent(STATEMENT, {}).as_string(None) == (
        'SELECT "rate %%", "s"."%%s"::text FROM "t" WHERE a = %(ids)s AND b = \'100 %%\' AND c LIKE \'x%%\' AND d = %s'
    )


def test_without_parameters_nothing_is() -> None:
    assert _double_percent(STATEMENT, None) is STATEMENT
