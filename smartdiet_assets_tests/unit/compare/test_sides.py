"""How a side is named on the command line. No password is ever in what can be printed."""

import pytest

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets_tests.support.configured import parse_pair, parse_side

SECRET = "s3cret"
URL = f"postgresql://someone:{SECRET}@db.example.org:5433/reports"


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("schema", "schema", None),
        ("local", "postgres", "local"),
        ("remote", "postgres", "remote"),
        ("mongo", "mongo", None),
        ("mongo:remote", "mongo", "remote"),
    ],
)
def test_words(text: str, kind: str, place: str | None) -> None:
    side = parse_side(text)
    assert (side.kind, side.label, side.place, side.conninfo) == (kind, text, place, "")


def test_a_url_is_named_by_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    side = parse_side(URL)
    assert (side.label, side.conninfo) == ("reports at db.example.org:5433", URL)
    monkeypatch.setenv("REPORTS_URL", URL)
    named = parse_side("env:REPORTS_URL")
    assert (named.label, named.conninfo) == ("env:REPORTS_URL", URL)
    assert SECRET not in repr([side, named])


@pytest.mark.parametrize(
    "text", ["", "locale", "postgres", "env:", f"mysql://a:{SECRET}@b/c", f"host=a password={SECRET}"]
)
def test_anything_else_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_side(text)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("pair", [("local", "local"), ("mongo:local", "mongo:remote"), (URL, URL)])
def test_pairs_that_make_no_sense(pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_pair(*pair)
    assert SECRET not in str(raised.value)
