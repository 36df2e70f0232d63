"""What the rules say of assets and pairs, on tables small enough to check by eye."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data_contracts import assets
from flows.config import load_config
from flows.eligibility import in_words
from flows.pair_rules import pair_rules
from flows.sections.suitability import SuitabilityConfig, default_rules
from flows.suitability import asset_breaches, asset_risk_class, issuers
from tests.flows.small_market import write_market, write_table

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


def rules(**settings: Any) -> SuitabilityConfig:
    """The shipped rules with single limits changed: ``held_on=False`` is ``suitability.rules.held.on``."""
    named = {f"suitability.rules.{key.replace('__', '.')}": value for key, value in settings.items()}
    return load_config("smoke", settings=named).suitability


def test_the_declared_class_wins_then_volatility_then_the_policy() -> None:
    classes = asset_risk_class(ITEMS, default_rules().asset_risk)
    assert dict(classes.select("asset_id", "asset_risk").iter_rows()) == {"A": 1, "B": 3, "C": 4, "D": 2, "E": 4, "F": 1}
    assert classes["risk_source"].to_list() == ["policy", "policy", "volatility", "policy", "policy", "declared"]


def test_one_entry_of_the_policy_is_changed_by_a_setting_and_the_others_stay() -> None:
    policy = load_config(settings={"suitability.asset_risk.classes.fund/money market": 2}).suitability.asset_risk
    classes = asset_risk_class(ITEMS, policy)
    assert dict(classes.select("asset_id", "asset_risk").iter_rows()) == {"A": 2, "B": 3, "C": 4, "D": 2, "E": 4, "F": 1}


def test_every_asset_rule_catches_what_it_should_and_nothing_else(tmp_path: Path) -> None:
    restricted = tmp_path / "restricted.parquet"
    pl.DataFrame(
        [
            ("A", "restricted", date(2024, 6, 28), None, "sanctions"),
            ("B", "restricted", date(2024, 6, 29), None, "not yet"),
            ("C", "watch", date(2020, 1, 1), None, "under review"),
            ("D", "watch", date(2020, 1, 1), date(2024, 6, 27), "watched until yesterday"),
            ("F", "restricted", date(2020, 1, 1), date(2024, 6, 27), "ended yesterday"),
            ("Z", "restricted", date(2020, 1, 1), None, "not in the catalogue"),
        ],
        schema={"asset_id": pl.String, "list_kind": pl.String, "valid_from": pl.Date, "valid_to": pl.Date, "reason": pl.String},
        orient="row",
    ).write_parquet(restricted)
    assert asset_breaches(ITEMS, restricted, AS_OF, default_rules()).rows() == [
        ("A", "restricted", "exclude", "sanctions"),
        ("C", "not_tradable", "exclude", "last close 2024-06-20"),
        ("C", "watched", "flag", "under review"),
        ("D", "not_tradable", "exclude", "never priced"),
        ("E", "not_described", "exclude", "no row of the assets table is valid yet"),
    ]
    looser = rules(restricted__on=False, watched__effect="exclude", not_tradable__price_age_days=8)
    assert asset_breaches(ITEMS, restricted, AS_OF, looser).select("asset_id", "rule_id", "effect").rows() == [
        ("C", "watched", "exclude"),
        ("D", "not_tradable", "exclude"),
        ("E", "not_described", "exclude"),
    ]


def test_a_source_without_restricted_list_restricts_nothing(tmp_path: Path) -> None:
    found = asset_breaches(ITEMS, tmp_path / "none.parquet", AS_OF, default_rules())
    assert found["rule_id"].unique().sort().to_list() == ["not_described", "not_tradable"]


@pytest.mark.parametrize(
    ("asset_id", "kind", "name", "declared", "issuer"),
    [
        ("GB0000000001", "stock", "Acme (Ordinary)", None, "ACME"),
        ("GB0000000002", "bond", "Acme 1.875% 2027", None, "ACME"),
        ("GB0000000003", "bond", "ACME Holding, 2 % 01/05/30 Acme", None, "ACME HOLDING"),
        ("GB0000000004", "stock", "3M", None, "3M"),
        ("GB0000000005", "fund", "Acme Fund", None, None),
        ("GB0000000006", "fund", "Acme Fund", "Acme Funds", "Acme Funds"),
        ("GB0000000007", "stock", "Anything", "Acme plc", "Acme plc"),
        # One issuer's part of the CUSIP, two spellings: the first in the alphabet stands for both.
        ("US298785GQ39", "bond", "European Bank", None, "EUROPEAN BANK"),
        ("US298785GS94", "bond", "EUROPEAN BANK EIB 1,8 02/10/25", None, "EUROPEAN BANK"),
        ("US298785HA77", "fund", "A fund by the same", None, None),
    ],
)
def test_the_issuer(asset_id: str, kind: str, name: str, declared: str | None, issuer: str | None, tmp_path: Path) -> None:
    rows = [
        {"asset_id": "US298785GQ39", "asset_class": "bond", "asset_name": "European Bank"},
        {"asset_id": asset_id, "asset_class": kind, "asset_name": name},
    ][0 if asset_id != "US298785GQ39" else 1 :]
    write_table(tmp_path / "assets.parquet", assets.CONTRACT, rows, valid_from=date(2020, 1, 1))
    if declared is not None:
        path = tmp_path / "assets.parquet"
        table = pl.read_parquet(path)
        own = pl.when(pl.col("asset_id") == asset_id).then(pl.lit(declared))
        table.with_columns(issuer=own).write_parquet(path)
    assert dict(issuers(tmp_path, AS_OF).iter_rows())[asset_id] == issuer


def broken(folder: Path, config: SuitabilityConfig, people: pl.DataFrame, items: pl.DataFrame) -> dict[str, set[tuple[str, str]]]:
    """Rule id to the pairs of customer and asset that break it."""
    on_pairs, _ = pair_rules(config, items, people, folder / "snapshot", AS_OF)
    found = {}
    for rule in on_pairs:
        # Asked in two batches: what a batch says must not depend on where it begins.
        hits = [rule.test.broken(low, min(low + 2, people.height)) for low in range(0, people.height, 2)]
        pairs = {
            (people["customer_id"][2 * number + int(row)], items["asset_id"][int(column)])
            for number, hit in enumerate(hits)
            for row, column in zip(*hit.nonzero(), strict=True)
        }
        found[rule.rule_id] = pairs
    return found


def test_every_pair_rule_by_hand(tmp_path: Path) -> None:
    catalogue = [
        {"asset_id": "A", "asset_name": "Alpha", "sector": "Energy"},
        {"asset_id": "B", "asset_name": "Beta 1% 2030", "asset_class": "bond", "sector": "Corporate"},
        {"asset_id": "C", "asset_name": "Beta 2% 2031", "asset_class": "bond", "sector": "Corporate"},
        {"asset_id": "D", "asset_name": "Delta", "sector": "Energy"},
        {"asset_id": "E", "asset_name": "Epsilon", "sector": None},
    ]
    write_market(
        tmp_path,
        people=[],
        catalogue=catalogue,
        closes={"A": 10.0, "B": 10.0, "C": 10.0, "D": 3000.0, "E": 3000.5},
        # u: A is 60 % of 100 EUR, Energy too, Beta 30 %. v: two holdings only, so nothing is asked of their shares.
        buys=[
            ("u", "A", 6.0),
            ("u", "B", 3.0),
            ("u", "E", 0.5 / 3000.5),
            ("u", "D", 9.5 / 3000),
            ("v", "A", 9000.0),
            ("v", "B", 1.0),
        ],
        sells=[("v", "B", 1.0)],
        set_aside=[("w", "old-C"), ("w", "C")],
    )
    people = pl.DataFrame(
        [
            ("u", "balanced", False, "cap_lt_30k", False),
            ("v", "income", True, "cap_30k_80k", True),
            ("w", "not_available", False, "not_available", False),
        ],
        schema=["customer_id", "risk_level", "risk_predicted", "investment_capacity", "capacity_predicted"],
        orient="row",
    )
    items = pl.DataFrame(
        {
            "asset_id": ["A", "B", "C", "D", "E"],
            "asset_risk": [1, 2, 3, 4, 4],
            "last_close": [10.0, 10.0, None, 3000.0, 3000.5],
            "sector": ["Energy", "Corporate", "Corporate", "Energy", None],
        }
    )
    config = rules(possibly_held__same_asset={"old-C": "E"})
    everything = {("v", asset) for asset in "ABCDE"}
    assert broken(tmp_path, config, people, items) == {
        "above_risk_profile": {("u", "D"), ("u", "E"), ("v", "C"), ("v", "D"), ("v", "E")},
        "profile_not_available": {("w", asset) for asset in "ABCDE"},
        "predicted_profile": everything,
        "predicted_capacity": everything,
        "capacity_reached": everything,
        "above_capacity": {("u", "E"), ("w", "E")},
        "held": {("u", "A"), ("u", "B"), ("u", "D"), ("u", "E"), ("v", "A")},
        "previously_held": {("v", "B")},
        "possibly_held": {("w", "C"), ("w", "E")},
        "concentration_asset": {("u", "A"), ("u", "B")},
        "concentration_sector": {("u", "A"), ("u", "D")},
        "concentration_issuer": {("u", "A"), ("u", "B"), ("u", "C")},
    }
    stricter = rules(
        above_risk_profile__predicted_steps_down=1,
        profile_not_available__highest_class=2,
        concentration_asset__valued_holdings=5,
        concentration_sector__no_group=["Energy"],
        concentration_issuer__share=0.3,
        held__on=False,
    )
    found = broken(tmp_path, stricter, people, items)
    assert found["above_risk_profile"] == {("u", "D"), ("u", "E"), ("v", "B"), ("v", "C"), ("v", "D"), ("v", "E")}
    assert found["profile_not_available"] == {("w", "C"), ("w", "D"), ("w", "E")}
    assert found["concentration_asset"] == set()
    assert found["concentration_sector"] == set()  # Corporate is below its share
    assert found["concentration_issuer"] == {("u", "A")}  # 30 % is not above 30 %
    assert "held" not in found


def test_an_unknown_band_of_capacity_counts_as_the_lowest(tmp_path: Path) -> None:
    bands = ["cap_lt_30k", "cap_30k_80k", "cap_gt_300k", "cap_30k_50k", "not_available", None]  # everybody holds 40,000 EUR
    who = [f"customer {number}" for number in range(len(bands))]
    write_market(
        tmp_path,
        people=[],
        catalogue=[{"asset_id": "A", "asset_name": "Alpha", "sector": "Energy"}],
        closes={"A": 10.0},
        buys=[(name, "A", 4_000.0) for name in who],
    )
    people = pl.DataFrame({"customer_id": who, "investment_capacity": bands}).with_columns(
        risk_level=pl.lit("balanced"), risk_predicted=False, capacity_predicted=False
    )
    items = pl.DataFrame({"asset_id": ["A"], "asset_risk": [1], "last_close": [10.0], "sector": ["Energy"]})
    reached = broken(tmp_path, rules(), people, items)["capacity_reached"]
    assert {customer for customer, _ in reached} == {who[0], who[3]}


def test_a_row_says_in_words_what_it_was_held_against() -> None:
    rows = pl.DataFrame(
        [
            ("A", "balanced", False, 2, "declared", []),
            ("B", "income", True, 1, "policy", ["predicted_profile", "watched"]),
            ("C", "not_available", False, 1, "volatility", []),
        ],
        schema={
            "asset_id": pl.String,
            "risk_level": pl.String,
            "risk_predicted": pl.Boolean,
            "asset_risk": pl.Int8,
            "risk_source": pl.String,
            "flags": pl.List(pl.String),
        },
        orient="row",
    )
    breaches = pl.DataFrame(
        [("B", "watched", "flag", "under {} review")], schema=["asset_id", "rule_id", "effect", "detail"], orient="row"
    )
    config = rules(profile_not_available__highest_class=1, above_risk_profile__predicted_steps_down=1)
    assert rows.select(in_words(config, breaches)).to_series().to_list() == [
        "Risk profile balanced (declared) allows up to risk class 3; the asset is class 2 as its source declares.",
        "Risk profile income (predicted, not declared) allows up to risk class 1; the asset is class 1 by the firm's policy "
        "for its kind. Note: the risk profile was predicted by the source, not declared by the customer (predicted_profile). "
        "Note: the asset is on the watch list at as_of: under {} review (watched).",
        "Risk profile not available: what is offered then is risk class 1 at most; the asset is class 1 for its volatility.",
    ]
