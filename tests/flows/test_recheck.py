"""The second implementation of the rules agrees with the first on random markets, and finds every row that was tampered with."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from data_contracts.errors import RunNotFound
from flows import recheck as rechecking
from flows import recheck_rules
from flows.cli import app
from flows.recheck import recheck
from reports.spreadsheet import write_csv
from tests.flows.small_market import AS_OF, offer, write_market

SECTORS = ("Energy", "Health Care", "Utilities", "Materials", "Technology")
# What is wrong with an asset stands in its name; the others are as like one another as they can be.
CATALOGUE: list[dict[str, Any]] = [
    *(
        {"asset_id": f"PLAIN{number}", "asset_name": f"Plain{'abcdefghij'[number]}", "sector": SECTORS[number % 4]}
        for number in range(10)
    ),
    {"asset_id": "DEAR", "asset_name": "Dear", "sector": "Utilities"},
    {"asset_id": "RISKY", "asset_name": "Risky", "risk_class": 4},
    {"asset_id": "RESTRICTED", "asset_name": "Restricted"},
    {"asset_id": "WATCHED", "asset_name": "Watched", "sector": "Materials"},
    {"asset_id": "STALE", "asset_name": "Stale"},
    {"asset_id": "HELD", "asset_name": "Held"},
    {"asset_id": "SOLD", "asset_name": "Sold"},
    {"asset_id": "ASIDE", "asset_name": "Aside"},
    {"asset_id": "TECH1", "asset_name": "Techone", "sector": "Technology"},
    {"asset_id": "TECH2", "asset_name": "Techtwo", "sector": "Technology"},
    {"asset_id": "BOND1", "asset_name": "Corona 1% 2030", "asset_class": "bond", "sector": "Corporate"},
    {"asset_id": "BOND2", "asset_name": "Corona 2% 2031", "asset_class": "bond", "sector": "Corporate"},
    {"asset_id": "BOND3", "asset_name": "Corona 3% 2032", "asset_class": "bond", "sector": "Corporate"},
    {"asset_id": "BOND4", "asset_name": "Corona 4% 2033", "asset_class": "bond", "sector": "Corporate"},
    *({"asset_id": f"BIG{number}", "asset_name": f"Big{'abcdef'[number]}", "sector": "Big"} for number in range(6)),
]
PEOPLE: list[dict[str, Any]] = [
    {"customer_id": "plain"},
    {"customer_id": "concentrated"},
    {"customer_id": "nameless", "risk_level": "not_available"},
    {"customer_id": "predicted", "risk_predicted": True, "capacity_predicted": True},
    {"customer_id": "rich"},
]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with published files on a market in which every rule has something to do."""
    run = tmp_path_factory.mktemp("recheck") / "2024-06-28-01"
    closes = {row["asset_id"]: 10.0 for row in CATALOGUE} | {"DEAR": 3001.0, "GHOST": 10.0}
    write_market(
        run,
        people=PEOPLE,
        catalogue=CATALOGUE,
        closes=closes,
        buys=[
            ("plain", "HELD", 1.0),
            ("plain", "SOLD", 1.0),
            ("rich", "HELD", 3100.0),
            ("unknown", "HELD", 1.0),
            ("unknown", "WATCHED", 1.0),
            *(
                ("concentrated", asset, units)
                for asset, units in (("TECH1", 60.0), ("BOND1", 30.0), ("HELD", 5.0), ("SOLD", 5.0))
            ),
        ],
        sells=[("plain", "SOLD", 1.0)],
        lists=[
            {"asset_id": "RESTRICTED", "list_kind": "restricted", "reason": "mandate"},
            {"asset_id": "WATCHED", "list_kind": "watch", "reason": "under review"},
            {"asset_id": "PLAIN0", "list_kind": "restricted", "valid_to": date(2024, 6, 27), "reason": "over"},
        ],
        set_aside=[("plain", "ASIDE")],
        last_close={"STALE": date(2024, 6, 20)},
    )
    offer(run)
    return run


def broken_rules(run: Path) -> dict[str, int]:
    return {name: entry["violations"] for name, entry in recheck(run, AS_OF)["rules"].items() if entry["violations"]}


def test_what_was_published_breaks_nothing_and_every_row_was_looked_at(published: Path) -> None:
    report = recheck(published, AS_OF)
    rows = pl.read_parquet(published / "recommendations.parquet")
    assert report["n_violations"] == 0
    assert report["rows_checked"] == rows.height > 30
    assert {entry["checked"] for entry in report["rules"].values()} == {rows.height}
    assert rows["customer_id"].unique().sort().to_list() == ["concentrated", "plain", "predicted", "rich"]
    assert {flag for flags in rows["flags"] for flag in flags} == {
        "predicted_profile",
        "predicted_capacity",
        "capacity_reached",
        "watched",
    }


Change = Callable[[pl.DataFrame], pl.DataFrame]


def instead(customer: str, *assets: str, **stated: Any) -> Change:
    """The customer's first rows name these assets instead, with what the tables say of them, and ``stated`` besides."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        template = rows.filter(pl.col("customer_id") == (customer if customer in rows["customer_id"] else "plain"))
        true = {row["asset_id"]: row for row in CATALOGUE}
        own = [flag for flag in template["flags"][0] if flag != "watched"]
        put = []
        for rank, asset in enumerate(assets, start=1):
            row = true.get(asset, {"asset_class": None, "sector": None, "asset_risk": None})
            put.append(
                template.row(0, named=True)
                | {"customer_id": customer, "rank": rank, "asset_id": asset, "asset_name": row.get("asset_name", asset)}
                | {"asset_class": row.get("asset_class", "stock"), "sector": row.get("sector")}
                | {"asset_risk": row.get("asset_risk", row.get("risk_class", 2))}
                | {"flags": [*own, "watched"] if asset == "WATCHED" else own}
                | stated
            )
        kept = rows.filter(pl.col("customer_id") != customer)
        return pl.concat([kept, pl.DataFrame(put, schema=rows.schema)]).sort("customer_id", "rank")

    return change


def setting(condition: pl.Expr, **values: pl.Expr) -> Change:
    return lambda rows: rows.with_columns(
        pl.when(condition).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )


FLAGGED = pl.col("customer_id") == "predicted"
FIRST = (pl.col("customer_id") == "plain") & (pl.col("rank") == 1)
TAMPERED: dict[str, tuple[Change, dict[str, int]]] = {
    "no_profile": (instead("unknown", "PLAIN1", risk_level="not_available"), {"no_profile": 1, "profile_not_available": 1}),
    "profile_not_available": (instead("nameless", "PLAIN1", risk_level="not_available"), {"profile_not_available": 1}),
    "above_risk_profile": (instead("plain", "RISKY"), {"above_risk_profile": 1}),
    "above_capacity": (instead("plain", "DEAR"), {"above_capacity": 1}),
    "held": (instead("plain", "PLAIN1", "HELD"), {"held": 1}),
    "previously_held": (instead("plain", "SOLD"), {"previously_held": 1}),
    "possibly_held": (instead("plain", "ASIDE"), {"possibly_held": 1}),
    "concentration_asset": (
        instead("concentrated", "TECH1"),
        {"held": 1, "concentration_asset": 1, "concentration_sector": 1, "concentration_issuer": 1},
    ),
    "concentration_sector": (instead("concentrated", "TECH2"), {"concentration_sector": 1}),
    "concentration_issuer": (instead("concentrated", "BOND2"), {"concentration_issuer": 1}),
    "list_sector": (instead("plain", *(f"BIG{number}" for number in range(6))), {"list_sector": 2}),
    "list_issuer": (instead("plain", "BOND1", "BOND2", "BOND3", "BOND4"), {"list_issuer": 2}),
    "not_described": (instead("plain", "GHOST", asset_class=None), {"not_described": 1}),
    "restricted": (instead("plain", "RESTRICTED"), {"restricted": 1}),
    "not_tradable": (instead("plain", "STALE"), {"not_tradable": 1}),
    "predicted_profile": (
        setting(FLAGGED, flags=pl.col("flags").list.set_difference(["predicted_profile"])),
        {"predicted_profile": 10},
    ),
    "predicted_capacity": (
        setting(FLAGGED, flags=pl.col("flags").list.set_difference(["predicted_capacity"])),
        {"predicted_capacity": 10},
    ),
    "capacity_reached": (
        setting(pl.col("customer_id") == "rich", flags=pl.col("flags").list.set_difference(["capacity_reached"])),
        {"capacity_reached": 10},
    ),
    "watched": (instead("plain", "WATCHED", flags=[]), {"watched": 1}),
    "flagged without cause": (setting(FIRST, flags=pl.lit(["watched"])), {"watched": 1}),
    "unknown flag": (setting(FIRST, flags=pl.lit(["checked_by_nobody"])), {"known_flags": 1}),
    "rank left out": (setting(FIRST, rank=pl.lit(11, dtype=pl.Int32)), {"ranks": 10}),
    "asset twice": (instead("plain", "PLAIN1", "PLAIN1"), {"ranks": 2}),
    "profile misstated": (setting(FIRST, risk_level=pl.lit("aggressive")), {"stated_facts": 1}),
    "prediction hidden": (setting(FLAGGED, risk_predicted=pl.lit(False)), {"stated_facts": 10}),
    "risk class misstated": (instead("plain", "RISKY", asset_risk=2), {"above_risk_profile": 1, "stated_facts": 1}),
    "sector misstated": (setting(FIRST, sector=pl.lit("Elsewhere")), {"stated_facts": 1}),
    "another day": (setting(FIRST, as_of=pl.lit(date(2024, 6, 27))), {"stated_facts": 1}),
}


def write_published(run: Path, rows: pl.DataFrame) -> None:
    rows.write_parquet(run / "recommendations.parquet")
    lists = [name for name, kind in rows.schema.items() if isinstance(kind, pl.List)]
    flat = pl.col(lists).list.eval(pl.element().cast(pl.String)).list.join("; ")
    write_csv(rows.with_columns(flat), run / "recommendations.csv")


@pytest.mark.parametrize("name", TAMPERED)
def test_every_rule_is_found_broken_where_it_is(name: str, published: Path, tmp_path: Path) -> None:
    change, expected = TAMPERED[name]
    run = tmp_path / published.name
    shutil.copytree(published, run)
    write_published(run, change(pl.read_parquet(run / "recommendations.parquet")))
    assert broken_rules(run) == expected
    first = recheck(run, AS_OF)["violations"][0]
    assert set(first) == {"rule_id", "row", "what", "rank", "asset_id"}  # nobody is named


def test_every_rule_of_the_shipped_file_is_among_the_tampered() -> None:
    from flows.sections.suitability import default_rules

    assert set(default_rules().rules) <= set(TAMPERED)


@pytest.mark.parametrize("edit", [lambda text: text.replace("PLAIN", "BIG", 1), lambda text: text.rsplit("\n", 2)[0] + "\n"])
def test_a_csv_that_differs_from_the_parquet_file_is_found(edit: Callable[[str], str], published: Path, tmp_path: Path) -> None:
    run = tmp_path / published.name
    shutil.copytree(published, run)
    path = run / "recommendations.csv"
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert broken_rules(run)["files_agree"] == 1


def test_a_customer_whose_id_looks_like_a_formula_is_found_in_the_csv(tmp_path: Path) -> None:
    run = tmp_path / "2024-06-28-01"
    catalogue = [{"asset_id": name, "asset_name": f"={name}", "sector": "-S"} for name in ("A", "B")]
    write_market(run, people=[{"customer_id": "-1"}], catalogue=catalogue, closes={"A": 1.0, "B": 1.0}, buys=[("-1", "A", 1.0)])
    offer(run)
    report = recheck(run, AS_OF)
    assert (report["rows_checked"], report["n_violations"]) == (1, 0)


def test_the_second_implementation_shares_no_code_with_the_first() -> None:
    first = {"suitability", "pair_rules", "list_rules", "eligible", "eligibility", "exclusions", "recommend", "valid_at"}
    for module in (rechecking, recheck_rules):
        assert module.__file__ is not None
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not first & {part for name in names for part in name.split(".")}


def test_the_command_exits_with_1_where_a_row_breaks_a_rule(published: Path, tmp_path: Path) -> None:
    home = tmp_path
    run = home / "published" / published.name
    shutil.copytree(published, run)
    done = CliRunner().invoke(app, ["recheck", published.name, "--home", str(home)])
    assert done.exit_code == 0, done.stdout
    assert "0 violations" in done.stdout
    change, _ = TAMPERED["restricted"]
    write_published(run, change(pl.read_parquet(run / "recommendations.parquet")))
    done = CliRunner().invoke(app, ["recheck", published.name, "--home", str(home)])
    assert done.exit_code == 1
    assert "restricted, rank 1, asset RESTRICTED" in done.stdout


ASSETS = [f"A{number}" for number in range(9)]
LEVELS = ("conservative", "income", "balanced", "aggressive", "not_available")
BANDS = ("cap_lt_30k", "cap_30k_80k", "cap_gt_300k", "not_available", "by hand")


@st.composite
def markets(draw: st.DrawFn) -> dict[str, Any]:
    people = [
        {
            "customer_id": f"c{number}",
            "risk_level": draw(st.sampled_from(LEVELS)),
            "risk_predicted": draw(st.booleans()),
            "investment_capacity": draw(st.sampled_from(BANDS)),
            "capacity_predicted": draw(st.booleans()),
        }
        for number in range(draw(st.integers(1, 4)))
    ]
    catalogue = [
        {
            "asset_id": asset,
            "asset_name": draw(st.sampled_from(("Acme 1% 2030", "Acme (old)", f"Own {asset}"))),
            "asset_class": draw(st.sampled_from(("stock", "bond", "fund"))),
            "risk_class": draw(st.sampled_from((None, 1, 2, 3, 4))),
            "sector": draw(st.sampled_from((None, "Energy", "Utilities", "Corporate"))),
        }
        for asset in ASSETS
        if draw(st.integers(0, 9))
    ]
    trade = st.tuples(
        st.sampled_from(["c0", "c1", "c2", "stranger"]), st.sampled_from(ASSETS), st.sampled_from([0.1, 0.3, 1.0, 700.0])
    )
    entry = st.fixed_dictionaries(
        {
            "asset_id": st.sampled_from(ASSETS),
            "list_kind": st.sampled_from(("restricted", "watch")),
            "valid_from": st.sampled_from((date(2020, 1, 1), AS_OF)),
            "valid_to": st.sampled_from((None, date(2024, 6, 27), AS_OF)),
            "reason": st.just("why"),
        }
    )
    closes = {
        asset: draw(st.sampled_from([0.1, 7.0, 2900.0, 3000.0, 3000.1, 9000.0])) for asset in ASSETS if draw(st.integers(0, 9))
    }
    bought = draw(st.lists(trade, min_size=1, max_size=14))
    return {
        "people": people,
        "catalogue": catalogue,
        "closes": closes or {"A0": 1.0},
        "buys": bought,
        "sells": [pair for pair in bought if draw(st.integers(0, 3)) == 0],
        "lists": draw(st.lists(entry, max_size=3)),
        "set_aside": [pair[:2] for pair in draw(st.lists(trade, max_size=2))],
        "last_close": {asset: date(2024, 6, 20) for asset in closes if draw(st.integers(0, 5)) == 0},
    }


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Any]:
    share = st.sampled_from([0.0, 0.2, 0.25, 0.5, 1.0])
    effect = st.sampled_from(["exclude", "flag"])
    named = {
        "profile_not_available.highest_class": draw(st.integers(0, 4)),
        "above_risk_profile.predicted_steps_down": draw(st.integers(0, 2)),
        "above_capacity.share": draw(share),
        "list_sector.most": draw(st.integers(1, 3)),
        "list_issuer.most": draw(st.integers(1, 2)),
        "possibly_held.same_asset": draw(st.sampled_from([{}, {"A1": "A2"}])),
    }
    for rule in ("concentration_asset", "concentration_sector", "concentration_issuer"):
        named |= {
            f"{rule}.share": draw(share),
            f"{rule}.valued_holdings": draw(st.integers(1, 4)),
            f"{rule}.effect": draw(effect),
        }
    for rule in ("held", "previously_held", "possibly_held", "above_capacity", "above_risk_profile", "watched", "restricted"):
        named |= {f"{rule}.effect": draw(effect), f"{rule}.on": draw(st.integers(0, 3)) > 0}
    return {f"suitability.rules.{name}": value for name, value in named.items()} | {"recommend.k": draw(st.integers(1, 6))}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(market=markets(), rules=limits())
def test_what_is_ranked_never_breaks_a_rule_asked_again(market: dict[str, Any], rules: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "2024-06-28-01"
    shutil.rmtree(run, ignore_errors=True)
    write_market(run, **market)
    offer(run, rules)
    assert broken_rules(run) == {}
    # Every candidate was offered, removed, or outranked on a full list.
    folder = run / "recommendations"
    rows = pl.read_parquet(run / "recommendations.parquet", columns=["customer_id", "asset_id"])
    everyone = set(pl.read_parquet(folder / "asset_exclusions.parquet")["asset_id"])
    removed = pl.read_parquet(folder / "exclusions.parquet").select(pl.col("customer_id", "asset_id").cast(pl.String)).unique()
    refused = set(pl.read_parquet(folder / "customer_exclusions.parquet")["customer_id"])
    assert rows.join(removed, on=["customer_id", "asset_id"], how="semi").is_empty()
    catalogue = set(pl.read_parquet(run / "histories" / "present" / "items.parquet")["asset_id"])
    for customer in pl.read_parquet(run / "histories" / "present" / "customers.parquet")["customer_id"]:
        listed = set(rows.filter(pl.col("customer_id") == customer)["asset_id"])
        out = set(removed.filter(pl.col("customer_id") == customer)["asset_id"])
        assert customer not in refused or not listed
        if customer not in refused and len(listed) < rules["recommend.k"]:
            assert listed | out | everyone == catalogue


def test_a_retired_run_cannot_be_checked_again_and_says_so(published: Path, tmp_path: Path) -> None:
    retired = tmp_path / published.name
    shutil.copytree(published, retired)
    shutil.rmtree(retired / "snapshot")
    with pytest.raises(RunNotFound, match="the inputs of run 2024-06-28-01 were retired"):
        recheck(retired, AS_OF)
