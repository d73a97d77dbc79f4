"""The job `doctor`: the servers examined from within Dagster, with the connections that its runs have.

Here: one step for each server, what it shows, and that it fails where a finding does. Not here: what is looked at
(`doctor.servers`), or settings and files, without which Dagster would not have loaded this (`smartdiet doctor`).
No postponed annotations in this module: Dagster reads the annotation of `context`.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

import dagster as dg

from smartdiet_assets.assets.failures import StepFailure
from smartdiet_assets.assets.jobs import build_tags
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.mirror.failures import describe_origin
from smartdiet_assets.resources.checking import Finding, Part
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.schema.sources import SourceKind

DOCTOR_JOB = "doctor"
_MARKS = {"passed": "✓", "warning": "!", "failed": "✗", "not_examined": "–"}
_MARKDOWN = re.compile(r"[<>&|`*\[\]]")
#: From a step's resources (`context.resources`) to what it found.
Examine = Callable[[Any], Iterator[Finding]]


def build_doctor_job(schema: Schema, names: MirrorNames, known: Collection[str]) -> dg.JobDefinition:
    """Build the job; the steps do not wait for each other, and a source has one where tables are read from it.

    Args:
        known: the tables whose source is there.
    """
    kinds = list(dict.fromkeys(schema.tables[name].source_kind for name in known))
    # Which columns a table has that mirrors all of a source's, the source says.
    telling = [kind for kind in kinds if not kind.has_documents]

    def examine_target(resources: Any) -> Iterator[Finding]:
        from smartdiet_assets.doctor.servers import examine_postgres, examine_way
        from smartdiet_assets.resources.postgres_rights import POSTGRES

        postgres = getattr(resources, names.postgres)
        servers = {kind.name: getattr(resources, names.name_source(kind)) for kind in telling}
        configured = [kind.name for kind in kinds]
        return examine_way(
            POSTGRES, postgres, lambda: examine_postgres(postgres, schema, servers, configured=configured)
        )

    def examine_source(kind: SourceKind, resources: Any) -> Iterator[Finding]:
        from smartdiet_assets.doctor.servers import examine_source, examine_way

        server = getattr(resources, names.name_source(kind))
        return examine_way(Part(kind.name), server, lambda: examine_source(kind, server, schema))

    needed = {names.postgres, *map(names.name_source, telling)}
    steps = [_build_step(names, "examine_postgres", "PostgreSQL", needed, examine_target)]
    for kind in kinds:
        keys = {names.name_source(kind)}
        steps.append(_build_step(names, f"examine_{kind.name}", kind.server, keys, partial(examine_source, kind)))

    @dg.job(
        name=names.derive(DOCTOR_JOB),
        description="Look at what runs need of every server: connection, rights, tables, indexes. Changes nothing.",
        tags=build_tags(schema, known, DOCTOR_JOB, mirror=names.name),
    )
    def job() -> None:
        for step in steps:
            step()

    return job


def build_findings_table(findings: Sequence[Finding]) -> str:
    """Build the Markdown table that Dagit shows of a step."""
    lines = ["| | check | what was found |", "|---|---|---|"]
    for finding in findings:
        below = [*map(_escape, finding.details), *map(_mark_as_code, finding.statements)]
        text = "<br>".join([_escape(finding.sentence), *below])
        lines.append(f"| {_MARKS[finding.status]} | {_label(finding)} | {text} |")
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Keep what Markdown or HTML would take for more than text, and what would end the table's cell."""
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", " ".join(text.splitlines()))


def _mark_as_code(statement: str) -> str:
    # Nothing is escaped inside of code: it ends at as many backticks as it begins with.
    longest = max((len(run) for run in re.findall("`+", statement)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if longest else ""
    return f"{fence}{blank}{' '.join(statement.splitlines())}{blank}{fence}".replace("|", "\\|")


def _build_step(names: MirrorNames, name: str, server: str, resources: set[str], examine: Examine) -> dg.OpDefinition:
    @dg.op(
        name=names.derive(name),
        description=f"Look at {server}; the findings are in the metadata of the step's output, or of its failure.",
        required_resource_keys=resources,
        out=dg.Out(dg.Nothing),
    )
    def step(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
        findings = []
        try:
            for found in examine(context.resources):
                findings.append(finding := found.model_copy(update={"sentence": names.spell(found.sentence)}))
                _log(context, finding)
        except Exception as error:  # noqa: BLE001 - the text of an error that is nobody's may hold a value
            raise StepFailure(f"{name}: unexpected {type(error).__name__} at {describe_origin(error)}") from None
        metadata = {
            "findings": dg.MetadataValue.md(build_findings_table(findings)),
            **{
                status: dg.MetadataValue.int(sum(finding.status == status for finding in findings))
                for status in ("failed", "warning", "not_examined")
            },
        }
        if faults := [_spell(finding) for finding in findings if finding.failed]:
            raise StepFailure("\n".join(faults), metadata)
        yield dg.Output(None, metadata=metadata)

    return step


def _log(context: dg.OpExecutionContext, finding: Finding) -> None:
    write = {"failed": context.log.error, "warning": context.log.warning}.get(finding.status, context.log.info)
    write("%s %s", _MARKS[finding.status], _spell(finding))


def _label(finding: Finding) -> str:
    """Name a finding within its step; the SSH server in front of the step's server has its own name."""
    return f"SSH {finding.check}" if finding.part == "ssh" else finding.check


def _spell(finding: Finding) -> str:
    return "\n".join([f"{_label(finding)}: {finding.sentence}", *finding.details, *finding.statements])
