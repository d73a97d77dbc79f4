"""The demo: embedded servers, a data generator and the run that shows the mirror on them.

Nothing outside `demo`, the tests and the `demo` command imports from here: these are real parts to try the
product on, never part of it.
"""
