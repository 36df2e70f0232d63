"""Values of a column are counted in the footers of its files, and by a scan where a footer does not say."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from data_contracts.checkpoint import CONTRACTS
from data_contracts.contents import compare_contents
from data_contracts.samples import example_table

ASSETS = CONTRACTS["assets"]


def table(folder: Path, filled: int, rows: int, *, statistics: bool = True, parts: int = 1) -> Path:
    """Assets of which so many have a sector, in so many files."""
    frame = example_table(ASSETS, tuple({"sector": "Energy" if n < filled else None} for n in range(rows)))
    path = folder / "assets.parquet"
    if parts == 1:
        folder.mkdir(parents=True)
        frame.write_parquet(path, statistics=statistics)
        return path
    path.mkdir(parents=True)
    for number in range(parts):
        frame.slice(number * rows // parts, rows // parts).write_parquet(path / f"{number}.parquet", row_group_size=3)
    return path


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("parts", [1, 4])
def test_lost_values(statistics: bool, parts: int, tmp_path: Path) -> None:
    before = table(tmp_path / "before", 30, 40)
    kept = table(tmp_path / "kept", 24, 40, statistics=statistics, parts=parts)
    assert compare_contents(ASSETS, kept, before).lost == (), "four of five values are enough"
    fewer = table(tmp_path / "fewer", 23, 40, statistics=statistics, parts=parts)
    assert compare_contents(ASSETS, fewer, before).lost == ("sector (75.0% filled before, 57.5% now)",)


def test_few_values_come_and_go(tmp_path: Path) -> None:
    before = table(tmp_path / "before", 9, 40)
    assert compare_contents(ASSETS, table(tmp_path / "now", 0, 40), before).lost == ()


def test_an_empty_table_has_lost_nothing(tmp_path: Path) -> None:
    before = table(tmp_path / "before", 30, 40)
    assert compare_contents(ASSETS, table(tmp_path / "now", 0, 0), before).lost == ()


def test_a_column_that_the_last_publication_did_not_have_is_not_lost(tmp_path: Path) -> None:
    before = table(tmp_path / "before", 30, 40)
    pl.read_parquet(before).drop("sector", "asset_class").write_parquet(before)
    found = compare_contents(ASSETS, table(tmp_path / "now", 0, 40), before)
    assert (found.lost, found.new, found.gone) == ((), (), ())
