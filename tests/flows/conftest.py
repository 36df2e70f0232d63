"""The orchestrator for tests: one real, temporary Prefect engine a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def prefect_engine() -> Iterator[None]:
    """Prefect's own harness: a temporary database and server (7-11 s to enter, so once)."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
