"""Drift: known distances, planted drift, and everything that Evidently could not take."""

from __future__ import annotations

import re
from math import log, sqrt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reports.drift import EVIDENTLY_FILE, MISSING, drift_report
from reports.drift_columns import HOLDINGS, RECOMMENDATIONS, TRADES, DriftColumn, feature_columns

COLUMNS = (DriftColumn("side", "jensenshannon", 0.1), DriftColumn("value", "wasserstein", 0.1))


def table(rows: int = 2000, *, shift: float = 0.0, sells: float = 0.2, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "side": np.where(rng.random(rows) < sells, "sell", "buy"),
            "value": rng.normal(10 + shift, 2, rows),
        }
    )


def test_first_publication_has_nothing_to_compare_with(tmp_path: Path) -> None:
    verdict = drift_report("trades", None, table(), COLUMNS, html=tmp_path / "drift.html")
    assert (verdict.outcome, verdict.columns, verdict.page) == ("not_compared", (), "")
    assert verdict.note == "First publication: there is nothing to compare with."
    assert not (tmp_path / "drift.html").exists()


def test_same_rows_have_no_distance() -> None:
    verdict = drift_report("trades", table(), table(), COLUMNS)
    assert verdict.outcome == "pass"
    assert [column.score for column in verdict.columns] == [0.0, 0.0]
    assert verdict.drifted_share == 0.0


def test_known_distances() -> None:
    before = pl.DataFrame({"side": ["buy"] * 100, "value": [0.0, 2.0] * 50})
    after = pl.DataFrame({"side": ["sell"] * 100, "value": [1.0, 3.0] * 50})
    side, value = drift_report("trades", before, after, COLUMNS).columns
    # Disjoint categories: the greatest Jensen-Shannon distance. Shift by 1, and the deviation before is 1.
    assert side.score == pytest.approx(sqrt(log(2)))
    assert value.score == pytest.approx(1.0)


def test_planted_drift_is_found_and_says_where() -> None:
    verdict = drift_report("trades", table(), table(shift=1.0, seed=1), COLUMNS, drift_share=0.5)
    side, value = verdict.columns
    assert (side.drifted, value.drifted) == (False, True)
    assert value.score == pytest.approx(0.5, abs=0.1)  # the shift in standard deviations
    assert (verdict.outcome, verdict.drifted_share) == ("drift", 0.5)
    # The same finding is below the limit of a table that may drift in more columns.
    assert drift_report("trades", table(), table(shift=1.0, seed=1), COLUMNS, drift_share=0.6).outcome == "pass"


def test_threshold_itself_counts_as_drifted() -> None:
    before, after = pl.DataFrame({"value": [0.0, 2.0] * 50}), pl.DataFrame({"value": [1.0, 3.0] * 50})
    (column,) = drift_report("t", before, after, (DriftColumn("value", "wasserstein", 1.0),)).columns
    assert column.drifted


def test_missing_columns_are_said_and_do_not_count() -> None:
    verdict = drift_report("trades", table().drop("value"), table(), COLUMNS)
    side, value = verdict.columns
    assert side.drifted is False
    assert (value.drifted, value.note) == (None, "Not compared: the previous table has no such column.")
    assert verdict.drifted_share == 0.0


def test_column_that_is_empty_on_both_sides_is_said() -> None:
    empty = table().with_columns(value=pl.lit(None, dtype=pl.Float64))
    value = drift_report("trades", empty, empty, COLUMNS).columns[1]
    assert (value.drifted, value.note) == (None, "Not compared: every value is missing on both sides.")
    assert (value.reference_null_share, value.current_null_share) == (1.0, 1.0)


def test_losing_every_value_is_drift() -> None:
    lost = table().with_columns(value=pl.lit(None, dtype=pl.Float64))
    value = drift_report("trades", table(), lost, COLUMNS).columns[1]
    assert (value.score, value.drifted) == (None, True)
    assert value.note == "Every current value is missing, the others are not."


def test_missing_category_is_a_category() -> None:
    half = table().with_columns(side=pl.when(pl.int_range(pl.len()) % 2 == 0).then("side"))
    side = drift_report("trades", table(), half, COLUMNS).columns[0]
    assert side.drifted
    assert side.current_null_share == 0.5
    assert MISSING not in table()["side"].to_list()


def test_infinite_numbers_are_missing_ones() -> None:
    broken = table().with_columns(value=pl.when(pl.int_range(pl.len()) < 500).then(float("inf")).otherwise("value"))
    value = drift_report("trades", table(), broken, COLUMNS).columns[1]
    assert value.current_null_share == 0.25
    assert value.drifted is False


def test_empty_tables() -> None:
    assert drift_report("trades", table().clear(), table(), COLUMNS).outcome == "not_compared"
    emptied = drift_report("trades", table(), table().clear(), COLUMNS)
    assert (emptied.outcome, emptied.note) == ("drift", "The table is empty; that of the previous publication was not.")
    nothing = drift_report("trades", table().drop("side", "value"), table(), COLUMNS)
    assert nothing.outcome == "not_compared"


def test_text_in_a_numeric_column_is_refused() -> None:
    with pytest.raises(ValueError, match="'side' is String: wasserstein needs a number"):
        drift_report("t", table(), table(), (DriftColumn("side", "wasserstein", 0.1),))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"drift_share": 0.0}, "drift_share must be"), ({"drift_share": 1.1}, "drift_share must be"), ({"sample": 0}, "sample")],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drift_report("t", table(), table(), COLUMNS, **settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="above 0"):
        DriftColumn("side", "jensenshannon", 0.0)


def test_sample_depends_on_rows_and_seed_only() -> None:
    before, after = table(seed=1), table(seed=2, shift=0.3)
    shuffled = after.sample(fraction=1.0, shuffle=True, seed=3)
    first = drift_report("t", before, after, COLUMNS, sample=300)
    assert (first.current_rows, first.current_sampled) == (2000, 300)
    assert drift_report("t", before.reverse(), shuffled, COLUMNS, sample=300) == first
    assert drift_report("t", before, after, COLUMNS, sample=300, seed=1).columns != first.columns


def test_page_is_offline_repeatable_and_escapes_categories(tmp_path: Path) -> None:
    hostile = "</script><script>document.title='owned'</script>"
    after = table(shift=1.0).with_columns(side=pl.when(pl.col("side") == "sell").then(pl.lit(hostile)).otherwise("side"))
    pages = []
    for run in ("one", "two"):
        verdict = drift_report("trades", table(), after, COLUMNS, html=tmp_path / run / "drift_trades.html")
        assert verdict.page == "drift_trades.html"
        pages.append((tmp_path / run / verdict.page).read_text(encoding="utf-8"))
    page = pages[0]
    assert page == pages[1]
    assert hostile not in page
    assert "\\u003c/script\\u003e\\u003cscript\\u003edocument.title='owned'" in page
    assert re.findall(r'(?:src|href)="([^"#]+)"', page) == ["index.html", EVIDENTLY_FILE]
    assert "default-src 'none'" in page
    assert (tmp_path / "one" / EVIDENTLY_FILE).stat().st_size > 1_000_000
    assert len(page) < 1_000_000


def test_every_pinned_column_is_named_once() -> None:
    for columns in (TRADES, HOLDINGS, RECOMMENDATIONS, feature_columns(("volatility", "momentum"))):
        names = [column.name for column in columns]
        assert len(names) == len(set(names))
