"""What looks personal is proposed to be protected, by its name and the form of its values."""

from datetime import datetime
from pathlib import Path

import bson
import pytest

from smartdiet_assets.infer.facts import TextFacts
from smartdiet_assets.infer.personal import find_personal, propose_protection
from smartdiet_assets.infer.verification import count_rejects
from smartdiet_assets.schema.loading import load_schema


def propose(path: str, sql_type: str, *texts: str) -> str:
    facts = TextFacts()
    for text in texts:
        facts.add(text)
    return propose_protection(find_personal(path, facts), sql_type)


@pytest.mark.parametrize(
    ("path", "sql_type", "texts", "proposed"),
    [
        ("firstName", "VARCHAR", ("Ada",), "protect: redact"),
        ("contact.email", "VARCHAR(255)", ("a@b.org",), "protect: pseudonym"),
        ("login2", "TEXT", ("a@b.org", "c@d.fr"), "protect: pseudonym"),
        ("contact", "VARCHAR(20)", ("a@b.org",), "protect: redact"),
        ("called", "VARCHAR", ("+33 6 12 34 56 78", "06.12.34.56.78"), "protect: redact"),
        ("birthdate", "DATE", (), "protect: {keep: year}"),
        ("address.zipCode", "VARCHAR", ("75011",), "protect: {keep: 2}"),
        ("answer", "TEXT", ("I " * 400,), "protect: redact"),
        ("name", "VARCHAR", ("Soup",), ""),
        ("status", "VARCHAR", ("open",), ""),
        ("company.size", "INTEGER", (), ""),
    ],
)
def test_a_proposal(path: str, sql_type: str, texts: tuple[str, ...], proposed: str) -> None:
    assert propose(path, sql_type, *texts) == proposed


def test_trying_a_file_on_documents_needs_no_key_of_its_pseudonyms(tmp_path: Path) -> None:
    path = tmp_path / "tables.yaml"
    columns = "[{name: mail, sql_type: VARCHAR, protect: pseudonym}, {name: age, sql_type: INTEGER}]"
    path.write_text(f"tables: {{users: {{include_base: true, additional_columns: {columns}}}}}\n")
    dates = {"creation_date": datetime(2025, 1, 1), "update_date": datetime(2025, 1, 1)}
    found = [{"_id": 1, "mail": "a@example.org", "age": 7}, {"_id": 2, "age": "old"}]
    documents = [bson.encode(document | dates) for document in found]
    rejects = count_rejects(list(load_schema(path).tables.values()), documents)
    assert {(name, column): number for (name, column, _), number in rejects.items()} == {("users", "age"): 1}
