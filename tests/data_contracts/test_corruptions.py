"""Every known corruption through the real ingest and contracts: none passes in silence, none ends in a bare error."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from data_contracts.corruptions.case import Corruption, identical, quarantined, refused
from data_contracts.corruptions.complaints import complaints
from data_contracts.corruptions.edits import cell, removed
from data_contracts.corruptions.registry import CORRUPTIONS
from data_contracts.corruptions.sample import PRICE_FILE, isin, sample_files
from data_contracts.corruptions.trial import Clean, attempt, clean_run
from data_contracts.isin import valid_isin

KINDS = {
    "bytes": 24,
    "encodings": 12,
    "delimiters": 19,
    "header": 12,
    "types": 27,
    "nulls": 18,
    "keys": 19,
    "dates": 19,
    "prices": 18,
    "units": 13,
    "references": 17,
    "volumes": 12,
    "duplicates": 14,
    "reordering": 6,
    "late and partial": 12,
    "concurrent": 5,
    "own layout: parts": 29,
    "own layout: types": 32,
    "own layout: text": 25,
    "own layout: tables": 29,
}


FIRST = list({one.kind: one for one in reversed(CORRUPTIONS)}.values())


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Clean:
    return clean_run(tmp_path_factory.mktemp("clean"))


def test_there_are_so_many_of_every_class_and_no_two_alike() -> None:
    assert Counter(one.kind for one in CORRUPTIONS) == KINDS
    assert len({(one.kind, one.name) for one in CORRUPTIONS}) == len(CORRUPTIONS)


def test_the_sample_is_the_same_every_time() -> None:
    files = sample_files()
    counts = {name: content.count(b"\n") - 1 for name, content in files.items() if name.endswith(".csv")}
    assert counts == {
        "customer_information.csv": 40,
        "asset_information.csv": 20,
        "close_prices.csv": 1300,
        "transactions.csv": 200,
        "markets.csv": 3,
        "restricted_list.csv": 2,
    }
    assert files["close_prices.csv"].splitlines()[1] == b"GR1000000009,2021-04-01,12.4375"
    assert pl.Series([isin(n) for n in range(20)]).to_frame("isin").select(valid_isin("isin").all()).item()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """The sound delivery in Nightfolio's own layout."""
    return clean_run(tmp_path_factory.mktemp("own"), "nightfolio")


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda one: f"{one.kind}: {one.name}")
def test_a_corruption_comes_to_what_it_must(corruption: Corruption, clean: Clean, own: Clean, tmp_path: Path) -> None:
    # The first of each class is taken through Great Expectations as well, as `nightfolio bench corruptions` does with all.
    sound = own if corruption.layout == "nightfolio" else clean
    assert complaints(corruption, attempt(corruption, sound, tmp_path, ask_library=corruption in FIRST), sound) == []


def test_a_trial_can_fail(clean: Clean, tmp_path: Path) -> None:
    spoilt = Corruption(
        "a close of zero", "prices", cell(PRICE_FILE, 30, closePrice="0"), quarantined("prices", "close_above_0", 1)
    )
    found = attempt(spoilt, clean, tmp_path)
    assert complaints(spoilt, found, clean) == []
    for expected, said in [
        (identical(), "quarantined instead of identical"),
        (quarantined("prices", "close_above_0", 2), "1 found instead of 2"),
        (quarantined("prices", "close_not_null", 1), "prices.close_not_null found nothing"),
        (quarantined("prices", "close_above_0", 1, assets=1), "accepted rows lost: {'prices': 1}"),
        (refused(PRICE_FILE, "no such words"), "'no such words' is not in the message"),
    ]:
        assert said in " ".join(complaints(replace(spoilt, expected=expected), found, clean))
    assert "rows are not conserved" in complaints(spoilt, replace(found, conserved=False), clean)
    assert complaints(spoilt, replace(found, crash="Traceback\nValueError: x"), clean) == ["a bare error: ValueError: x"]
    silent = replace(found, findings=(), outcome="identical", same_rows=False, same_bytes=False)
    assert "accepted tables differ" in " ".join(complaints(replace(spoilt, expected=identical()), silent, clean))


def test_a_bare_error_is_seen_as_one(clean: Clean, tmp_path: Path) -> None:
    spoilt = Corruption("a fault of ours", "bytes", removed("no such file"), identical())
    assert complaints(spoilt, attempt(spoilt, clean, tmp_path), clean)[0].startswith("a bare error: FileNotFoundError")
