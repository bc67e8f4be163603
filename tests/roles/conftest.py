"""Where a test of live processes runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.roles.live import Place, api_server, placed
from tests.support.apiserver import FakeAPIServer


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as made:
        yield made


@pytest.fixture
def api(place: Place) -> Iterator[FakeAPIServer]:
    """In the same network."""
    with api_server() as opened:
        yield opened
