"""The oracle: what every table must hold, computed slowly from the documents and the schema alone.

Here: the rules of the mirror written a second time, document by document, as plainly as they can be said, and the
comparison with the live tables. Read it in this order: `documents` (what is read), `conditions` and `values` (what a
field means), `rows` (what one document says), `table_sync` (what one table makes of all of them), `mirror` (all tables,
from sync to sync), `comparison` (with the live tables). Not here: anything of `extract`, `transform` or `load`: the two
must agree without sharing a line, so nothing is imported from them.
"""

from smartdiet_assets_tests.oracle.comparison import compare
from smartdiet_assets_tests.oracle.documents import read_collections
from smartdiet_assets_tests.oracle.mirror import MirrorOracle, compute_expected

__all__ = ["MirrorOracle", "compare", "compute_expected", "read_collections"]
