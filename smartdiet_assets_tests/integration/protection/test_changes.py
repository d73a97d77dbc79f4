"""Another protection or another key reads again what it concerns; nothing that was stored before stays."""

import json
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.errors import ConfigurationError, OtherKeyError
from smartdiet_assets_tests.integration.protection.conftest import KEY, OF_ALL, OF_VALUES, OTHER_KEY, Build
from smartdiet_assets_tests.integration.protection.planted import MARK, edit, plant
from smartdiet_assets_tests.support.running import smartdiet


@pytest.mark.parametrize("protections", [OF_VALUES, OF_ALL], ids=["values", "ids"])
def test_plain_values_go_when_their_column_is_protected_and_come_back(
    commands: None, build: Build, mongo_database: Database[Any], postgres: psycopg.Connection[Any], protections: str
) -> None:
    plant(mongo_database)
    plain = build()
    assert not plain.sync()
    # Its row stays, though nobody can read it again.
    postgres.execute("INSERT INTO people (id, name, created_at, updated_at) VALUES ('x', %s, now(), now())", [MARK])
    protected = build(protections)
    before = plain.versions()
    told = smartdiet("sync", "--dry-run")
    assert told.returncode == 0, told
    assert "mail" in told.stdout
    assert "otherwise" in told.stdout
    asked = json.loads(smartdiet("sync", "--dry-run", "--json").stdout)["tables"]
    assert plain.versions() == before
    results = protected.run()
    assert {name: one["documents"] for name, one in asked.items()} == {
        name: result.documents_read for name, result in results.items()
    }
    assert {name: one["window"] for name, one in asked.items()} == dict.fromkeys(results, "full")
    assert "mail" in asked["people"]["protected"]
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
    commands: None, build: Build, mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    plant(mongo_database)
    mirrored = build(OF_ALL)
    assert not mirrored.sync()
    with pytest.raises(ConfigurationError, match=r"SMARTDIET_PSEUDONYM_KEY is not set, and people.id and \d+ more"):
        build(OF_ALL, key="").run()
    before = mirrored.versions()
    told = json.loads(smartdiet("sync", "--dry-run", "--json", SMARTDIET_PSEUDONYM_KEY=OTHER_KEY).stdout)["tables"]
    assert "smartdiet sync --rekey" in told["people"]["differences"][0]
    assert told["people"]["differences"][0].endswith("which reads 9 documents again")
    told = json.loads(smartdiet("sync", "--dry-run", "--json", "--rekey", SMARTDIET_PSEUDONYM_KEY=OTHER_KEY).stdout)
    assert [(one["emptied"], one["differences"]) for one in told["tables"].values()] == [(True, [])] * 4
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
