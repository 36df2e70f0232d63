"""Tables that the night makes are held to their contracts: columns first, then every rule, and nothing is set aside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import CONTRACTS
from data_contracts.contract import AS_OF, ROW
from data_contracts.made_tables import check_made
from data_contracts.samples import SAMPLE_AS_OF, example_table
from data_contracts.searches import not_ascending

CONTRACT = CONTRACTS["recommendations"]
TWO = ({}, {"rank": 2, "asset_id": "GB0002634946", "score": 1.0})


def lines(folder: Path, *changes: dict[str, object]) -> Path:
    path = folder / "recommendations.parquet"
    example_table(CONTRACT, changes or TWO).select(list(CONTRACT.schema)).write_parquet(path)
    return path


@pytest.fixture
def known(tmp_path: Path) -> CheckContext:
    for table, rows in (
        ("assets", ({"asset_id": "US0378331005"}, {"asset_id": "GB0002634946"})),
        ("customers", ({"customer_id": "ann"},)),
    ):
        example_table(CONTRACTS[table], rows).write_parquet(tmp_path / f"{table}.parquet")
    references = {name: tmp_path / f"{name}.parquet" for name in ("assets", "customers")}
    return CheckContext.by_default(SAMPLE_AS_OF, references, run_id="2021-06-30-01")


def test_a_sound_file_is_asked_every_rule_by_both_engines(tmp_path: Path, known: CheckContext) -> None:
    verdict = check_made("recommendations", lines(tmp_path), tmp_path / "gx.json", known)
    assert (verdict.outcome, verdict.read, verdict.accepted) == ("pass", 2, 2)
    assert [rule.rule_id for rule in verdict.rules] == ["columns", *(rule.rule_id for rule in CONTRACT.rules)]
    assert all(rule.checked == 2 for rule in verdict.rules[1:])
    suite = json.loads((tmp_path / "gx.json").read_text(encoding="utf-8"))
    assert suite["success"] is True
    assert len(suite["results"]) == len(suite["second_opinion"]["results"]) == len(CONTRACT.rules)


def test_a_broken_rule_blocks_and_its_message_names_no_customer(tmp_path: Path, known: CheckContext) -> None:
    path = lines(tmp_path, {}, {"rank": 2, "customer_id": "secret"}, {"rank": 3, "asset_id": "GB0002634946", "score": 9.0})
    verdict = check_made("recommendations", path, tmp_path / "gx.json", known)
    found = {rule.rule_id: (rule.outcome, rule.failed) for rule in verdict.rules if rule.failed}
    assert found == {
        "ranks_without_gap": ("block", 2),
        "customer_known": ("block", 1),
        "score_follows_rank": ("block", 1),
    }
    assert "secret" not in str(verdict) + (tmp_path / "gx.json").read_text(encoding="utf-8")


def test_lines_of_another_run_block(tmp_path: Path, known: CheckContext) -> None:
    verdict = check_made("recommendations", lines(tmp_path), tmp_path / "gx.json", replace(known, run_id="2021-06-30-02"))
    assert {rule.rule_id: rule.failed for rule in verdict.rules if rule.failed} == {"run_id_of_the_run": 2}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop("reason"), "reason is missing"),
        (lambda frame: frame.with_columns(note=pl.lit("")), "note is not in the contract"),
        (lambda frame: frame.with_columns(pl.col("rank").cast(pl.Int64)), "rank is Int64, not Int32"),
        (lambda frame: frame.select(sorted(frame.columns)), "their order is as_of, asset_class"),
    ],
)
def test_a_file_of_other_columns_blocks_by_name(change: object, said: str, tmp_path: Path, known: CheckContext) -> None:
    path = lines(tmp_path)
    change(pl.read_parquet(path)).write_parquet(path)  # type: ignore[operator]
    verdict = check_made("recommendations", path, tmp_path / "gx.json", known)
    (rule,) = verdict.rules
    assert (rule.outcome, verdict.outcome, verdict.read) == ("block", "block", 2)
    assert said in rule.message


def test_only_tables_that_the_night_makes_are_checked_so(tmp_path: Path, known: CheckContext) -> None:
    with pytest.raises(ValueError, match="prices is delivered"):
        check_made("prices", lines(tmp_path), tmp_path / "gx.json", known)


def test_a_pair_out_of_order_is_found_wherever_it_stands(known: CheckContext, tmp_path: Path) -> None:
    # Far more rows than the engine hands on at once, in a file of several row groups.
    n = 400_000
    frame = pl.DataFrame({"customer_id": [f"{row // 4:07d}" for row in range(n)], "asset_id": [f"{row % 4}" for row in range(n)]})
    frame.write_parquet(tmp_path / "holdings.parquet", row_group_size=50_000)
    search = not_ascending(("customer_id", "asset_id"))
    rows = pl.scan_parquet(tmp_path / "holdings.parquet").with_columns(pl.lit(SAMPLE_AS_OF).alias(AS_OF))
    found = search(rows.with_row_index(ROW), known)
    assert found is not None
    assert found.is_empty()
    for place in (1, 50_000, 123_457, n - 1):
        again = pl.concat([frame[:place], frame[place - 1 : place], frame[place:]])
        again.write_parquet(tmp_path / "holdings.parquet", row_group_size=50_000)
        found = search(pl.scan_parquet(tmp_path / "holdings.parquet").with_row_index(ROW), known)
        assert found is not None
        assert found.to_list() == [place]
