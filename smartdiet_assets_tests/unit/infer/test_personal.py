"""What looks personal is proposed to be protected, by its name and the form of its values."""

import pytest

from smartdiet_assets.infer.facts import TextFacts
from smartdiet_assets.infer.personal import find_personal, propose_protection


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
