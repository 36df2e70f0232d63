"""Whether there is enough data per customer, band by band, literally."""

from __future__ import annotations

import polars as pl
import pytest

from reports.ranking import summarise
from reports.sufficiency import accuracy_by_band, level, sentence, sufficiency
from tests.reports.test_ranking import random_models

LENGTHS = pl.Series([0, 1, 4, 5, 49, 50, 99, 100, 499, 500])


def test_bands_levels_and_shares_literally() -> None:
    found = sufficiency(LENGTHS)
    assert found.rows() == [
        ("0", "below the minimum", 1, 0.1, 0),
        ("1-4", "below the minimum", 2, 0.2, 5),
        ("5-9", "below the minimum", 1, 0.1, 5),
        ("10-49", "below the minimum", 1, 0.1, 49),
        ("50-99", "minimum", 2, 0.2, 149),
        ("100-499", "above the minimum", 2, 0.2, 599),
        ("500-4999", "preferred", 1, 0.1, 500),
        ("5000+", "optimal", 0, 0.0, 0),
    ]
    assert sentence(found) == (
        "130.7 interactions per customer on average; 50.0 % of 10 customers have fewer than 50 (the minimum is 50 to 100), "
        "40.0 % have 50 to 499, 10.0 % the preferred 500 and more, 0.0 % the optimal 5,000 and more"
    )


def test_nobody_is_no_crash() -> None:
    found = sufficiency(pl.Series([], dtype=pl.Int64))
    assert found["customers"].sum() == 0
    assert found["share"].to_list() == [0.0] * 8
    assert sentence(found).startswith("0 interactions per customer")


@pytest.mark.parametrize(("least", "name"), [(49, "below the minimum"), (50, "minimum"), (4999, "preferred"), (5000, "optimal")])
def test_levels(least: int, name: str) -> None:
    assert level(least) == name


def test_accuracy_stands_beside_its_band() -> None:
    lengths = [3, 60] * 40
    customers = pl.DataFrame({"customer": range(80), "history_length": lengths})
    summary = summarise(random_models(), customers, n_items=30)
    table = accuracy_by_band(sufficiency(pl.Series(lengths)), summary, 10)
    assert table.columns[-3:] == ["scored", "popularity", "better"]
    assert dict(table.select("band", "scored").iter_rows()) == {
        "0": 0, "1-4": 40, "5-9": 0, "10-49": 0, "50-99": 40, "100-499": 0, "500-4999": 0, "5000+": 0,
    }  # fmt: skip
    everyone = summary.filter((pl.col("segment_kind") == "all") & (pl.col("model") == "better"))["ndcg_at_10"][0]
    assert table["better"].drop_nulls().mean() == pytest.approx(everyone)
