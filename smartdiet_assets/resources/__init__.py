"""The servers the mirror talks to, as typed Dagster resources, and what the environment says about them."""
