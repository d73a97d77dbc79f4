"""Watching the statements of loads: what PostgreSQL plans for each of them, and how much work each is.

Here: a cursor that notes them, and what is wrong with a plan. Not here: the loads (`test_plans`).

Work is the time the server's process was busy, which does not tell how busy the machine was with other things. A plan
that would compare many with many is executed once more, and undone: only what it really reads counts.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

#: A part of a script that PostgreSQL can explain. A table that is created from a query is what the query is.
_EXPLAINED = re.compile(r"(?:CREATE TEMPORARY TABLE [^\n]* AS\n)?((?:SELECT|WITH|INSERT|UPDATE|DELETE)\b.*)", re.DOTALL)
#: What differs in the text of a statement between loads of two sizes.
_NUMBERS = re.compile(r"\d{3,}")
_TICKS = os.sysconf("SC_CLK_TCK")
#: Rows a node of a plan may read for each row there is: a few indexes that are read one after the other.
_READ_OFTEN = 20


@dataclass
class Watch:
    """What the statements of a connection did, since it was last told the name of a step.

    Attributes:
        step: what is being done.
        rows: how many rows, waits or rejects it is done with; more than a few times as many are not to be read.
        work: by step and statement, the seconds the server was busy.
        faults: the statements that read many for each of many, with their plans.
    """

    connection: psycopg.Connection[Any]
    rows: int
    step: str = ""
    work: dict[tuple[str, str], float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __enter__(self) -> "Watch":
        watch = self

        class Cursor(psycopg.Cursor[Any]):
            def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
                return watch.note(self, query, params, options)

        self.connection.cursor_factory = Cursor
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.cursor_factory = psycopg.Cursor

    def note(self, cursor: psycopg.Cursor[Any], query: Any, params: Any, options: Any) -> Any:
        text = query.as_string(self.connection) if isinstance(query, sql.Composable) else query
        if params is not None:
            text = psycopg.ClientCursor(self.connection).mogrify(text, params)
        parts = text.split(";\n")
        within = self.connection.info.transaction_status == TransactionStatus.INTRANS
        # What a part of a script reads may be there, or be counted, only after those before it.
        if within and len(parts) == 1:
            self._judge(parts[0])
        before = self._read_busy()
        answer = psycopg.Cursor.execute(cursor, query, params, **options)
        key = (self.step, _NUMBERS.sub("#", text))
        self.work[key] = self.work.get(key, 0.0) + self._read_busy() - before
        if within and len(parts) > 1 and cursor.connection.info.transaction_status == TransactionStatus.INTRANS:
            for part in parts:
                self._judge(part)
        return answer

    def _read_busy(self) -> float:
        fields = Path(f"/proc/{self.connection.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _judge(self, part: str) -> None:
        found = _EXPLAINED.fullmatch(part.strip())
        if found is None or "pg_catalog." in part or part.endswith(" WITH NO DATA"):
            return
        if any(_list_loops(self._explain("", found[1]))):
            plan = self._explain("ANALYZE, TIMING off, ", found[1])
            if any(node["Actual Loops"] * _count_read(node) > _READ_OFTEN * self.rows for node in _list_nodes(plan)):
                self.faults.append(f"{self.step}: {found[1]}\n  {_sketch(plan)}")

    def _explain(self, options: str, statement: str) -> dict[str, Any]:
        """Explain a statement; an empty plan where it cannot be executed a second time."""
        cursor = psycopg.Cursor(self.connection, row_factory=tuple_row)
        try:
            with self.connection.transaction(force_rollback=True):
                row = cursor.execute(f"EXPLAIN ({options}FORMAT JSON) {statement}", prepare=False).fetchone()  # type: ignore[arg-type]
        except psycopg.errors.IntegrityError:
            return {"Node Type": "None"}
        assert row is not None
        return row[0][0]["Plan"]  # type: ignore[no-any-return]


def _list_nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _list_nodes(child)


def _list_loops(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """List the nodes that read a relation in full for each row of another."""
    for node in _list_nodes(plan):
        for child in node.get("Plans", ()):
            repeated = child["Parent Relationship"] == "SubPlan" or (
                child["Parent Relationship"] == "Inner" and node["Node Type"] == "Nested Loop"
            )
            if repeated and any("Scan" in leaf["Node Type"] and not _is_indexed(leaf) for leaf in _list_leaves(child)):
                yield node


def _list_leaves(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (node for node in _list_nodes(plan) if not node.get("Plans"))


def _is_indexed(leaf: dict[str, Any]) -> bool:
    return "Index" in leaf["Node Type"] or leaf["Node Type"] == "Tid Scan"


def _count_read(node: dict[str, Any]) -> float:
    """Count the rows a node gives each time, with those it looks at in vain."""
    removed = sum(value for key, value in node.items() if key.startswith("Rows Removed by"))
    return float(node.get("Actual Rows", 0) + removed)


def _sketch(plan: dict[str, Any]) -> str:
    """Write a plan down in one line: its nodes, with how often each was read and how many rows it gave."""
    relation = plan.get("Relation Name") or plan.get("Index Name") or ""
    inner = ", ".join(_sketch(child) for child in plan.get("Plans", ()))
    return f"{plan['Node Type']} {relation} {plan.get('Actual Loops')}x{plan.get('Actual Rows')}" + (
        f" ({inner})" if inner else ""
    )
