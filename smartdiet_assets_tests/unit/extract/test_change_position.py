"""Which time a token of a change stream stands for."""

from typing import Any

import bson
import pytest
from bson import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from smartdiet_assets.extract.mongodb.change_position import ChangePosition, read_token_time

TIMES = st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))


@given(TIMES, st.binary(max_size=40))
def test_a_token_of_mongodb_begins_with_its_time(time: Timestamp, rest: bytes) -> None:
    data = bytes([0x82]) + time.time.to_bytes(4) + time.inc.to_bytes(4) + rest
    assert read_token_time({"_data": data.hex().upper()}) == time


def test_a_token_as_mongodb_writes_it() -> None:
    """Of MongoDB 6.0, at the end of an empty answer."""
    assert read_token_time({"_data": "8264BEB9F3000000012B0229296E04"}) == Timestamp(0x64BEB9F3, 1)


@given(TIMES)
def test_a_token_that_is_a_document_holds_its_time(time: Timestamp) -> None:
    assert read_token_time({"_data": bson.encode({"s": 1, "t": time, "n": "db.c"}).hex()}) == time


@pytest.mark.parametrize(
    "token", [None, {}, {"_data": None}, {"_data": b"82"}, {"_data": "82"}, {"_data": "zz"}, {"_id": 1}]
)
def test_a_token_that_tells_no_time_leaves_it_to_the_server(token: Any) -> None:
    assert read_token_time(token) is None


@given(st.text())
def test_no_token_is_an_error(text: str) -> None:
    read_token_time({"_data": text})


@given(TIMES, st.text(min_size=1))
def test_a_position_is_read_as_it_was_written(time: Timestamp, namespace: str) -> None:
    position = ChangePosition(namespace, {"_data": "82"}, time)
    assert ChangePosition.from_text(position.to_text()) == position
