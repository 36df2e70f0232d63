"""The orchestrator for tests, one real, temporary Prefect engine a session; and one published smoke night."""

from __future__ import annotations

import logging
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
    """A home with one published smoke night, and everything it logged in ``night.log``."""
    from flows.nightly import nightly

    place = tmp_path_factory.mktemp("home")
    log = logging.getLogger("nightfolio")
    level, handler = log.level, logging.FileHandler(place / "night.log")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    nightly("smoke", home=place)
    log.removeHandler(handler)
    log.setLevel(level)
    handler.close()
    return place


@pytest.fixture(scope="session")
def run(home: Path) -> Path:
    current = RunStore(home).find("2024-06-28-01")
    assert current.parent.name == "published"
    return current
