"""What is dated after as_of, altered and added in every table, moves no byte of a night; and the proof can fail."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from flows.bench import point_in_time
from flows.bench.later_rows import LAYOUTS, MUTATIONS, mutate
from flows.bench.point_in_time import prove
from flows.config import load_config
from flows.ingest import simulated_folder

AS_OF = date(2024, 3, 29)
TABLES = {"transactions", "prices", "customers", "assets", "delivered_holdings", "restricted"}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated_folder(load_config("smoke").simulation, tmp_path_factory.mktemp("home"))


def test_later_rows_of_the_simulated_market_reach_no_file(market: Path, tmp_path: Path) -> None:
    altered, added = prove(market, "nightfolio", AS_OF, "firm", tmp_path, ("altered", "added"))
    assert (altered.different, altered.renumbered) == ([], [])
    assert (added.different, added.renumbered) == ([], [])
    assert {
        "snapshot/transactions.parquet",
        "snapshot/holdings.parquet",
        "histories/events.arrow",
        "contracts/verdicts.json",
    } < set(altered.equal)
    assert "recommendations/recommendations.parquet" in altered.equal
    assert set(added.touched) == TABLES
    assert all(added.touched.values())
    assert altered.touched["transactions"] > 100


def test_the_real_reconstruction_is_not_moved_by_its_later_rows(far_trans_dir: Path, tmp_path: Path) -> None:
    (altered,) = prove(far_trans_dir, "far_trans", date(2021, 1, 31), "far_trans", tmp_path, ("altered",))
    assert (altered.different, altered.renumbered) == ([], [])
    assert altered.touched["transactions"] > 8000
    assert altered.touched["customers"] > 8000


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_leaves_every_earlier_row_as_it_was(mutation: str, market: Path, tmp_path: Path) -> None:
    touched = mutate(market, "nightfolio", AS_OF, mutation, tmp_path / "changed")  # type: ignore[arg-type]
    assert set(touched) == TABLES
    for file in LAYOUTS["nightfolio"]:
        before, after = (pl.read_parquet(folder / f"{file.stem}.parquet") for folder in (market, tmp_path / "changed"))
        earlier = pl.col(file.day) <= AS_OF
        kept = [name for name in before.columns if file.answered is None or name not in (file.answered[0], *file.answered[1])]
        assert before.filter(earlier).select(kept).equals(after.filter(earlier).select(kept)), file.stem
        assert before.equals(after) == (touched[file.table] == 0), file.stem


def test_a_file_that_differs_is_told_from_one_whose_rows_were_renumbered(tmp_path: Path) -> None:
    nights = [tmp_path / name for name in ("before", "after")]
    for night in nights:
        for part in ("snapshot", "contracts"):
            (night / part).mkdir(parents=True)
        (night / "contracts" / "verdicts.json").write_text("[]")
    rows = pl.DataFrame({"x": [1, 2], "_source_row": [3, 4]})
    changes = {
        "same": rows,
        "renumbered": rows.with_columns(pl.col("_source_row") - 1),
        "changed": rows.with_columns(pl.col("x") + 1),
        "shorter": rows.head(1),
    }
    for name, frame in changes.items():
        rows.write_parquet(nights[0] / "snapshot" / f"{name}.parquet")
        frame.write_parquet(nights[1] / "snapshot" / f"{name}.parquet")
    rows.write_parquet(nights[0] / "snapshot" / "gone.parquet")
    found = point_in_time.compare("altered", {}, *nights)
    assert found.equal == ["contracts/verdicts.json", "snapshot/same.parquet"]
    assert found.renumbered == ["snapshot/renumbered.parquet"]
    assert found.different == ["snapshot/changed.parquet", "snapshot/gone.parquet", "snapshot/shorter.parquet"]
