"""`smartdiet doctor`."""

import json
import sys
import time

import click


@click.command(short_help="Look at everything a run needs, and say what to do.")
@click.option("--alert", is_flag=True, help="Also send a test message to SMARTDIET_ALERT_URL, and say what came back.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def doctor(alert: bool, as_json: bool) -> None:
    """Look at everything a run needs: settings, schema files, Dagster, servers, rights, indexes. Changes nothing.

    A line for each thing looked at, with what to do. Exits 1 if one failed, 2 if nothing could be looked at.
    """
    from smartdiet_assets.cli.reports import open_console
    from smartdiet_assets.doctor.run import DoctorReport, examine_all, print_finding, print_summary

    started = time.perf_counter()
    console = open_console()
    findings = []
    for finding in examine_all(alert=alert):
        findings.append(finding)
        if not as_json:
            print_finding(console, finding)
    report = DoctorReport(findings, time.perf_counter() - started)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        print_summary(console, report)
    sys.exit(report.exit_code)
