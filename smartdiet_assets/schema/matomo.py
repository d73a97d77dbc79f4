"""What is known of Matomo's tables without asking the server: the prefix of their names, and which have a time."""

#: What Matomo's installer proposes, and what the replaced tool's file writes out in every name.
DEFAULT_PREFIX = "matomo_"

#: When a row last changed, by the table's name without prefix. A table that is not here, and declares no
#: `time_column`, is only ever added to, and read by its key.
KNOWN_TIME_COLUMNS = {
    "log_visit": "visit_last_action_time",
    "log_link_visit_action": "server_time",
}


#: The tables the mirror knows without being told more.
KNOWN_TABLES = ("log_action", "log_visit", "log_link_visit_action")


def compose_source_name(source_table: str, prefix: str) -> str:
    """Compose the name a declared table has on a server: with the server's prefix, whichever it was declared with.

    `matomo_log_visit` and `log_visit` are the same declaration. A name that starts with the server's own prefix is
    used as it is.
    """
    if prefix and source_table.startswith(prefix):
        return source_table
    return prefix + source_table.removeprefix(DEFAULT_PREFIX)
