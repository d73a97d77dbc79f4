"""A table that is built in code has the defaults that a file's has."""

import pytest

from smartdiet_assets.schema.declaration import TableDeclaration
from smartdiet_assets.schema.model import Table

KEYS = sorted(
    key
    for key in Table.model_fields.keys() & TableDeclaration.model_fields.keys()
    # What has none in a file follows from the rest of the table.
    if not Table.model_fields[key].is_required() and TableDeclaration.model_fields[key].default is not None
)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_has_one_default(key: str) -> None:
    assert Table.model_fields[key].get_default() == TableDeclaration.model_fields[key].get_default()
