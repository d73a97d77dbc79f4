"""A rekey and a forget that are killed (-9) under a writer: run again, they end as if nothing had happened."""

import itertools
import random
import subprocess
import sys
import threading
import time
from typing import Any

import psycopg
from pymongo.database import Database

from smartdiet_assets_tests.integration.protection.conftest import OF_ALL, OTHER_KEY, Build
from smartdiet_assets_tests.integration.protection.planted import MARK, person, plant, post
from smartdiet_assets_tests.support.running import smartdiet

PERSON = f"{MARK}-person-0"
KILLS = 3
#: Of the people that writers save; each is another's.
_numbers = itertools.count(1001)


class Writer:
    """Adds people and their posts until it is stopped, some of the posts by who is forgotten."""

    def __init__(self, database: Database[Any]) -> None:
        self._database = database
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._stopped.wait(0.02):
            number = next(_numbers)
            writer = person(number)
            self._database.people.insert_one(writer)
            by = PERSON if number % 5 == 0 else writer["_id"]
            self._database.posts.insert_one(post(number, by))


def kill_at_random(*command: str) -> None:
    """Start a command, and kill it at some moment of its work."""
    running = subprocess.Popen(
        [sys.executable, "-m", "smartdiet_assets.cli", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(random.uniform(0.8, 2.5))
    running.kill()
    running.wait()


def test_killed_commands_end_well_when_run_again(
    commands: None,
    build: Build,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    monkeypatch: Any,
) -> None:
    plant(mongo_database)
    mirrored = build(OF_ALL)
    mirrored.run()
    with Writer(mongo_database):
        monkeypatch.setenv("SMARTDIET_PSEUDONYM_KEY", OTHER_KEY)
        for _ in range(KILLS):
            kill_at_random("sync", "--rekey")
        assert smartdiet("sync", "--rekey").returncode == 0
    rekeyed = build(OF_ALL, OTHER_KEY)
    assert not rekeyed.sync()
    with Writer(mongo_database):
        for _ in range(KILLS):
            kill_at_random("forget", "people", PERSON, "--yes")
        assert smartdiet("forget", "people", PERSON, "--yes").returncode == 0
        assert smartdiet("sync").returncode == 0
    for _ in range(2):
        rekeyed.run()
    theirs = mongo_database.posts.count_documents({"person": PERSON})
    counts = "SELECT (SELECT count(*) FROM posts), count(*) FROM smartdiet.rejected_rows WHERE table_name = 'posts'"
    assert theirs > 2
    # The one post of the missing person is a reject.
    expected = (mongo_database.posts.count_documents({}) - theirs - 1, 1)
    assert postgres.execute(counts).fetchone() == expected
    assert smartdiet("forget", "people", PERSON, "--lift").returncode == 0
    rekeyed.oracle = build(OF_ALL, OTHER_KEY).oracle
    assert not rekeyed.sync()
