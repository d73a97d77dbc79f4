"""The servers the mirror talks to, as typed Dagster resources, and what the environment says about them.

Here: settings, connections, their checks, and the one boundary where each driver's errors become ours.
Not here: any statement that reads documents (`extract`) or writes rows (`load`).
"""
