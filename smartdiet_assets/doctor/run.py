"""`smartdiet doctor`: everything a run needs, looked at before there is one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from dagster import DagsterError
from rich.console import Console
from rich.text import Text

from smartdiet_assets.doctor.alerts import examine_webhook
from smartdiet_assets.doctor.dagster_instance import examine_instance
from smartdiet_assets.doctor.servers import EXAMINED, examine_postgres, examine_source, skip_behind
from smartdiet_assets.doctor.settings import SETTINGS, ExaminedSettings
from smartdiet_assets.doctor.ssh import examine_ssh
from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.resources.access import RemoteAccess
from smartdiet_assets.resources.checking import Finding, Part
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.postgres import build_postgres_resource
from smartdiet_assets.resources.postgres_rights import POSTGRES
from smartdiet_assets.resources.tunnel import keep_connections
from smartdiet_assets.schema.sources import SourceKind

_MARKS = {"passed": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red"), "not_examined": ("–", "dim")}
_NAMES = {
    "settings": "Settings", "schema": "Schema", "dagster": "Dagster", "ssh": "SSH", "mongodb": "MongoDB",
    "matomo": "Matomo", "postgres": "PostgreSQL", "alerts": "Alerts",
}  # fmt: skip
#: As wide as the longest name of a part and a check.
_LABEL_WIDTH = 27


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Everything that was found, and how long it took."""

    findings: Sequence[Finding]
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 where nothing failed, 1 where something did, 2 where nothing at all could be examined."""
        if not any(finding.status in ("passed", "warning") for finding in self.findings):
            return 2
        return 1 if self.count("failed") else 0

    def count(self, status: str) -> int:
        return sum(finding.status == status for finding in self.findings)

    def as_json(self) -> dict[str, object]:
        """The object `--json` prints."""
        return {
            "findings": [finding.model_dump(mode="json") for finding in self.findings],
            "failed": self.count("failed"),
            "warnings": self.count("warning"),
            "not_examined": self.count("not_examined"),
            "seconds": round(self.seconds, 3),
        }


def examine_all(*, alert: bool = False) -> Iterator[Finding]:
    """Examine settings, schema files, Dagster and every configured server; a finding as soon as it is known.

    Args:
        alert: whether to send a test message where alerts go, too.
    """
    settings = ExaminedSettings()
    yield from settings.examine_settings()
    environment = settings.environment
    if environment is None:
        yield SETTINGS.skipped("the rest", "Not examined: what the .env says is not known.")
        return
    yield from settings.examine_schema(environment)
    yield from examine_instance(environment)
    if alert:
        yield from examine_webhook(environment, settings.unusable)
    # One login serves all of them.
    with keep_connections():
        yield from _Servers(environment, settings).examine()


def print_finding(console: Console, finding: Finding) -> None:
    """Print a finding as a line, and below it what it sums up and the statements that resolve it."""
    mark, style = _MARKS[finding.status]
    label = f"{_NAMES.get(finding.part, finding.part)} {finding.check}"
    line = Text.assemble((mark, style), " ", (f"{label:<{_LABEL_WIDTH}}", "bold"), " ", finding.sentence)
    # Not wrapped: a statement is copied, and a line is found again by its beginning.
    console.print(line, soft_wrap=True, highlight=False)
    for below in (*finding.details, *finding.statements):
        console.print(Text(f"    {below}"), soft_wrap=True, highlight=False)


def print_summary(console: Console, report: DoctorReport) -> None:
    """Print the last line: how many failed, or that nothing did."""
    failed, warnings = report.count("failed"), report.count("warning")
    noted = f"{warnings} warning{'s' * (warnings != 1)}"
    text = f"{failed} failed, {noted}." if failed else f"Nothing keeps the mirror from running; {noted}."
    console.print(Text(text, style="bold"), soft_wrap=True, highlight=False)


class _Servers:
    """The configured servers, examined one after the other; the SSH server in front of several of them once."""

    def __init__(self, environment: Environment, settings: ExaminedSettings) -> None:
        self._environment = environment
        self._settings = settings
        self._schema = settings.schema
        #: Whether the SSH server can be used; None where nothing needed it so far.
        self._ssh_usable: bool | None = None

    def examine(self) -> Iterator[Finding]:
        """Examine each server that a table is read from, and the one they are written to."""
        declared = self._schema.sources if self._schema else tuple(EXAMINED)
        kinds = [*(kind for kind in EXAMINED if kind in declared), *(kind for kind in declared if kind not in EXAMINED)]
        configured = [kind for kind in kinds if self._is_configured(kind)]
        answering: list[SourceKind] = []
        for kind in kinds:
            if kind in configured:
                for finding in self._examine_source(kind):
                    if (finding.part, finding.check, finding.status) == (kind.name, "connection", "passed"):
                        answering.append(kind)
                    yield finding
            elif self._schema is not None:
                yield Part(kind.name).skipped("connection", f"Left out: {kind.unset}.")
        with ExitStack() as stack:
            # They say which columns the tables have that mirror all of a source's.
            servers = {
                kind.name: stack.enter_context(find_opener(kind).build_server(self._environment).open())
                for kind in answering
            }
            yield from self._examine(
                POSTGRES,
                "POSTGRES",
                build_postgres_resource,
                lambda postgres: examine_postgres(
                    postgres, self._schema, servers, configured=[kind.name for kind in configured]
                ),
            )

    def _is_configured(self, kind: SourceKind) -> bool:
        # What cannot be used says where it is, too.
        return self._environment.names(kind) or bool(self._settings.list_unusable(kind.name))

    def _examine_source(self, kind: SourceKind) -> Iterator[Finding]:
        return self._examine(
            Part(kind.name),
            kind.name.upper(),
            find_opener(kind).build_server,
            lambda server: examine_source(kind, server, self._schema),
        )

    def _examine(
        self, part: Part, server: str, build: Callable[[Environment], Any], examine: Callable[[Any], Iterator[Finding]]
    ) -> Iterator[Finding]:
        """Open a resource as a run would, and examine the way to its server, and the server."""
        if unusable := self._settings.list_unusable(server):
            yield part.skipped("connection", f"Not examined: {', '.join(unusable)} cannot be used.")
            return
        try:
            with build(self._environment).open() as resource:
                yield from self._examine_way(resource)
                if self._ssh_usable is False and _is_remote(resource):
                    yield skip_behind(part)
                else:
                    yield from examine(resource)
        except SmartdietError as error:
            yield part.failed("connection", f"{str(error).rstrip('.')}.")
        except DagsterError as error:
            # What Dagster says of a value quotes it.
            yield part.failed("connection", f"Its settings cannot be used ({type(error).__name__}): see .env.example.")

    def _examine_way(self, resource: Any) -> Iterator[Finding]:
        if self._ssh_usable is None and _is_remote(resource):
            findings = []
            for finding in examine_ssh(resource.access, resource.connect_timeout):
                findings.append(finding)
                yield finding
            self._ssh_usable = not any(finding.failed for finding in findings)


def _is_remote(resource: object) -> bool:
    return isinstance(getattr(resource, "access", None), RemoteAccess)
