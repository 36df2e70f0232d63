"""The FAR-Trans reader: spelling of codes on a small copy, and the counts of the real reconstruction."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import check_landing
from data_contracts.errors import LandingError
from data_contracts.holdings import derive_holdings
from data_contracts.landing import LandedTable, read_landing
from data_contracts.valid_at import valid_at

FILES = {
    "customer_information.csv": """customerID,customerType,riskLevel,investmentCapacity,lastQuestionnaireDate,timestamp
A1,Mass,Income,CAP_LT30K,2019-05-06,2018-01-02
A2,Legal Entity,Predicted_Balanced,Predicted_CAP_LT_30K,2000-01-01,2018-01-02
A3,Legal entity,Not_Available,Not_Available,,2018-01-02
A4,Premium,Predicted_Aggressive,Predicted_GT300K,2021-07-15,2018-01-02
A5,Premium,Conservative,CAP_80K_300K,,2021-08-01
""",
    "asset_information.csv": """ISIN,assetName,assetShortName,assetCategory,assetSubCategory,marketID,sector,industry,timestamp
GRS434003000,"ΔΕΗ, Α.Ε.",PPC,Stock,,XATH,Utilities,,2018-01-02
GRF000011004,DHLOS PET OTE,DELPOIB,MTF,Balanced,AEDAK,,,2018-01-02
""",
    "close_prices.csv": """ISIN,timestamp,closePrice
GRS434003000,2021-06-28,8.9
GRF000011004,2021-07-02,10
""",
    "markets.csv": """exchangeID,marketID,name,description,country,tradingDays,tradingHours,marketClass
ATHEX,XATH,Athens,"Shares, bonds",Greece,"Mon,Tue,Wed,Thu,Fri",08:15-15:20,Public
""",
    "transactions.csv": """customerID,ISIN,transactionID,transactionType,timestamp,totalValue,units,channel,marketID
A1,GRS434003000,,Buy,2018-01-02,,,,
A1,GRS434003000,-7,Buy,2020-09-29,89.0,10,Internet Banking,XATH
A1,GRS434003000,8,Sell,2020-10-01,44.5,5,Branch,XATH
A2,GRF000011004,,Buy,2020-02-10,,,,
""",
}
PROVENANCE = """row,source,dateFrom,dateTo,dateWindowDays
0,dated_buy,2018-01-02,2018-01-02,0
1,full,2020-09-29,2020-09-29,0
2,full,2020-10-01,2020-10-01,0
3,first_buy_window,2020-02-05,2020-02-16,11
"""
AS_OF = date(2021, 6, 30)


@pytest.fixture
def far_trans(tmp_path: Path) -> Path:
    folder = tmp_path / "far_trans"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def land(source: Path, into: Path) -> dict[str, LandedTable]:
    return read_landing("far_trans", source, into, AS_OF, "withhold")


def rows(table: LandedTable, *columns: str) -> list[tuple[object, ...]]:
    return pl.read_parquet(table.path).select(columns).rows()


def test_codes_are_spelt_in_one_way(far_trans: Path, tmp_path: Path) -> None:
    tables = land(far_trans, tmp_path / "landed")
    assert rows(
        tables["customers"],
        "customer_id",
        "customer_type",
        "risk_level",
        "risk_predicted",
        "investment_capacity",
        "capacity_predicted",
        "last_questionnaire_date",
    ) == [
        ("A1", "mass", "income", False, "cap_lt_30k", False, date(2019, 5, 6)),
        ("A2", "legal_entity", "balanced", True, "cap_lt_30k", True, None),
        ("A3", "legal_entity", "not_available", False, "not_available", False, None),
        ("A4", "premium", None, True, None, True, None),
    ]
    assert tables["customers"].withheld == 1
    assert tables["customers"].notes == (
        "last_questionnaire_date: 1 date after as_of 2021-06-30 set to null (look-ahead), and the answers too",
        "last_questionnaire_date: 1 date of 2000-01-01 (not known) set to null",
    )
    assert rows(tables["assets"], "asset_name", "asset_class", "risk_class") == [
        ("ΔΕΗ, Α.Ε.", "stock", None),
        ("DHLOS PET OTE", "fund", None),
    ]
    assert rows(tables["markets"], "market_id", "country", "trading_days") == [("XATH", "Greece", "Mon,Tue,Wed,Thu,Fri")]
    assert (tables["prices"].read, tables["prices"].withheld) == (1, 1)
    assert (tables["restricted"].read, tables["restricted"].files) == (0, ())
    assert "delivered_holdings" not in tables


def test_record_kinds_without_provenance(far_trans: Path, tmp_path: Path) -> None:
    table = land(far_trans, tmp_path / "landed")["transactions"]
    assert rows(table, "transaction_id", "side", "value", "units", "channel", "record_kind") == [
        (None, "buy", None, None, None, "dated_only"),
        ("-7", "buy", 89.0, 10.0, "internet_banking", "full"),
        ("8", "sell", 44.5, 5.0, "branch", "full"),
        (None, "buy", None, None, None, "dated_only"),
    ]


def test_record_kinds_with_provenance(far_trans: Path, tmp_path: Path) -> None:
    (far_trans / "transactions_provenance.csv").write_text(PROVENANCE, encoding="utf-8")
    table = land(far_trans, tmp_path / "landed")["transactions"]
    assert rows(table, "record_kind", "date_window_days") == [
        ("dated_only", None),
        ("full", None),
        ("full", None),
        ("window", 11),
    ]
    assert [file.name for file in table.files] == ["transactions.csv", "transactions_provenance.csv"]


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (PROVENANCE.replace("3,first_buy", "4,first_buy"), "4 rows beside 4, 1 of them under another number"),
        ("\n".join(PROVENANCE.splitlines()[:4]) + "\n", "3 rows beside 4, 0 of them under another number"),
    ],
)
def test_provenance_that_slipped(spoilt: str, message: str, far_trans: Path, tmp_path: Path) -> None:
    (far_trans / "transactions_provenance.csv").write_text(spoilt, encoding="utf-8")
    with pytest.raises(LandingError) as caught:
        land(far_trans, tmp_path / "landed")
    assert f"transactions_provenance.csv does not lie row by row beside transactions.csv: {message}" in str(caught.value)


def test_missing_column_under_its_original_name(far_trans: Path, tmp_path: Path) -> None:
    (far_trans / "close_prices.csv").write_text("ISIN,date,closePrice\n", encoding="utf-8")
    with pytest.raises(LandingError, match=r"close_prices.csv: column timestamp missing \(found ISIN, date, closePrice\)"):
        land(far_trans, tmp_path / "landed")


def test_restricted_list_in_our_own_layout(far_trans: Path, tmp_path: Path) -> None:
    (far_trans / "restricted_list.csv").write_text(
        "asset_id,list_kind,valid_from,valid_to,reason\nGRS434003000,restricted,2021-01-01,2021-12-31,takeover\n",
        encoding="utf-8",
    )
    table = land(far_trans, tmp_path / "landed")["restricted"]
    assert rows(table, "asset_id", "valid_to", "reason") == [("GRS434003000", date(2021, 12, 31), "takeover")]
    assert table.notes == ()


# What was held before is booked as buys of 2018-01-02; three sales exceed the last statement and the trades since.
TRADES = {"opening_position": 35395, "sell_beyond_holdings": 3}
EXPECTED = {
    # table: (landed, withheld, quarantined, {rule: failing rows})
    AS_OF: {
        "assets": (796, 0, 29, {"asset_name_not_null": 24, "isin_check_digit": 2, "isin_country": 1, "key_conflict": 3}),
        "markets": (38, 0, 0, {}),
        "customers": (30785, 5294, 0, {"questionnaire_not_after_row": 8285}),
        "prices": (13726, 0, 177, {"asset_known": 177, "price_level_shift": 2, "price_missing": 125, "price_stale": 310}),
        "transactions": (
            122971,
            0,
            1328,
            {"asset_known": 798, "customer_known": 1572, "unnumbered_repeat": 531, "same_trade_two_numbers": 70} | TRADES,
        ),
        "delivered_holdings": (
            153792,
            0,
            1076,
            {"asset_known": 1076, "customer_known": 4546, "holding_not_negative": 78, "units_residue": 1204},
        ),
        "restricted": (0, 0, 0, {"table_delivered": 1}),
    },
    date(2021, 1, 31): {
        "assets": (796, 22, 28, {"asset_name_not_null": 23, "isin_check_digit": 2, "isin_country": 1, "key_conflict": 3}),
        "markets": (38, 0, 0, {}),
        "customers": (30785, 8486, 0, {"questionnaire_not_after_row": 7071}),
        "prices": (13726, 1274, 163, {"asset_known": 163, "price_level_shift": 2, "price_missing": 102, "price_stale": 162}),
        "transactions": (
            122971,
            8534,
            1276,
            {"asset_known": 746, "customer_known": 2026, "unnumbered_repeat": 531, "same_trade_two_numbers": 70} | TRADES,
        ),
        "delivered_holdings": (
            153792,
            0,
            1076,
            {"asset_known": 1076, "customer_known": 5821, "holding_not_negative": 78, "units_residue": 1204},
        ),
        "restricted": (0, 0, 0, {"table_delivered": 1}),
    },
}


@pytest.mark.parametrize("as_of", list(EXPECTED))
def test_the_real_reconstruction(as_of: date, far_trans_dir: Path, tmp_path: Path, context: CheckContext) -> None:
    landed = read_landing("far_trans", far_trans_dir, tmp_path / "landed", as_of, "withhold")
    night = replace(context, as_of=as_of)
    verdicts = check_landing(landed, tmp_path, night)
    found = {
        verdict.table: (
            verdict.landed,
            verdict.withheld,
            verdict.quarantined,
            {rule.rule_id: rule.failed for rule in verdict.rules if rule.failed},
        )
        for verdict in verdicts
    }
    assert found == EXPECTED[as_of]
    snapshot = tmp_path / "snapshot"
    trades = pl.read_parquet(snapshot / "transactions.parquet")
    # Corporate actions have negative numbers; they are kept, and rows without amount are counted as what they are.
    kinds = dict(trades.group_by("record_kind").len().iter_rows())
    assert kinds["full"] == trades["units"].is_not_null().sum()
    assert trades["transaction_id"].str.starts_with("-").sum() > 500
    assert trades.filter(pl.col("record_kind") != "full")["value"].is_null().all()
    assert valid_at(snapshot / "assets.parquet", "asset_id", as_of).collect()["asset_id"].is_unique().all()
    holdings = derive_holdings(
        snapshot / "transactions.parquet", snapshot / "prices.parquet", snapshot / "delivered_holdings.parquet", as_of
    ).collect()
    pairs = trades.select("customer_id", "asset_id").unique()
    assert pairs.join(holdings, on=["customer_id", "asset_id"], how="anti").is_empty()
    assert holdings.filter(pl.col("units").is_null())["status"].unique().to_list() == ["held"]
