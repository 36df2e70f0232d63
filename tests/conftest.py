"""Fixtures that every room shares."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# The same examples every time, however long they take: what a commit is refused for lies in it, not in the draw or the load.
# New ones are drawn by `pytest --hypothesis-profile default`.
hypothesis.settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("house")

# Real data lies beside the checkout; NIGHTFOLIO_TEST_DATA names another place.
SHARED = Path(os.environ.get("NIGHTFOLIO_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def real_data(name: str) -> Path:
    """The folder of a real data set, or skip (and say so) where it is absent."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"real data set {name!r} is absent: set NIGHTFOLIO_TEST_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def far_trans_dir() -> Path:
    return real_data("far_trans")
