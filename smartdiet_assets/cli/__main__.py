"""`python -m smartdiet_assets.cli`, where no `smartdiet` is on the path."""

from smartdiet_assets.cli import main

main()
