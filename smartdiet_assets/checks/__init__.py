"""Whether the mirror shows what its source holds: facts fetched in a few statements, judged by pure functions.

Here: the kinds of check, their facts, and what the facts mean. Not here: Dagster (`assets.checks`) or what the command
line prints (`cli.check_report`); both run `checks.evaluation`.
"""
