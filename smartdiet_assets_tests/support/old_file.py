"""A schema file as the replaced tool's users have one, and the tables that tool left in their database.

Here: the 31 tables in a short notation, written out in that tool's format with every key it had, and as its CREATE
TABLE statements. Not here: tests, or anything of our own format.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

#: Table: its export_order, its collection ("" where it has the table's name) and its columns, each as
#: `name:type`, `!` for NOT NULL, `>table` for a foreign key, `<field` where the source has another name.
_ENTITIES = {
    "ingredients": (1, "", "name:s!"),
    "appointment_types": (1, "appointmenttypes", "title:s!"),
    "companies": (1, "", "name:s!"),
    "offers": (1, "", "name:s! duration:n! coaching_credit:n!"),
    "categories": (1, "", "name:s! type:s!"),
    "targets": (1, "", "name:s!"),
    "recipes": (1, "", "name:s!"),
    "quizzs": (1, "", "name:s! type:s!"),
    "quizzs_questions": (1, "quizzquestions", "title:v! type:s!"),
    "contents": (1, "", "name:s! type:w!"),
    "events": (2, "", "name:s! type:s!<__t start_date:d! end_date:d! company_id:v>companies<company"),
    "users": (
        2,
        "",
        "firstname:s! lastname:s! email:s! insurer:s phone:s population:s sso_id:s birthdate:day "
        "company_id:v>companies<company role:w!",
    ),
    "menus": (2, "", "name:s!"),
    "users_quizzs": (2, "userquizzs", "quizz_id:v>quizzs<quizz"),
    "messages": (3, "", "sender_id:v>users<sender receiver_id:v>users<receiver content:t!"),
    "coachings": (
        3,
        "",
        "user_id:v>users<user diet_id:v>users<diet offer_id:v>offers<offer "
        "assessment_id:v>users_quizzs<assessment_quizz status:w!",
    ),
    "users_logbooks": (
        3,
        "coachinglogbooks",
        "user_id:v!>users<user day:day! logbook_id:v>users_quizzs<logbook coaching_id:v>coachings<coaching",
    ),
    "users_quizzs_questions": (
        3,
        "userquizzquestions",
        "quizz_question_id:v>quizzs_questions<quizz_question boolean_answer:b document_answer:v single_enum_answer:v "
        "numeric_answer:v text_answer:v comment:v",
    ),
    "periods": (
        4,
        "",
        "days_numbers:n!<number_of_days coaching_id:v>coachings<coaching order_nb:n!<order status:w!",
    ),
    "appointments": (
        4,
        "",
        "user_id:v>users<user coaching_id:v>coachings<coaching type_id:v>appointment_types<appointment_type "
        "start_date:day! end_date:day! validated:b order_nb:n!<order",
    ),
    "items": (
        4,
        "",
        "text:t! quizz_question_id:v>quizzs_questions<quizzQuestion "
        "user_quizz_question_id:v>users_quizzs_questions<userQuizzQuestion description:t picture:v updated_by:v",
    ),
    "days": (
        5,
        "",
        "period_id:v!>periods<period completed:v!<is_success day:day!<date user_quizz_id:v>users_quizzs<userQuizz",
    ),
}
#: The tables without an id of their own; those named in `_STRATEGIES` are filled from an array.
_LINKS = {
    "menu_recipes": (3, "menu_recipes", "menu_id:v!>menus<menu recipe_id:v!>recipes<recipe"),
    "quizzs_links_questions": (2, "quizzs", "quizz_id:v!>quizzs question_id:v!>quizzs_questions"),
    "user_events": (3, "users", "user_id:v!>users event_id:v!>events"),
    "users_targets": (3, "users", "user_id:v!>users target_id:v!>targets type:x!"),
    "users_contents_reads": (3, "contents", "content_id:v!>contents user_id:v!>users"),
    "coaching_reasons": (4, "coachings", "coaching_id:v!>coachings target_id:v!>targets type:x!"),
    "users_quizzs_links_questions": (
        4,
        "userquizzs",
        "user_quizz_id:v!>users_quizzs user_quizz_question_id:v!>users_quizzs_questions",
    ),
    "days_contents_links": (6, "days", "day_id:v!>days content_id:v!>contents"),
    "days_logbooks_links": (6, "days", "day_id:v!>days logbook_id:v!>users_quizzs"),
}
TABLES = (*_ENTITIES, *_LINKS)
_TYPES = {
    "s": "VARCHAR(255)", "w": "VARCHAR(100)", "x": "VARCHAR(50)", "v": "VARCHAR", "t": "TEXT", "n": "SMALLINT",
    "b": "BOOLEAN", "d": "TIMESTAMP", "day": "DATE",
}  # fmt: skip
_COLUMN = re.compile(r"(?P<name>\w+):(?P<type>\w+)(?P<required>!?)(?:>(?P<parent>\w+))?(?:<(?P<source>\w+))?")


@dataclass
class OldTable:
    """One table of the file: what its keys say."""

    name: str
    order: int
    collection: str
    columns: list[re.Match[str]]
    is_link: bool
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def parents(self) -> list[str]:
        return [column["parent"] for column in self.columns if column["parent"]]

    @property
    def unique(self) -> list[str]:
        """What identifies a row where there is no id."""
        return [column["name"] for column in self.columns]

    def describe(self) -> dict[str, Any]:
        """The table's section of the file."""
        columns = [_describe_column(column) for column in self.columns]
        mappings = {column["source"]: column["name"] for column in self.columns if column["source"]}
        section: dict[str, Any] = {}
        if self.collection:
            section["mongo_collection"] = self.collection
        if self.is_link:
            dates = [
                {"name": name, "sql_type": "TIMESTAMP", "nullable": False} for name in ("created_at", "updated_at")
            ]
            section["columns"] = [*columns, *dates]
            section["explicit_mappings"] = {"creation_date": "created_at", "update_date": "updated_at", **mappings}
            section["unique_constraints"] = [self.unique]
        else:
            section |= {"include_base": True, "additional_columns": columns}
            if mappings:
                section["additional_mappings"] = mappings
        if self.is_link and self.name != "menu_recipes":
            section["import_strategy"] = self.name
        if self.name == "coaching_reasons":
            section["force_reimport"] = True
        section |= {"export_order": self.order, **self.settings}
        return {key: value for key, value in section.items() if value is not None}

    def compose_create(self) -> str:
        """The statement that tool created the table with: constraints inline, their names left to PostgreSQL."""
        lines = [] if self.is_link else ["id VARCHAR PRIMARY KEY"]
        dates = ["created_at TIMESTAMP NOT NULL", "updated_at TIMESTAMP NOT NULL"]
        columns = [
            f"{column['name']} {_TYPES[column['type']]}{' NOT NULL' if column['required'] else ''}"
            f"{' REFERENCES ' + column['parent'] + '(id)' if column['parent'] else ''}"
            for column in self.columns
        ]
        lines += [*columns, *dates] if self.is_link else [*dates, *columns]
        if self.is_link:
            lines.append(f"UNIQUE ({', '.join(self.unique)})")
        return f"CREATE TABLE {self.name} ({', '.join(lines)})"


def _describe_column(column: re.Match[str]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": column["name"], "sql_type": _TYPES[column["type"]]}
    if column["required"]:
        described["nullable"] = False
    if column["parent"]:
        described["foreign_key"] = f"{column['parent']}(id)"
    return described


def pick_tables(*names: str, settings: Mapping[str, Mapping[str, Any]] | None = None) -> list[OldTable]:
    """The named tables (all of them when none is) and all they point at, in the file's order.

    Args:
        settings: further keys of a table's section, by table; None leaves a key out.
    """
    tables = {}
    for is_link, declared in ((False, _ENTITIES), (True, _LINKS)):
        for name, (order, collection, text) in declared.items():
            columns = [match for part in text.split() if (match := _COLUMN.fullmatch(part))]
            tables[name] = OldTable(name, order, collection, columns, is_link, dict((settings or {}).get(name, {})))
    wanted = list(names or tables)
    for name in wanted:
        wanted += [parent for parent in tables[name].parents if parent not in wanted]
    return [table for table in tables.values() if table.name in wanted]


def compose_old_file(*names: str, settings: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Write the tables as a file of the replaced tool."""
    sections = {table.name: table.describe() for table in pick_tables(*names, settings=settings)}
    return yaml.safe_dump({"tables": sections}, sort_keys=False)


def compose_old_database(*names: str) -> list[str]:
    """Compose the CREATE TABLE statements of that tool, in the order it ran them."""
    ordered: list[OldTable] = []
    remaining = sorted(pick_tables(*names), key=lambda table: table.order)
    while remaining:
        # Where a table comes before a parent of its own level, its users had created the parent first.
        created = {table.name for table in ordered}
        table = next(table for table in remaining if created.issuperset(table.parents))
        remaining.remove(table)
        ordered.append(table)
    return [table.compose_create() for table in ordered]
