"""What a server's facts come to, where no real server has them at hand: old versions, other encodings, clocks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smartdiet_assets.doctor.clocks import judge_clock, measure_offset
from smartdiet_assets.doctor.mongo import MongoFacts
from smartdiet_assets.doctor.mongo import judge_server as judge_mongo
from smartdiet_assets.doctor.postgres import judge_server
from smartdiet_assets.resources.checking import Part
from smartdiet_assets.resources.postgres_rights import PostgresFacts

NOON = datetime(2025, 3, 10, 12, tzinfo=UTC)
GOOD = PostgresFacts(
    version_number=170_000, version="17.0", database="mirror", user_name="loader", encoding="UTF8", read_only=False,
    standby=False, search_path='"$user", public', schema_name="public", may_use_schema=True, may_create_tables=True,
    state_exists=True, may_use_state=True, may_create_schema=False, may_create_temporary=True, free_of_server=90,
    free_of_database=None, free_of_user=None, clock=NOON,
)  # fmt: skip


def test_a_good_server_passes_every_check() -> None:
    found = list(judge_server(GOOD, "smartdiet"))
    assert [one.check for one in found] == ["version", "encoding", "rights", "connections"]
    assert {one.status for one in found} == {"passed"}


@pytest.mark.parametrize(
    ("change", "check", "status", "part"),
    [
        ({"version_number": 110_000, "version": "11.2"}, "version", "failed", "11.2 is too old"),
        ({"version_number": 130_000, "version": "13.9"}, "version", "warning", "14 and later do"),
        ({"encoding": "SQL_ASCII"}, "encoding", "failed", "create it anew in UTF8"),
        ({"standby": True, "read_only": True}, "rights", "failed", "is a standby"),
        ({"free_of_database": 3}, "connections", "warning", "those of the database"),
        ({"free_of_server": -1}, "connections", "warning", "0 connections are free of those of the server"),
    ],
)
def test_a_fault_of_the_server_is_one_finding(change: dict[str, object], check: str, status: str, part: str) -> None:
    [found] = [one for one in judge_server(replace(GOOD, **change), "smartdiet") if one.status != "passed"]
    assert (found.check, found.status) == (check, status)
    assert part in found.sentence


def test_a_search_path_without_a_schema_is_given_its_own_first_name() -> None:
    facts = replace(GOOD, schema_name=None, search_path='"$user", "Data Lake", public')
    [found] = [one for one in judge_server(facts, "smartdiet") if one.failed]
    assert found.statements == (
        'CREATE SCHEMA IF NOT EXISTS "Data Lake";',
        'GRANT USAGE, CREATE ON SCHEMA "Data Lake" TO "loader";',
        'ALTER ROLE "loader" IN DATABASE "mirror" SET search_path = "Data Lake";',
    )


def test_an_old_mongodb_is_a_warning() -> None:
    facts = MongoFacts((4, 0, 3), False, "", "", NOON, NOON, NOON)
    assert judge_mongo(facts).status == "warning"
    assert judge_mongo(replace(facts, version=(4, 2, 0))).status == "passed"


@pytest.mark.parametrize(
    ("offset", "status", "part"),
    [
        (timedelta(minutes=-59), "passed", "59 minutes"),
        (timedelta(hours=3), "warning", "3 hours ahead of this machine's"),
        (timedelta(days=-2), "warning", "2 days behind this machine's"),
    ],
)
def test_a_clock_beyond_what_the_overlap_makes_up_for_is_a_warning(offset: timedelta, status: str, part: str) -> None:
    found = judge_clock(Part("mongodb"), offset, timedelta(hours=1))
    assert found.status == status
    assert part in found.sentence


def test_an_offset_is_measured_from_the_middle_of_the_question() -> None:
    later = NOON + timedelta(seconds=4)
    assert measure_offset(NOON, NOON, later) == timedelta(seconds=-2)
