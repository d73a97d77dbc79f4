"""`smartdiet …`, one module a command: options in, a report and an exit code out. What they do is in `operations`."""
