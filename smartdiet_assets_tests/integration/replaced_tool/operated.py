"""What an operator runs beside the mirror, on databases full of marks, and a look for marks in all of it.

Here: the commands, the jobs, and running them. Not here: the marks (`planted`), what goes wrong, or tests.
"""

from pathlib import Path
from typing import Any

import psycopg

from smartdiet_assets_tests.integration.conftest import Smartdiet
from smartdiet_assets_tests.integration.replaced_tool.planted import Plant

COMMANDS = (
    "doctor", "doctor --json", "infer companies", "infer companies --all --append",
    "refresh mongo --to remote --target-name planted_copy", "refresh mongo --dry-run --sample 50 --json",
    "refresh postgres --sample 50 --json --target-name {name}", "refresh postgres --target-name {name}",
    "compare schema local", "compare local remote --data", "compare local remote --data --json",
    "compare local remote --sql --drop", "compare mongo remote --data --json --limit 0",
)  # fmt: skip


class Operated:
    """A plant, and a database of each kind behind an SSH server. Here `local` is the plant's own.

    Attributes:
        plant: what was planted.
        target: the URL of the remote PostgreSQL database, past its SSH server.
        name: its name.
    """

    def __init__(self, plant: Plant, target: str, smartdiet: Smartdiet, server_log: Path) -> None:
        self.plant = plant
        self.target = target
        self.name = str(psycopg.conninfo.conninfo_to_dict(target)["dbname"])
        self._smartdiet = smartdiet
        self._server_log = server_log
        self._logged = server_log.stat().st_size
        plant.set("REMOTE_POSTGRES_DATABASE", self.name)
        plant.set("SMARTDIET_REFRESH_JOBS", "true")

    def sync(self) -> None:
        """Mirror the documents into the local database."""
        assert self._smartdiet("sync").code == 0

    def edit(self, statement: str) -> None:
        """Run a statement in the target."""
        with psycopg.connect(self.target, autocommit=True) as connection:
            connection.execute(statement.encode())

    def run_commands(self, *starts: str) -> str:
        """Run the commands that start so, all by default; all they say, which nothing marked may be in."""
        said = []
        for line in COMMANDS:
            if line.startswith(starts or ""):
                done = self._smartdiet(*line.format(name=self.name).split())
                assert done.code in (0, 1, 2), line
                assert self.plant.find(done.out + done.err) == [], line
                said += [" ".join(done.out.split()), done.err]
        return "\n".join(said)

    def run_jobs(self, *names: str) -> str:
        """Run jobs in this process, all by default; all that is kept of them, which nothing marked may be in."""
        configurations: dict[str, Any] = {
            "doctor": {},
            "refresh_mongo": {"copy_mongo": {"config": {"to": "remote", "target_name": "planted_copy"}}},
            "refresh_postgres": {"copy_postgres": {"config": {"target_name": self.name}}},
        }
        said = {name: self.plant.run_job(name, configurations[name]) for name in names or configurations}
        for name, text in said.items():
            assert self.plant.find(text) == [], name
        return "\n".join(said.values())

    def read_server_log(self) -> str:
        """Read what PostgreSQL has logged since this was made."""
        with self._server_log.open("rb") as log:
            log.seek(self._logged)
            return log.read().decode(errors="replace")
