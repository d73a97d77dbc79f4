"""What the tests of tunnels share: both SSH servers, and resources that are closed however a test ends."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from smartdiet_assets_tests.support.remote import AnySshServer, through


@pytest.fixture(params=["ssh_server", "sshd"])
def either_server(request: pytest.FixtureRequest) -> Iterator[AnySshServer]:
    """The SSH server of this process, then the real sshd; at the end nobody may be connected to it any more."""
    server: AnySshServer = request.getfixturevalue(request.param)
    yield server
    server.wait_until_left()


@pytest.fixture
def reach() -> Iterator[Callable[..., Any]]:
    """Build a resource that leads through SSH, of one that does not (see `remote.through`)."""
    with ExitStack() as stack:

        def build(*arguments: Any, **changes: Any) -> Any:
            resource = through(*arguments, **changes)
            stack.callback(resource.close)
            return resource

        yield build
