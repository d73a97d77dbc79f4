"""The schema file that entries go into: reading it, trying a text in its place, writing it whole or not at all.

Not here: where in it an entry goes (`placing`), new columns in it (`editing`).
"""

import site
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from smartdiet_assets.errors import ConfigurationError, SchemaFileError
from smartdiet_assets.infer.placing import Place, find_place
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema


def read_file(files: Sequence[Path]) -> tuple[Schema | None, Place]:
    """Read the file that entries are for, with those beside it, and find the place for more; None where it is missing.

    Raises:
        SchemaFileError: a file cannot be used as it is.
        ConfigurationError: its tables are written in braces.
    """
    if not files or not files[0].exists():
        return None, find_place("")
    schema = load_schema(*files)
    return schema, find_place(files[0].read_text(encoding="utf-8-sig"))


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


def write_text(text: str, path: Path) -> None:
    """Write the file's text, whole or not at all.

    Raises:
        ConfigurationError: it cannot be written, or is part of an installed package.
    """
    require_own_file(path)
    # Where the file is a link, what it leads to is replaced.
    real = path.resolve()
    written = None
    try:
        with NamedTemporaryFile(
            "w", dir=real.parent, prefix=real.name, delete=False, encoding="utf-8", newline=""
        ) as handle:
            written = Path(handle.name)
            handle.write(text)
        if real.exists():
            written.chmod(real.stat().st_mode)
        written.replace(real)
    except OSError as error:
        if written:
            written.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
