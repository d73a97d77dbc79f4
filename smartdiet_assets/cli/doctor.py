"""`smartdiet doctor`."""

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from smartdiet_assets.resources.checking import Finding


@click.command(short_help="Look at everything a run needs, and say what to do.")
@click.option("--alert", is_flag=True, help="Also send a test message to SMARTDIET_ALERT_URL, and say what came back.")
@click.option("--workers", is_flag=True, help="Also ask each worker, on any machine, what its doctor finds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def doctor(alert: bool, workers: bool, as_json: bool) -> None:
    """Look at everything a run needs: settings, schema files, Dagster, servers, rights, indexes. Changes nothing.

    A line for each thing looked at, with what to do. Exits 1 if one failed, 2 if nothing could be looked at.
    """
    from smartdiet_assets.cli.reports import open_console
    from smartdiet_assets.doctor.run import DoctorReport, examine_all, print_finding, print_summary

    started = time.perf_counter()
    console = open_console()
    findings = []
    for finding in itertools.chain(examine_all(alert=alert), _examine_workers() if workers else ()):
        findings.append(finding)
        if not as_json:
            print_finding(console, finding)
    report = DoctorReport(findings, time.perf_counter() - started)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        print_summary(console, report)
    sys.exit(report.exit_code)


def _examine_workers() -> "Iterator[Finding]":
    from smartdiet_assets.assets.workers.extra import require_celery
    from smartdiet_assets.errors import SmartdietError
    from smartdiet_assets.resources.declarations import load_declared
    from smartdiet_assets.resources.environment import read_usable

    require_celery()
    from smartdiet_assets.assets.workers.asking import examine_workers

    # What of either cannot be used has been said.
    environment, _ = read_usable(os.environ)
    schema = None
    with suppress(SmartdietError):
        schema = load_declared(environment)
    yield from examine_workers(environment.broker_url, schema)
