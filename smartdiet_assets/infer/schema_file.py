"""The schema file that entries go into: reading it, trying a text in its place, writing it whole or not at all.

Not here: where in it an entry goes (`placing`), new columns in it (`editing`).
"""

import site
import sysconfig
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from tempfile import NamedTemporaryFile

from smartdiet_assets.errors import ConfigurationError, SchemaFileError
from smartdiet_assets.infer.placing import Place, find_place
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema


def read_file(files: Sequence[Path]) -> tuple[Schema | None, Place, bytes | None]:
    """Read the file that entries are for, with those beside it, and find the place for more; gives its bytes too.

    Of a file that is missing there is no schema, and no bytes.

    Raises:
        SchemaFileError: a file cannot be used as it is.
        ConfigurationError: its tables are written in braces.
    """
    if not files or not files[0].exists():
        return None, find_place(""), None
    schema = load_schema(*files)
    before = files[0].read_bytes()
    return schema, find_place(decode_text(before)), before


def decode_text(content: bytes) -> str:
    """Decode a file's text, with one kind of line end; `encode_text` gives it back its own."""
    return content.decode("utf-8-sig").replace("\r\n", "\n")


def encode_text(text: str, before: bytes) -> bytes:
    """Encode what a file's text became: with its mark of UTF-8, and each line with the end that it had.

    Args:
        before: the file as it was. A new line ends as the one above it.
    """
    mark = BOM_UTF8 if before.startswith(BOM_UTF8) else b""
    if b"\r\n" in before:
        text = "".join(_restore_ends(text.split("\n"), before.decode("utf-8-sig").split("\n")))
    return mark + text.encode()


def _restore_ends(lines: Sequence[str], before: Sequence[str]) -> Iterator[str]:
    """Give the lines, the last of which has no end, with the ends that they had."""
    dos = [line.endswith("\r") for line in before]
    had = dos[0]
    matcher = SequenceMatcher(None, [line.removesuffix("\r") for line in before], lines, autojunk=False)
    for _, first, end, start, stop in matcher.get_opcodes():
        for offset, line in enumerate(lines[start:stop]):
            # The last line has no end that it could pass on.
            if first + offset < min(end, len(dos) - 1):
                had = dos[first + offset]
            is_last = start + offset == len(lines) - 1
            yield line if is_last else f"{line}\r\n" if had else f"{line}\n"


def load_text(text: str, files: Sequence[Path] = ()) -> Schema:
    """Load a text as the file it will be, the first one, beside the others.

    Raises:
        SchemaFileError: it cannot be used: a mistake of ours, or a file that is not laid out line by line.
    """
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            return load_schema(file.name, *files[1:])
        except SchemaFileError as error:
            raise SchemaFileError(f"{files[0] if files else 'the file'} with the new entry", error.problems) from None


def require_own_file(path: Path) -> None:
    """Refuse a file that is part of an installed package: the next installation would take the entry away again.

    Raises:
        ConfigurationError: says where a file belongs.
    """
    real = path.resolve()
    installed = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()]
    folders = [*installed, *site.getsitepackages(), str(Path(__file__).parents[1])]
    if any(real.is_relative_to(Path(folder).resolve()) for folder in folders):
        raise ConfigurationError(
            f"{path} is part of the installed package, where nothing is added: copy it to config/schemas.yaml here, or "
            "to where SMARTDIET_SCHEMAS says, and run this again"
        )


def write_text(text: str, path: Path, before: bytes | None) -> None:
    """Write the file's text, whole or not at all.

    Args:
        before: the file as it was read; None where there was none.

    Raises:
        ConfigurationError: it cannot be written, is another than was read, or is part of an installed package.
    """
    require_own_file(path)
    # Where the file is a link, what it leads to is replaced.
    real = path.resolve()
    written = None
    try:
        with NamedTemporaryFile(dir=real.parent, prefix=real.name, delete=False) as handle:
            written = Path(handle.name)
            handle.write(encode_text(text, before or b""))
        if real.exists():
            written.chmod(real.stat().st_mode)
        # As late as can be: reading the documents took its time, and somebody may have saved the file.
        if (real.read_bytes() if real.exists() else None) != before:
            raise ConfigurationError(f"{path} was changed meanwhile: nothing was written; run this again")
        written.replace(real)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        if written:
            written.unlink(missing_ok=True)
