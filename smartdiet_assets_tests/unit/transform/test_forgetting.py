"""References to what was forgotten, in tables whose references are pseudonyms and whose columns come in any order."""

from pathlib import Path

import bson
import pytest

from smartdiet_assets.schema.forgotten import Forgotten, digest_id, make_salt
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.transform.batch import TransformedBatch, build_transformer

COLUMNS = (
    "{name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id}",
    "{name: user_id, sql_type: VARCHAR, foreign_key: users(id), mongo_field: user%s}",
)
DOCUMENTS = [{"_id": "first", "user": "known"}, {"_id": "second", "user": "gone"}, {"_id": "third", "user": "known"}]


def transform(path: Path, protect: str, more: str, reverse: bool) -> tuple[TransformedBatch, set[str]]:
    """Transform notes of users, one of whom was forgotten; give which notes go along too."""
    own, reference = COLUMNS
    columns = [own, reference % (protect + more)]
    users = f"{{name: id, sql_type: VARCHAR, primary_key: true, mongo_field: _id{protect}}}"
    lines = "".join(f"\n      - {column}" for column in (reversed(columns) if reverse else columns))
    path.write_text(f"tables:\n  users:\n    columns: [{users}]\n  notes:\n    columns:{lines}\n")
    table = load_schema(path, pseudonym_key="a key of tests alone").tables["notes"]
    salt = make_salt()
    gone = digest_id(salt, "gone")
    forgotten = Forgotten(salt, {"users": {gone: gone}})
    batch = build_transformer(table, None, forgotten)(b"".join(map(bson.encode, DOCUMENTS)))
    spread = {document["_id"] for document in DOCUMENTS if digest_id(salt, document["_id"]) in forgotten.spread}
    return batch, spread


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("protect", ["", ", protect: pseudonym"])
def test_who_points_at_what_is_forgotten_goes_along_and_nobody_else(
    tmp_path: Path, protect: str, reverse: bool
) -> None:
    batch, spread = transform(tmp_path / "tables.yaml", protect, "", reverse)
    assert (len(batch.rows), batch.rejects, spread) == (2, [], {"second"})


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("protect", ["", ", protect: pseudonym"])
def test_or_loses_the_reference_where_that_is_declared(tmp_path: Path, protect: str, reverse: bool) -> None:
    batch, spread = transform(tmp_path / "tables.yaml", protect, ', on_missing_parent: "null"', reverse)
    assert (len(batch.rows), batch.rejects, spread) == (3, [], set())
    assert [None in row for row in batch.rows] == [False, True, False]
