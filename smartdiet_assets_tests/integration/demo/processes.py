"""Whether a process has ended: an embedded server leaves none behind."""

import time
from pathlib import Path


def is_gone(pid: int, seconds: float = 20) -> bool:
    """Whether a process that is not our child ends in time; a zombie has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
