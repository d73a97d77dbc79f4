"""`smartdiet status --format prometheus`: the figures of every table in Prometheus' text format.

Here: which metrics there are, and how they are written. Not here: how the records are read
(`load.records.inspection`). What shows them is `config/deploy/grafana-dashboard.json`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from smartdiet_assets.load.records.inspection import TableMetrics

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, ending in its unit, what it is in a line, and its value for a table, None where none is."""

    name: str
    text: str
    read: Callable[[TableMetrics], float | int | None]


def _moment(value: datetime | None) -> float | None:
    return None if value is None else value.timestamp()


METRICS = (
    Metric(
        "smartdiet_table_lag_seconds",
        "Seconds since the last run that was kept began: the mirror is at most so old, an estimate from above.",
        lambda table: None if table.lag is None else max(0.0, table.lag),
    ),
    Metric(
        "smartdiet_table_last_success_timestamp_seconds",
        "When the last run that was kept began: what was written at the source before it is mirrored.",
        lambda table: _moment(table.last_run),
    ),
    Metric(
        "smartdiet_table_watermark_timestamp_seconds",
        "The largest date of a document that is mirrored.",
        lambda table: _moment(table.watermark),
    ),
    Metric(
        "smartdiet_table_rows",
        "Rows after the last run; an estimate of a table that would take long to count.",
        lambda table: table.rows,
    ),
    Metric(
        "smartdiet_table_rejected_documents",
        "Documents that could not be loaded and are not yet.",
        lambda table: table.rejected,
    ),
    Metric(
        "smartdiet_table_last_run_duration_seconds",
        "Seconds the transaction of the last run that was kept took.",
        lambda table: table.seconds,
    ),
    Metric(
        "smartdiet_table_last_run_documents_read",
        "Documents the last run that was kept read.",
        lambda table: table.documents_read,
    ),
)


def compose_exposition(tables: Sequence[TableMetrics], labels: Mapping[str, str]) -> str:
    """Compose the text of all metrics: each with its HELP, its TYPE, and a line for each table that has a value.

    Args:
        labels: of every line, before that of the table; they tell apart the mirrors of one machine.
    """
    lines = []
    for metric in METRICS:
        lines += [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} gauge"]
        for table in tables:
            if (value := metric.read(table)) is not None:
                # repr: the shortest text that is the number; `inf` cannot come of what PostgreSQL gives here.
                lines.append(f"{metric.name}{_format_labels({**labels, 'table': table.table_name})} {value!r}")
    return "".join(f"{line}\n" for line in lines)


def _format_labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels.items()) + "}"
