"""Names in the table of findings that Dagit shows stay texts in their cell."""

import pytest

from smartdiet_assets.assets.doctor import build_findings_table
from smartdiet_assets.resources.checking import Part


@pytest.mark.parametrize("name", ["a|b", "a\nb", "<script>", "[a](javascript:b)", "`", "``", "*a*", "a_b"])
def test_a_name_stays_in_its_cell(name: str) -> None:
    statements = [f"create({name!r})", name]
    finding = Part("mongodb").failed("collections", f"No {name}.", details=[name], statements=statements)
    *head, row = build_findings_table([finding]).split("\n")
    assert len(head) == 2
    assert row.replace("\\|", "").count("|") == 4
    assert "<script>" not in row.split("<br>")[1]
    assert "[a](" not in row.split("<br>")[1]
