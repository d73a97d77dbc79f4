"""What a value of MariaDB becomes, on a real server: every type there is, and what does not fit."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from smartdiet_assets_tests.support.matomo_mirror import FULL, NOON, VISIT, Matomo

ALL = """
tables:
  types:
    source_table: types
    matomo_columns: all
    columns:
      - {name: id, sql_type: BIGINT, primary_key: true}
"""

#: Type on the server, a value as SQL, the PostgreSQL type that is derived, and the value there.
TYPES: list[tuple[str, str, str, Any]] = [
    ("TINYINT", "-128", "smallint", -128),
    ("TINYINT UNSIGNED", "255", "smallint", 255),
    ("SMALLINT", "-32768", "smallint", -32768),
    ("SMALLINT UNSIGNED", "65535", "integer", 65535),
    ("MEDIUMINT UNSIGNED", "16777215", "integer", 16777215),
    ("INT", "-2147483648", "integer", -2147483648),
    ("INT UNSIGNED", "4294967295", "bigint", 4294967295),
    ("BIGINT", "-9223372036854775808", "bigint", -9223372036854775808),
    ("BIGINT UNSIGNED", "18446744073709551615", "numeric(20,0)", Decimal(18446744073709551615)),
    ("DECIMAL(9,6)", "-179.999999", "numeric(9,6)", Decimal("-179.999999")),
    ("FLOAT", "3.14159274", "real", 3.1415927),
    ("DOUBLE", "1.7976931348623157e308", "double precision", 1.7976931348623157e308),
    ("YEAR", "2025", "smallint", 2025),
    ("BIT(9)", "b'101000001'", "bytea", b"\x01\x41"),
    ("CHAR(3)", "'fr'", "character varying(3)", "fr"),
    ("VARCHAR(20)", "'é € 😀'", "character varying(20)", "é € 😀"),
    ("VARCHAR(20) CHARACTER SET latin1", "'Évry €'", "character varying(20)", "Évry €"),
    ("TEXT CHARACTER SET utf8", "'déjà'", "text", "déjà"),
    ("ENUM('a','b')", "'b'", "text", "b"),
    ("SET('a','b')", "'a,b'", "text", "a,b"),
    ("BINARY(4)", "x'00ff'", "bytea", b"\x00\xff\x00\x00"),
    ("VARBINARY(16)", "x'c0a80001'", "bytea", b"\xc0\xa8\x00\x01"),
    ("BLOB", "x'5c00'", "bytea", b"\\\x00"),
    ("DATE", "'2024-02-29'", "date", datetime(2024, 2, 29).date()),
    ("DATETIME", "'2024-02-29 23:59:59'", "timestamp without time zone", datetime(2024, 2, 29, 23, 59, 59)),
    (
        "DATETIME(6)",
        "'2024-02-29 23:59:59.5'",
        "timestamp without time zone",
        datetime(2024, 2, 29, 23, 59, 59, 500000),
    ),
    ("TIME", "'08:05:00'", "time without time zone", datetime(2024, 1, 1, 8, 5).time()),
    ("UUID", "'00112233-4455-6677-8899-aabbccddeeff'", "uuid", "00112233-4455-6677-8899-aabbccddeeff"),
    ("INET6", "'::1'", "text", "::1"),
]


def test_every_type_is_mirrored_to_one_that_holds_it(matomo: Matomo, tmp_path: Path) -> None:
    columns = [f"c{number} {declared}" for number, (declared, *_) in enumerate(TYPES)]
    matomo.execute(f"CREATE TABLE matomo_types (id BIGINT PRIMARY KEY, {', '.join(columns)}) CHARACTER SET utf8mb4")
    matomo.execute(f"INSERT INTO matomo_types VALUES (1, {', '.join(value for _, value, *_ in TYPES)})")
    matomo.execute(f"INSERT INTO matomo_types VALUES (2{', NULL' * len(TYPES)})")
    matomo.declare(tmp_path / "tables.yaml", ALL)
    assert matomo.run()["types"].load.inserted == 2
    [row, nulls] = matomo.postgres.execute("SELECT * FROM types ORDER BY id").fetchall()
    found = dict(
        matomo.postgres.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'types'::regclass AND attnum > 0"
        ).fetchall()
    )
    for number, (declared, _, derived, value) in enumerate(TYPES):
        assert found[f"c{number}"] == derived, declared
        shown = row[number + 1]
        assert (str(shown) if derived == "uuid" else shown) == value, declared
    assert set(nulls[1:]) == {None}


def test_a_timestamp_is_utc_whatever_the_servers_zone(matomo: Matomo, tmp_path: Path) -> None:
    matomo.execute("SET time_zone = '+02:00'")
    matomo.execute("CREATE TABLE matomo_types (id BIGINT PRIMARY KEY, a TIMESTAMP NULL, b DATETIME)")
    matomo.execute("INSERT INTO matomo_types VALUES (1, '2025-01-01 02:00:00', '2025-01-01 02:00:00')")
    matomo.declare(tmp_path / "tables.yaml", ALL)
    matomo.run()
    assert matomo.postgres.execute("SELECT a, b FROM types").fetchall() == [
        (datetime(2025, 1, 1), datetime(2025, 1, 1, 2))
    ]


def test_zero_dates_are_null_and_rejects_where_there_must_be_a_date(matomo: Matomo) -> None:
    matomo.execute("SET sql_mode = ''")
    for number in (1, 2, 3):
        matomo.add_visit(number)
    matomo.execute(f"UPDATE {VISIT} SET visit_first_action_time = 0 WHERE idvisit = 2")
    matomo.run()
    assert [row[0] for row in matomo.rows(VISIT)] == [1, 3]
    assert matomo.rejects(VISIT) == [('"2"', "visit_first_action_time", "missing_value", "NOT NULL", "datetime")]
    matomo.execute(f"UPDATE {VISIT} SET visit_first_action_time = %s WHERE idvisit = 2", [NOON])
    matomo.run()
    matomo.assert_mirrored()
    assert matomo.rejects(VISIT) == []


def test_a_row_with_a_zero_time_is_found_by_every_run(matomo: Matomo) -> None:
    matomo.execute("SET sql_mode = ''")
    matomo.add_visit(1)
    matomo.run()
    matomo.add_visit(2, NOON)
    matomo.execute(f"UPDATE {VISIT} SET visit_last_action_time = 0 WHERE idvisit = 2")
    assert matomo.run(VISIT)[VISIT].load.rejected == 1


def test_optional_zero_dates_are_null(matomo: Matomo, tmp_path: Path) -> None:
    matomo.execute("SET sql_mode = ''")
    matomo.execute(
        "CREATE TABLE matomo_types (id BIGINT PRIMARY KEY, a DATETIME, b DATE, c DATETIME(3), d TIMESTAMP NULL)"
    )
    matomo.execute("INSERT INTO matomo_types VALUES (1, 0, 0, 0, 0), (2, '2025-01-01', '2025-01-01', NULL, NULL)")
    matomo.declare(tmp_path / "tables.yaml", ALL)
    matomo.run()
    assert matomo.postgres.execute("SELECT a, b, c, d FROM types ORDER BY id").fetchall() == [
        (None, None, None, None),
        (datetime(2025, 1, 1), datetime(2025, 1, 1).date(), None, None),
    ]


def test_what_does_not_fit_is_a_reject_and_every_other_row_is_loaded(matomo: Matomo, tmp_path: Path) -> None:
    matomo.execute(
        "CREATE TABLE matomo_odd (id BIGINT UNSIGNED PRIMARY KEY, number INT UNSIGNED, day DATETIME, spent TIME, "
        "raw VARBINARY(20), name VARCHAR(50)) CHARACTER SET utf8mb4"
    )
    matomo.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
    matomo.execute(
        "INSERT INTO matomo_odd (id, number, day, spent, raw, name) VALUES "
        "(1, 7, '2025-01-01', '10:00', 'é', 'fits'), "
        "(2, 3000000000, NULL, NULL, NULL, ''), "
        "(3, NULL, '2025-02-31', NULL, NULL, ''), "
        "(4, NULL, NULL, '-01:00', NULL, ''), "
        "(5, NULL, NULL, '36:00', NULL, ''), "
        "(6, NULL, NULL, NULL, x'ff', ''), "
        "(7, NULL, NULL, NULL, NULL, 'a\\0b'), "
        "(8, NULL, NULL, NULL, NULL, 'much too long'), "
        "(9, NULL, NULL, NULL, NULL, NULL)"
    )
    matomo.declare(
        tmp_path / "tables.yaml",
        """
odd:
  source_table: odd
  columns:
    - {name: id, sql_type: BIGINT, primary_key: true}
    - {name: number, sql_type: INTEGER}
    - {name: day, sql_type: TIMESTAMP}
    - {name: spent, sql_type: TIME}
    - {name: raw, sql_type: VARCHAR(20)}
    - {name: label, sql_type: VARCHAR(5), nullable: false, source_column: name}
""",
    )
    result = matomo.run(request=FULL)["odd"]
    assert (result.documents_read, result.load.inserted, result.load.rejected) == (9, 1, 8)
    assert matomo.rejects("odd") == [
        ('"2"', "number", "out_of_range", "integer", "int"),
        ('"3"', "day", "out_of_range", "timestamp without time zone", "datetime"),
        ('"4"', "spent", "out_of_range", "time without time zone", "time"),
        ('"5"', "spent", "out_of_range", "time without time zone", "time"),
        ('"6"', "raw", "invalid_text", "character varying(20)", "varbinary"),
        ('"7"', "label", "nul_character", "character varying(5)", "varchar"),
        ('"8"', "label", "too_long", "character varying(5)", "varchar"),
        ('"9"', "label", "missing_value", "NOT NULL", "varchar"),
    ]
    # Rejects are read again by key, whatever the window.
    matomo.execute("UPDATE matomo_odd SET number = 3 WHERE id = 2")
    assert matomo.run()["odd"].load.rejected == 7
