"""Sling: its own program, which reads the server and writes PostgreSQL; documents become columns (`flatten`).

Not here: measuring. Nothing is asked of the network: no telemetry, no newer version.
"""

import json
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from smartdiet_assets_tests.benchmarks.peers import Source

#: Documents looked at before a table is created, where there are arrays: it cannot add a column for one it meets later,
#: and some fields are in one document of ten thousand.
_SAMPLE = {"SLING_SAMPLE_SIZE": "1000000"}


class SlingError(Exception):
    """Sling ended with an error; the message holds the last lines it printed."""


def load_with_sling(source: Source, dsn: str, schema: str) -> None:
    """Load collections, one stream each, in one run."""
    from sling_linux_amd64 import SLING_BIN

    replication = {
        "source": "BENCHMARK_SOURCE",
        "target": "BENCHMARK_TARGET",
        "defaults": {"mode": "full-refresh", "source_options": {"flatten": True}},
        "streams": {f"{source.database}.{name}": {"object": f"{schema}.{name}"} for name in source.collections},
    }
    with TemporaryDirectory(prefix="smartdiet-sling-") as folder:
        # JSON is YAML.
        path = Path(folder, "replication.yaml")
        path.write_text(json.dumps(replication))
        ended = subprocess.run(
            [SLING_BIN, "run", "--replication", str(path)],
            env={
                **os.environ,
                "HOME": folder,
                "SLING_HOME_DIR": folder,
                "SLING_DISABLE_TELEMETRY": "true",
                **(_SAMPLE if source.has_arrays else {}),
                "BENCHMARK_SOURCE": source.uri,
                "BENCHMARK_TARGET": f"{dsn}?sslmode=disable",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    if ended.returncode:
        raise SlingError("\n".join((ended.stdout + ended.stderr).splitlines()[-5:]))
