"""`smartdiet demo`."""

import sys
from pathlib import Path

import click


@click.command(short_help="Mirror a generated company on embedded servers.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the servers keep their data.",
)
@click.option(
    "--scale",
    default=0.01,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Size of the company; 1 is the size of the real one.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same company.")
@click.option("--serve", is_flag=True, help="Open Dagit on the mirrored data afterwards.")
@click.option(
    "--port",
    default=3000,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Where Dagit listens, with --serve.",
)
def demo(folder: Path | None, scale: float, seed: int, serve: bool, port: int) -> None:
    """Mirror a generated company on embedded servers: a first load, a day of changes, a second run."""
    from smartdiet_assets.demo.run import run_demo

    sys.exit(run_demo(folder, scale=scale, seed=seed, serve=serve, port=port))
