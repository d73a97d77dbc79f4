"""What differs between kinds of source is asked of the kind, and not found out by its name."""

import re
from pathlib import Path

import smartdiet_assets
from smartdiet_assets.resources.environment import VARIABLES
from smartdiet_assets.schema.sources import MATOMO, MONGODB

PACKAGE = Path(smartdiet_assets.__file__).parent


def test_no_module_compares_a_source_with_a_name() -> None:
    names = "|".join((MONGODB.name, MATOMO.name))
    compared = re.compile(rf"""\bsource\b[^=\n]{{0,20}} (?:[!=]=|in|not in) [(\[{{"'](?:"|')?(?:{names})\b""")
    found = [str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if compared.search(path.read_text())]
    assert found == []


def test_a_source_is_left_out_by_variables_that_there_are() -> None:
    assert set(MATOMO.variables) <= set(VARIABLES)
    assert MATOMO.unset == "neither MATOMO_HOST nor MATOMO_DATABASE is set"
    assert not MONGODB.variables
