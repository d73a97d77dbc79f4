"""Another protection or another key reads again what it concerns; nothing that was stored before stays."""

from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.errors import ConfigurationError, OtherKeyError
from smartdiet_assets_tests.integration.protection.conftest import KEY, OF_ALL, OF_VALUES, OTHER_KEY, Build
from smartdiet_assets_tests.integration.protection.planted import MARK, edit, plant


@pytest.mark.parametrize("protections", [OF_VALUES, OF_ALL], ids=["values", "ids"])
def test_plain_values_go_when_their_column_is_protected_and_come_back(
    build: Build, mongo_database: Database[Any], postgres: psycopg.Connection[Any], protections: str
) -> None:
    plant(mongo_database)
    plain = build()
    assert not plain.sync()
    # Its row stays, though nobody can read it again.
    postgres.execute("INSERT INTO people (id, name, created_at, updated_at) VALUES ('x', %s, now(), now())", [MARK])
    protected = build(protections)
    protected.run()
    postgres.execute("DELETE FROM people WHERE name = 'redacted'")
    assert not protected.compare()
    edit(mongo_database)
    protected.reconcile()
    assert not protected.sync()
    assert not protected.sync()
    again = build()
    again.run()
    again.oracle = plain.oracle
    again.reconcile()
    assert not again.sync()


def test_another_key_refuses_and_rekey_reads_again(
    build: Build, mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    plant(mongo_database)
    mirrored = build(OF_ALL)
    assert not mirrored.sync()
    with pytest.raises(ConfigurationError, match=r"SMARTDIET_PSEUDONYM_KEY is not set, and people.id and \d+ more"):
        build(OF_ALL, key="").run()
    before = mirrored.versions()
    other = build(OF_ALL, key=OTHER_KEY)
    for table in other.schema.tables:
        with pytest.raises(OtherKeyError, match=f"{table}: .*smartdiet sync --rekey"):
            other.run(tables=[table])
    assert mirrored.versions() == before
    rekeyed = build(OF_ALL, key=OTHER_KEY, rekey=True)
    with pytest.raises(OtherKeyError, match="posts: people, which it points at"):
        rekeyed.run(tables=["posts"])
    assert not rekeyed.sync()
    assert not build(OF_ALL, key=OTHER_KEY).sync()
    [(records,)] = postgres.execute("SELECT array_agg(s::text)::text FROM smartdiet.sync_state AS s").fetchall()
    assert KEY not in records
    assert OTHER_KEY not in records


def test_mirrors_of_one_key_join_and_of_two_do_not(
    build: Build, mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    plant(mongo_database)
    ids = []
    for key in (KEY, KEY, OTHER_KEY):
        mirrored = build(OF_ALL, key=key)
        mirrored.run()
        ids.append(
            {one for (one,) in postgres.execute("SELECT id FROM people UNION SELECT mail FROM people").fetchall()}
        )
        mirrored.forget()
        plant(mongo_database)
    assert ids[0] == ids[1]
    assert ids[0].isdisjoint(ids[2] - {None})
