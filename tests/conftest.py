"""Fixtures that every room shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
