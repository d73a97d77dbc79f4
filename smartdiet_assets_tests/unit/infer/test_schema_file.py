"""A schema file is written whole, as its owner writes it, and never over what somebody saved meanwhile."""

from pathlib import Path

import pytest

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.infer.schema_file import decode_text, encode_text, write_text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a\nb\n", b"a\nNEW\nb\n"),
        (b"a\r\nb\r\n", b"a\r\nNEW\r\nb\r\n"),
        (b"\xef\xbb\xbfa\nb\r\na\n", b"\xef\xbb\xbfa\nNEW\nb\r\na\n"),
        (b"a\r\nb\nc", b"a\r\nNEW\r\nb\nc"),
    ],
)
def test_each_line_keeps_its_end(before: bytes, after: bytes) -> None:
    text = decode_text(before)
    assert encode_text(text, before) == before
    assert encode_text(text.replace("a\n", "a\nNEW\n", 1), before) == after


def test_a_last_line_without_an_end_gets_that_of_the_others() -> None:
    assert encode_text("a\nb\nc\n", b"a\r\nb") == b"a\r\nb\r\nc\r\n"


@pytest.mark.parametrize("before", [b"a: 1\n", None])
def test_what_was_saved_meanwhile_stays(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "schemas.yaml"
    path.write_text("a: 2\n")
    with pytest.raises(ConfigurationError, match="was changed meanwhile: nothing was written; run this again"):
        write_text("a: 3\n", path, before)
    assert [(found, found.read_text()) for found in tmp_path.iterdir()] == [(path, "a: 2\n")]
    write_text("a: 3\n", path, b"a: 2\n")
    assert path.read_text() == "a: 3\n"
