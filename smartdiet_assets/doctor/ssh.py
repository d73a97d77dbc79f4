"""What is looked at on the SSH server that leads to remote servers: that it answers, its host key, our login."""

from collections.abc import Iterator

from smartdiet_assets.errors import AuthenticationError, HostKeyError, ServerUnreachableError, SmartdietError
from smartdiet_assets.resources.access import Access, RemoteAccess
from smartdiet_assets.resources.checking import Finding, Part
from smartdiet_assets.resources.tunnel import Tunnel

SSH = Part("ssh")
#: In the order in which they come; what fails is told by its error.
_STEPS: tuple[tuple[str, type[SmartdietError]], ...] = (
    ("connection", ServerUnreachableError),
    ("host key", HostKeyError),
    ("login", AuthenticationError),
)


def examine_ssh(access: Access, timeout: float) -> Iterator[Finding]:
    """Examine the SSH server of an access; nothing where the server is reached directly.

    Args:
        timeout: seconds to connect, for its key and to log in, each.
    """
    if not isinstance(access, RemoteAccess):
        return
    tunnel = Tunnel(access, timeout)
    fault: SmartdietError | None = None
    try:
        tunnel.ensure()
    except SmartdietError as error:
        fault = error
    finally:
        tunnel.close()
    yield from judge_login(access, fault)


def judge_login(access: RemoteAccess, fault: SmartdietError | None) -> Iterator[Finding]:
    """Judge a login by what it failed with; None where it did not. Pure."""
    sentences = {
        "connection": f"The {access.describe()} answers.",
        "host key": "Its key is the one that is known.",
        "login": f"The user {access.spell('user')} is logged in.",
    }
    failed = next((check for check, error in _STEPS if isinstance(fault, error)), None)
    if fault is not None and failed is None:
        # A setting, or a file that one names: it comes before the connection, or is only needed for the login.
        yield SSH.failed("settings", f"{str(fault).rstrip('.')}.")
        return
    for check, sentence in sentences.items():
        if check == failed:
            yield SSH.failed(check, f"{str(fault).rstrip('.')}.")
            return
        yield SSH.passed(check, sentence)
