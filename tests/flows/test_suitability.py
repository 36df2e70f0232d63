"""Who may be offered what, on tables small enough to check by eye."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from flows.eligible import RULE, customer_pairs
from flows.sections.recommend import RecommendConfig
from flows.suitability import asset_exclusions, asset_risk_class

AS_OF = date(2024, 6, 28)
ITEMS = pl.DataFrame(
    {
        "asset_id": ["A", "B", "C", "D", "E", "F"],
        "asset_class": ["fund", "stock", "stock", "bond", None, "stock"],
        "asset_subclass": ["Money Market", None, "Large Cap", "Government", None, None],
        "volatility": [0.01, 0.39, 0.40, None, None, 0.9],
        "risk_class": [None, None, None, None, None, 1],
        "price_age": [0, 7, 8, None, 1, 2],
    },
    schema_overrides={"risk_class": pl.Int8},
)


def test_the_declared_class_wins_then_volatility_then_the_policy() -> None:
    classes = asset_risk_class(ITEMS, RecommendConfig())
    assert dict(classes.select("asset_id", "asset_risk").iter_rows()) == {
        "A": 1,
        "B": 3,
        "C": 4,
        "D": 2,
        "E": 4,
        "F": 1,
    }
    assert classes["risk_source"].to_list() == [
        "policy",
        "policy",
        "volatility",
        "policy",
        "policy",
        "declared",
    ]


def test_every_asset_rule_catches_what_it_should_and_nothing_else(tmp_path: Path) -> None:
    restricted = tmp_path / "restricted.parquet"
    pl.DataFrame(
        {
            "asset_id": ["A", "B", "C", "F", "Z"],
            "list_kind": ["restricted", "restricted", "watch", "restricted", "restricted"],
            "valid_from": [
                date(2024, 6, 28),
                date(2024, 6, 29),
                date(2020, 1, 1),
                date(2020, 1, 1),
                date(2020, 1, 1),
            ],
            "valid_to": [None, None, None, date(2024, 6, 27), None],
            "reason": ["sanctions", "not yet", "watch only", "ended yesterday", "not in the catalogue"],
        }
    ).write_parquet(restricted)
    removed = asset_exclusions(ITEMS, restricted, AS_OF, RecommendConfig())
    assert removed.rows() == [
        ("A", "restricted", "sanctions"),
        ("C", "not_tradable", "last close 2024-06-20"),
        ("D", "not_tradable", "never priced"),
        ("E", "not_described", "no row of the assets table is valid yet"),
    ]


def test_what_quarantine_says_is_held_is_not_offered_either(tmp_path: Path) -> None:
    for folder in ("snapshot", "quarantine"):
        (tmp_path / folder).mkdir()
    pl.DataFrame(
        {"customer_id": ["u", "u", "v"], "asset_id": ["A", "B", "A"], "status": ["held", "closed", "closed"]}
    ).write_parquet(tmp_path / "snapshot" / "holdings.parquet")
    pl.DataFrame({"customer_id": ["u", "w", None], "asset_id": ["A", "old-C", "A"]}).write_parquet(
        tmp_path / "quarantine" / "transactions.parquet"
    )
    pairs = customer_pairs(tmp_path / "snapshot", {"old-C": "C"})
    named = {(customer, asset, rule) for customer, asset, rule in pairs.iter_rows()}
    assert named == {
        ("u", "A", RULE["held"]),
        ("u", "B", RULE["previously_held"]),
        ("v", "A", RULE["previously_held"]),
        ("u", "A", RULE["possibly_held"]),
        ("w", "C", RULE["possibly_held"]),
    }
