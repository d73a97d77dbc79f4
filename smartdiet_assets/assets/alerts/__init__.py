"""Alerts: somebody hears once of what is wrong, and once that it is over.

`state` what is remembered; `decisions` what is news, and its words; `runs`, `observation` what is looked at; `delivery`
sending it; `sensor` all of it at a tick, and Dagster's e-mail beside it.
"""
