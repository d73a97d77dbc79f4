"""What the graph says about a table: its definition metadata and the metadata of one materialisation.

Counts, types, names and times only. Never a value from a document: this is health data, and metadata is kept for ever.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from smartdiet_assets.schema.drift import list_fields
from smartdiet_assets.schema.model import ITEM_ITSELF, ITEM_POSITION, Column, Table

if TYPE_CHECKING:
    from smartdiet_assets.mirror.failures import RejectCounts
    from smartdiet_assets.mirror.table_run import MirrorResult

# Code references are a beta class of 1.13.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*CodeReference.*")

_WINDOWS = {
    "full": "everything dated",
    "incremental": "what changed",
    "rerun": "everything dated",
    "partition": "everything dated",
    "change_stream": "what the change stream named",
}


def describe_table(table: Table) -> dict[str, dg.MetadataValue]:
    """Build what is known of a table before any run: its columns, and where its rows come from."""
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/column_schema": dg.MetadataValue.table_schema(build_column_schema(table)),
        **_describe_source(table),
        "import_strategy": dg.MetadataValue.text(table.import_strategy),
        "key": dg.MetadataValue.text(", ".join(table.key)),
    }
    if table.path:
        metadata["dagster/code_references"] = build_code_reference(table)
    return metadata


def name_table(database: str, schema_name: str, table: Table) -> dg.MetadataValue:
    """Name a table as a warehouse's catalogue does, and Dagit beside the asset; without the database where it is ""."""
    return dg.MetadataValue.text(".".join(filter(None, (database, schema_name, table.name))))


def build_code_reference(table: Table) -> dg.CodeReferencesMetadataValue:
    """Build the link to the line of the YAML file that declares the table."""
    path = Path(table.path).resolve()
    reference = dg.LocalFileCodeReference(
        file_path=str(path), line_number=table.line, label=f"{path.name}, line {table.line}"
    )
    return dg.CodeReferencesMetadataValue(code_references=[reference])


def _describe_source(table: Table) -> dict[str, dg.MetadataValue]:
    """Name where the rows come from, under the key of the schema file."""
    return {key: dg.MetadataValue.text(getattr(table, key) or "none: by key") for key in table.source_kind.shown}


def build_column_schema(table: Table) -> dg.TableSchema:
    """Build the column table Dagit shows: PostgreSQL types, descriptions with the source, constraints."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type.sql,
                description=_describe_column(column),
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable,
                    unique=table.primary_key == (column.name,) or (column.name,) in table.unique_constraints,
                    other=_describe_constraints(table, column),
                ),
            )
            for column in table.columns
        ]
    )


def build_column_lineage(table: Table, keys: Mapping[str, dg.AssetKey]) -> dict[str, dg.MetadataValue]:
    """Build the column lineage: each foreign-key column comes from the parent column it points at; empty without one.

    Args:
        keys: the asset key of each table.
    """
    lineage = {
        column.name: [dg.TableColumnDep(asset_key=keys[reference.table], column_name=reference.column)]
        for column in table.columns
        if (reference := column.foreign_key) is not None and reference.table != table.name and reference.table in keys
    }
    if not lineage:
        return {}
    return {"dagster/column_lineage": dg.MetadataValue.column_lineage(dg.TableColumnLineage(deps_by_column=lineage))}


def build_run_metadata(table: Table, result: "MirrorResult") -> Mapping[str, dg.MetadataValue]:
    """Build the metadata of one materialisation: the counts, the window, the seconds of each stage."""
    load = result.load
    metadata: dict[str, dg.MetadataValue] = {
        "summary": dg.MetadataValue.md(compose_summary(result)),
        "dagster/table_name": name_table(result.database, result.schema_name, table),
        "dagster/row_count": dg.MetadataValue.int(load.rows),
        "dagster/partition_row_count": dg.MetadataValue.int(load.inserted + load.updated + load.unchanged),
        "inserted": dg.MetadataValue.int(load.inserted),
        "updated": dg.MetadataValue.int(load.updated),
        "deleted": dg.MetadataValue.int(load.deleted),
        "unchanged": dg.MetadataValue.int(load.unchanged),
        "rejected": dg.MetadataValue.int(load.rejected),
        "rejected_total": dg.MetadataValue.int(load.rejected_total),
        "collapsed": dg.MetadataValue.int(result.collapsed),
        "nulled": dg.MetadataValue.int(sum(result.nulled.values())),
        "clamped": dg.MetadataValue.int(sum(result.clamped.values())),
        "documents_read": dg.MetadataValue.int(result.documents_read),
        "missing_parents_null": dg.MetadataValue.int(load.missing_parents_null),
        "mode": dg.MetadataValue.text(load.mode),
        "window": dg.MetadataValue.text(result.window.kind),
    }
    metadata.update(_list_findings(result))
    if result.capture is not None:
        metadata["change_position"] = dg.MetadataValue.text(result.capture.start)
        metadata["change_events"] = dg.MetadataValue.int(result.capture.events)
        metadata["documents_deleted"] = dg.MetadataValue.int(result.capture.deleted)
        if result.capture.behind is not None:
            metadata["captured_to"] = dg.MetadataValue.timestamp(result.capture.behind.replace(tzinfo=UTC))
        metadata["flagged"] = dg.MetadataValue.int(load.flagged)
    if result.unmirrored_columns:
        metadata["unmirrored_columns"] = dg.MetadataValue.text(", ".join(result.unmirrored_columns))
    if load.change_ratio is not None:
        metadata["change_ratio"] = dg.MetadataValue.float(round(load.change_ratio, 6))
    for name, instant in (
        ("window_start", result.window.start),
        ("window_end", result.window.end),
        ("watermark", result.watermark),
    ):
        if instant is not None:
            metadata[name] = _instant(instant)
    metadata["seconds"] = dg.MetadataValue.float(round(result.elapsed, 4))
    for stage, seconds in result.seconds.items():
        metadata[f"seconds_{stage}"] = dg.MetadataValue.float(round(seconds, 4))
    return metadata


def _list_findings(result: "MirrorResult") -> Iterator[tuple[str, dg.MetadataValue]]:
    """List what a run found in its documents: values that a column could not hold, fields that no table declares."""
    if names := sorted({**result.nulled, **result.clamped}):
        counts = ({"nulled": result.nulled.get(name, 0), "clamped": result.clamped.get(name, 0)} for name in names)
        records = [dg.TableRecord({"column": name, **found}) for name, found in zip(names, counts, strict=True)]
        yield "invalid_values", dg.MetadataValue.table(records)
    if result.undeclared:
        yield "undeclared_fields", dg.MetadataValue.table([dg.TableRecord(asdict(seen)) for seen in result.undeclared])


def build_rejects_metadata(rejects: "RejectCounts") -> Mapping[str, dg.MetadataValue]:
    """Build the metadata of a run that failed for too many rejects: how many, and by column and reason."""
    return {
        "rejected": dg.MetadataValue.int(rejects.rejected),
        "rejected_before": dg.MetadataValue.int(rejects.before),
        "max_rejects": dg.MetadataValue.text(rejects.limit),
        "rejects": dg.MetadataValue.table([dg.TableRecord(asdict(group)) for group in rejects.groups]),
    }


def compose_summary(result: "MirrorResult") -> str:
    """Compose what a run did as a short text in Markdown: what was read, what was written, what was not loaded."""
    load = result.load
    window = result.window
    bounds = [
        f"{label} {instant:%Y-%m-%d %H:%M:%S}"
        for label, instant in (("from", window.start), ("to", window.end))
        if instant
    ]
    read = " ".join(["everything"] if window.reads_everything else [_WINDOWS[window.kind], *bounds])
    lines = [
        f"Read {result.documents_read:,} documents ({read}) in {result.elapsed:.1f} s.",
        "",
        "| inserted | updated | deleted | unchanged | rejected | rows now |",
        "|---:|---:|---:|---:|---:|---:|",
        f"| {load.inserted:,} | {load.updated:,} | {load.deleted:,} | {load.unchanged:,} | {load.rejected:,} "
        f"| {load.rows:,} |",
    ]
    if load.mode == "none":
        lines += ["", "It read exactly what the last run had read, so nothing had to be compared."]
    if load.rejected:
        lines += ["", f"`smartdiet rejects {result.table}` lists the rejected documents and what is wrong with them."]
    if result.collapsed:
        lines += [
            "",
            f"{result.collapsed:,} items share their key with another one of their document, which is the row.",
        ]
    if result.undeclared:
        lines += ["", f"Fields that no table declares: {list_fields(result.undeclared)}."]
    if load.cascaded:
        touched = ", ".join(f"{rows:,} of {child}" for child, rows in load.cascaded.items())
        lines += ["", f"Rows whose parent went along with it, or lost the reference: {touched}."]
    return "\n".join(lines)


def _instant(naive_utc: datetime) -> dg.MetadataValue:
    return dg.MetadataValue.timestamp(naive_utc.replace(tzinfo=UTC))


def _describe_column(column: Column) -> str:
    if column.generated:
        source = "numbered by PostgreSQL"
    elif column.item_field:
        source = "from the array item: " + ", else ".join(
            {ITEM_ITSELF: "the item itself", ITEM_POSITION: "its place"}.get(path, path) for path in column.item_field
        )
    elif column.mongo_field:
        source = "from " + ", else ".join(column.mongo_field)
    elif column.source_column:
        source = f"from {column.source_column}"
    else:
        source = "tells the arrays apart"
    return f"{column.description} ({source})" if column.description else source[0].upper() + source[1:]


def _describe_constraints(table: Table, column: Column) -> list[str]:
    constraints = []
    if column.name in table.primary_key:
        constraints.append("primary key")
    if (reference := column.foreign_key) is not None:
        constraints.append(f"references {reference.table}({reference.column})")
    constraints.extend(f"unique ({', '.join(unique)})" for unique in table.unique_constraints if column.name in unique)
    return constraints
