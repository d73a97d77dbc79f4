"""Rows out of Matomo (MariaDB)."""
