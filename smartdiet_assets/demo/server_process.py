"""Starting an embedded server's process: under another account, with nothing of the caller's environment."""

import os
import signal
import sys
from pathlib import Path

from smartdiet_assets.demo.postgres_placement import Account

#: Where distributions put servers that are not on a user's path.
SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin")

# Drops to the account, asks the kernel for a shutdown when the parent ends (a request that a change of account
# cancels, hence the order), and becomes the server. A preexec_fn is not safe where threads run.
_LAUNCHER = """
import ctypes, os, sys
parent, uid, gid, request = map(int, sys.argv[1:5])
libc = ctypes.CDLL(None)
if uid >= 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if sys.platform == "linux":
    libc.prctl(1, request, 0, 0, 0)
if os.getppid() != parent:
    sys.exit("the process that asked for the server has ended")
os.execv(sys.argv[5], sys.argv[5:])
"""


def compose_launch(account: Account | None, command: list[str], stop: signal.Signals = signal.SIGINT) -> list[str]:
    """Compose the command that starts a server; `stop` is what it is sent when this process ends."""
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    numbers = (os.getpid(), uid, gid, int(stop))
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, numbers), *command]


def compose_environment() -> dict[str, str]:
    """Nothing of the caller's: its PG variables and its language would change what the server does.

    An installer may be a shell script that looks for programs.
    """
    return {"LC_ALL": "C", "PATH": os.pathsep.join([os.defpath, *SERVER_FOLDERS])}


def write_private(path: Path, text: str, owner: Account | None) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
        if owner is not None:
            os.fchown(descriptor, owner.uid, owner.gid)
