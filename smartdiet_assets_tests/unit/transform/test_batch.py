"""A batch from raw bytes: damaged documents, accounting, and the garbage collector."""

import gc
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp

from smartdiet_assets.schema.document_id import UNREADABLE
from smartdiet_assets.schema.reasons import Reason, Reject
from smartdiet_assets.transform.batch import build_transformer
from smartdiet_assets_tests.support.tables import column, entity, single, transform, users_targets

ID = ObjectId("65e8f3a0c2a4b1d2e3f4a5b6")
HEX = str(ID)
GOOD = bson.encode({"_id": "good", "v": "fine"})
INVALID_BSON = Reject(HEX, "", Reason.INVALID_BSON, "a BSON document", "")


def damage(document: dict[str, Any], find: bytes, replace: bytes) -> bytes:
    """Encode a document and spoil some of its bytes; the length stays true."""
    raw = bson.encode(document)
    assert find in raw
    assert len(find) == len(replace)
    return raw.replace(find, replace)


def test_bad_document_rejects_only_itself() -> None:
    # A string whose length points beyond the document.
    bad = damage({"_id": ID, "v": "text"}, b"\x05\0\0\0text", b"\xff\0\0\0text")
    batch = build_transformer(single("VARCHAR"))(GOOD + bad + GOOD)
    assert batch.rows == [("good", "fine")] * 2
    assert batch.rejects == [INVALID_BSON]
    assert batch.documents_read == 3


@pytest.mark.parametrize(
    "before",
    [
        1.5,
        "words",
        {"a": 1},
        [1],
        b"bytes",
        Binary(b"bytes", 5),
        ID,
        True,
        None,
        Regex("a", "i"),
        3,
        Timestamp(1, 1),
        Int64(1),
        Decimal128("1"),
        MinKey(),
        bson.Code("f()"),
        bson.Code("f()", {"a": 1}),
        bson.DatetimeMS(1),
    ],
)
def test_id_of_a_bad_document_is_found_behind_any_type(before: object) -> None:
    bad = damage({"before": before, "xid": ID, "v": "text"}, b"\x05\0\0\0text", b"\xff\0\0\0text")
    # The driver writes `_id` first, other writers need not.
    bad = bad.replace(b"xid\0", b"_id\0")
    assert build_transformer(single("VARCHAR"))(bad).rejects == [INVALID_BSON]


def test_id_that_cannot_be_read_is_left_empty() -> None:
    bad = damage({"v": "text", "xid": ID}, b"\x05\0\0\0text", b"\xff\xff\xff\x7ftext")
    assert build_transformer(single("VARCHAR"))(bad.replace(b"xid\0", b"_id\0")).rejects[0].document_id == UNREADABLE


def test_rest_behind_a_false_length_is_one_reject() -> None:
    batch = build_transformer(single("VARCHAR"))(GOOD + b"\xff\xff\xff\x7f" + GOOD[4:] + GOOD)
    assert batch.rows == [("good", "fine")]
    assert [reject.document_id for reject in batch.rejects] == ['"good"']
    assert batch.documents_read == 2


def test_text_that_is_not_utf8_rejects_its_column() -> None:
    bad = damage({"_id": ID, "v": "abcd"}, b"abcd", b"ab\xed\xa0")
    batch = build_transformer(single("VARCHAR"))(GOOD + bad)
    assert batch.rows == [("good", "fine")]
    assert batch.rejects == [Reject(HEX, "value", Reason.INVALID_TEXT, "character varying", "string")]


def test_text_that_is_not_utf8_in_an_unmapped_field_harms_nobody() -> None:
    bad = damage({"_id": ID, "v": "fine", "other": "abcd"}, b"abcd", b"ab\xed\xa0")
    assert build_transformer(single("VARCHAR"))(bad).rows == [(HEX, "fine")]


@pytest.mark.parametrize("find", [b"value", b"field"])
def test_json_that_is_not_utf8_is_rejected(find: bytes) -> None:
    bad = damage({"_id": ID, "v": {"field": ["value"]}}, find, b"\xffalue")
    [reject] = build_transformer(single("JSONB"))(bad).rejects
    assert (reject.column, reject.reason) == ("value", Reason.INVALID_TEXT)


def test_id_that_is_not_utf8_is_rejected_by_a_name_postgresql_can_hold() -> None:
    bad = damage({"_id": "abcd"}, b"abcd", b"ab\xed\xa0")
    [reject] = build_transformer(entity())(bad).rejects
    assert (reject.document_id, reject.column, reject.reason) == ('"ab??"', "id", Reason.INVALID_TEXT)


def test_item_that_is_not_utf8_is_rejected_alone() -> None:
    bad = damage({"_id": ID, "targets": ["good", "abcd"]}, b"abcd", b"ab\xed\xa0")
    batch = build_transformer(users_targets())(bad)
    assert [row[1] for row in batch.rows] == ["good"]
    assert batch.documents == [HEX]
    assert [reject.reason for reject in batch.rejects] == [Reason.INVALID_TEXT]


def test_every_document_is_understood_or_rejected() -> None:
    documents = [{"_id": number, "v": "x" * (number % 7)} for number in range(100)]
    batch = transform(single("VARCHAR(3)"), *documents)
    assert batch.documents_read == 100 == len(batch.rows) + len(batch.rejects)


def test_documents_are_left_out_where_the_rows_tell_them() -> None:
    assert transform(entity(), {"_id": 1}).documents == []


def test_empty_batch_is_empty() -> None:
    assert transform(entity()).documents_read == 0


def test_document_with_deprecated_types_is_read() -> None:
    # undefined becomes null, symbol a string.
    body = b"\x07_id\0" + ID.binary + b"\x06u\0" + b"\x0es\0\x02\0\0\0a\0" + b"\0"
    raw = (len(body) + 4).to_bytes(4, "little") + body
    table = entity(column("u", "VARCHAR", "u"), column("s", "VARCHAR", "s"))
    assert build_transformer(table)(raw).rows == [(HEX, None, "a")]


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        transform(entity(), {"_id": 1})
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
