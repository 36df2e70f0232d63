"""The orchestrator for tests, one real, temporary Prefect engine a session; and one published smoke night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.run_store import RunStore


@pytest.fixture(scope="session")
def prefect_engine() -> Iterator[None]:
    """Prefect's own harness: a temporary database and server (7-11 s to enter, so once)."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, prefect_engine: None) -> Path:
    """A home with one published smoke night."""
    from flows.nightly import nightly

    place = tmp_path_factory.mktemp("home")
    nightly("smoke", home=place)
    return place


@pytest.fixture(scope="session")
def run(home: Path) -> Path:
    current = RunStore(home).find("2024-06-28-01")
    assert current.parent.name == "published"
    return current
