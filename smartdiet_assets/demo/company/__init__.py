"""A deterministic company of data in the application's collections, for demo, tests and benchmarks.

Here: what a diet and coaching company would have stored, oddities and mistakes included, and a day of changes
to it.
Not here: servers, or anything the mirror does with the data.
"""

from smartdiet_assets.demo.company.changes import DEMO_DAY, DayOfChanges, apply_day_of_changes
from smartdiet_assets.demo.company.defects import BAD_DOCUMENTS, BadDocument
from smartdiet_assets.demo.company.generate import generate_collections, write_company

__all__ = [
    "BAD_DOCUMENTS",
    "DEMO_DAY",
    "BadDocument",
    "DayOfChanges",
    "apply_day_of_changes",
    "generate_collections",
    "write_company",
]
