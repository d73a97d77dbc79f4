"""A deterministic company of data in the application's collections, for demo, tests and benchmarks."""

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
