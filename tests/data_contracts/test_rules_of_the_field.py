"""Every rule and repair is shown to fail, and to pass a near miss, on the examples that its own contract gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts import checkpoint
from data_contracts import oversold as oversold_search
from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import CONTRACTS, check_table
from data_contracts.contract import AS_OF, ROW, Before, Contract, Example, Repair, Rule
from data_contracts.landing.landed import LandedTable
from data_contracts.samples import SAMPLE_AS_OF, example_table
from data_contracts.verdicts import TableVerdict
from tests.data_contracts.strategies import rows_around

RULES = [(contract, rule) for contract in CONTRACTS.values() for rule in contract.rules]
REPAIRS = [(contract, repair) for contract in CONTRACTS.values() for repair in contract.repairs]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> CheckContext:
    """A context in which what the examples refer to is accepted: three assets of two markets, two customers, a close."""
    folder = tmp_path_factory.mktemp("known")
    assets = [("US0378331005", "XNGS", 400), ("GB0002634946", "XLON", 400), ("DE000BAY0017", "XNGS", 300)]
    examples: dict[str, Example] = {
        "assets": tuple({"asset_id": name, "market_id": market, "valid_from": Before(listed)} for name, market, listed in assets),
        "markets": ({}, {"market_id": "XLON", "name": "London"}),
        "customers": ({"customer_id": "ann"}, {"customer_id": "bob"}),
        "prices": ({},),
    }
    references = {}
    for table, example in examples.items():
        references[table] = folder / f"{table}.parquet"
        example_table(CONTRACTS[table], example).write_parquet(references[table])
    return CheckContext.by_default(SAMPLE_AS_OF, references, run_id="2021-06-30-01")


def failing(contract: Contract, rule: Rule, example: Example, context: CheckContext) -> int:
    """Rows of the example that break the rule, asked of the rule alone."""
    rows = example_table(contract, example).lazy().with_columns(pl.lit(context.as_of).alias(AS_OF)).with_row_index(ROW)
    if rule.bad is not None:
        return int(rows.select(rule.bad.fill_null(False).sum()).collect().item())
    assert rule.search is not None
    found = rule.search(rows, context)
    assert found is not None, "the context has every table that a rule refers to"
    return len(found)


@pytest.mark.parametrize(("contract", "rule"), RULES, ids=[f"{c.table}-{r.rule_id}" for c, r in RULES])
def test_every_rule_fails_on_its_example_and_passes_a_near_miss(contract: Contract, rule: Rule, known: CheckContext) -> None:
    assert rule.breaks, "a rule that cannot fail is no rule"
    assert rule.keeps
    assert failing(contract, rule, rule.breaks, known) > 0
    assert failing(contract, rule, rule.keeps, known) == 0


@pytest.mark.parametrize(("contract", "repair"), REPAIRS, ids=[f"{c.table}-{r.repair_id}" for c, r in REPAIRS])
def test_every_repair_changes_its_example_and_leaves_a_near_miss(contract: Contract, repair: Repair) -> None:
    changed = example_table(contract, repair.breaks).filter(repair.when.fill_null(False))
    assert changed.height == len(repair.breaks)
    after = changed.with_columns(repair.value.alias(repair.column))
    if repair.before is None:  # else the column never held what was there before
        assert after.filter(repair.when.fill_null(False)).is_empty(), "a repair that is made needs no other"
    assert example_table(contract, repair.keeps).filter(repair.when.fill_null(False)).is_empty()


def checked(table: str, example: Example, folder: Path, context: CheckContext) -> TableVerdict:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "landed.parquet"
    example_table(CONTRACTS[table], example).write_parquet(path)
    landed = LandedTable(table, path, len(example), len(example), 0, ())
    return check_table(landed, folder / "a.parquet", folder / "q.parquet", folder / "gx.json", context)


def said(verdict: TableVerdict, rule_id: str) -> str:
    (rule,) = [rule for rule in verdict.rules if rule.rule_id == rule_id]
    return rule.message


def closes(*values: float, start: int = 0) -> Example:
    return tuple({"date": SAMPLE_AS_OF.replace(day=1 + start + place), "close": value} for place, value in enumerate(values))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((100.0, 101.0, 1010.0, 102.0, 101.0), {2: "outlier"}),
        ((100.0, 101.0, 1010.0, 1009.0, 102.0), {2: "outlier", 3: "outlier"}),
        ((100.0, 101.0, 1010.0, 1009.0, 1011.0, 102.0), {2: "outlier", 3: "outlier", 4: "outlier"}),
        # Four closes on the new level and then back are two new levels.
        ((100.0, 10.0, 10.1, 10.0, 10.2, 100.0, 101.0, 100.0, 99.0), {1: "split", 5: "split"}),
        ((100.0, 50.5, 50.0, 51.0, 50.2), {1: "split"}),
        ((100.0, 41.0, 41.5, 41.2, 41.0), {1: "level_shift"}),
        ((100.0, 101.0, 990.0), {2: "undecided"}),
        ((100.0, 149.0, 101.0), {}),
        # The first close is the wrong one: nothing before it tells, so the return reads as a new level.
        ((1000.0, 100.0, 101.0, 100.0, 99.0), {1: "split"}),
    ],
)
def test_every_jump_is_of_one_kind(values: tuple[float, ...], kind: dict[int, str], known: CheckContext) -> None:
    from data_contracts.price_searches import classified_jumps

    rows = example_table(CONTRACTS["prices"], closes(*values)).lazy().with_row_index(ROW)
    found = classified_jumps(rows, known, 5, 3).collect().sort(ROW)
    assert dict(found.select(ROW, "jump").rows()) == kind


def test_an_outlier_of_one_asset_is_not_looked_for_in_the_next(known: CheckContext) -> None:
    """Closes lie sorted by asset; the last of one and the first of another are no neighbours."""
    example = (*closes(100.0, 101.0, 1000.0), *({**row, "asset_id": "GB0002634946"} for row in closes(100.0, 101.0, start=5)))
    rows = example_table(CONTRACTS["prices"], example).lazy().with_row_index(ROW)
    from data_contracts.price_searches import classified_jumps

    found = classified_jumps(rows, known, 5, 3).collect()
    assert found.select(ROW, "jump").rows() == [(2, "undecided")]


def test_messages_say_the_ratio_and_the_level(tmp_path: Path, known: CheckContext) -> None:
    verdict = checked("prices", closes(100.0, 25.1, 25.0, 25.3, 25.2), tmp_path, replace(known, quarantine_limits={"prices": 1}))
    assert said(verdict, "price_split").endswith("date=2021-06-02, close=25.1, 3.98 times below 100)")
    dear = ({}, {"value": 126.0, "transaction_id": "2"})
    verdict = checked("transactions", dear, tmp_path / "t", known)
    assert said(verdict, "trade_price_near_close").endswith("date=2021-06-28, 126 a unit, close 100)")
    odd = ({}, {"price": 94.0, "transaction_id": "2"})
    verdict = checked("transactions", odd, tmp_path / "u", known)
    assert "value 100, units 1 x price 94" in said(verdict, "amount_is_units_times_price")


def stated(folder: Path, context: CheckContext, *rows: dict[str, object]) -> CheckContext:
    path = folder / "stated.parquet"
    example_table(CONTRACTS["delivered_holdings"], rows).write_parquet(path)
    return replace(context, references={**context.references, "delivered_holdings": path})


def trade(day: int, side: str, units: float | None, **changes: object) -> dict[str, object]:
    return {"date": SAMPLE_AS_OF.replace(day=day), "side": side, "units": units, "transaction_id": f"{day}{side}"} | changes


@pytest.mark.parametrize(
    ("positions", "trades", "oversold"),
    [
        ([], [trade(1, "buy", 5.0), trade(2, "sell", 5.0)], 0),
        ([], [trade(1, "buy", 5.0), trade(2, "sell", 5.1), trade(3, "sell", 1.0)], 1),  # the first of a pair only
        ([], [trade(2, "sell", 5.0), trade(2, "buy", 5.0)], 0),  # of one day buys come first
        ([], [trade(1, "buy", None), trade(2, "sell", 5.0)], 0),  # what is held is not known
        ([], [trade(1, "buy", 5.0), trade(2, "sell", 6.0, customer_id="bob")], 1),
        # The statement of the 10th says 3; sold 5 before it, so 8 were brought forward.
        ([(10, 3.0)], [trade(2, "sell", 5.0)], 0),
        ([(10, 3.0)], [trade(2, "sell", 5.0), trade(11, "sell", 3.0)], 0),
        ([(10, 3.0)], [trade(2, "sell", 5.0), trade(11, "sell", 3.1)], 1),
        ([(10, 3.0)], [trade(1, "buy", None), trade(11, "sell", 3.1)], 1),  # the statement makes it known again
        ([(10, 3.0), (20, 9.0)], [trade(21, "sell", 9.0)], 0),  # the last statement counts
    ],
)
def test_sales_beyond_holdings(
    positions: list[tuple[int, float]],
    trades: list[dict[str, object]],
    oversold: int,
    known: CheckContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [{"as_of_date": SAMPLE_AS_OF.replace(day=day), "units": units} for day, units in positions]
    context = stated(tmp_path, known, *given) if given else known
    (rule,) = [rule for rule in CONTRACTS["transactions"].rules if rule.rule_id == "sell_beyond_holdings"]
    assert failing(CONTRACTS["transactions"], rule, tuple(trades), context) == oversold
    monkeypatch.setattr(oversold_search, "ROWS_AT_ONCE", 1)  # in parts: the same answer
    assert failing(CONTRACTS["transactions"], rule, tuple(trades), context) == oversold


def test_a_day_on_which_nothing_of_a_market_has_a_close_is_closed(known: CheckContext, tmp_path: Path) -> None:
    """Only of a market with closes on almost every weekday: Tuesday the 15th is a holiday here."""
    every = [day for day in range(1, 30) if SAMPLE_AS_OF.replace(day=day).weekday() < 5 and day != 15]
    path = tmp_path / "prices.parquet"
    example_table(CONTRACTS["prices"], tuple({"date": SAMPLE_AS_OF.replace(day=day)} for day in every)).write_parquet(path)
    context = replace(known, references={**known.references, "prices": path})
    (rule,) = [rule for rule in CONTRACTS["transactions"].rules if rule.rule_id == "trade_on_closed_day"]
    assert failing(CONTRACTS["transactions"], rule, (trade(15, "buy", 1.0), trade(16, "buy", 1.0)), context) == 1
    sparse = tuple({"date": SAMPLE_AS_OF.replace(day=day)} for day in (1, 29))
    example_table(CONTRACTS["prices"], sparse).write_parquet(path)
    assert failing(CONTRACTS["transactions"], rule, (trade(15, "buy", 1.0),), context) == 0


def test_repairs_are_counted_kept_and_conserve_rows(tmp_path: Path, known: CheckContext) -> None:
    example = ({"side": " Buy"}, {"transaction_id": "2", "customer_id": "ann "}, {"transaction_id": "3", "side": "gift"})
    verdict = checked("transactions", example, tmp_path, replace(known, quarantine_limits={"transactions": 0.5}))
    assert (verdict.read, verdict.accepted, verdict.quarantined) == (3, 2, 1)
    counted = {rule.rule_id: rule.failed for rule in verdict.rules if rule.severity == "repair" and rule.failed}
    assert counted == {"side_spelling": 1, "customer_id_blanks": 1}
    assert said(verdict, "side_spelling") == (
        "transactions: 1 row repaired: side in capitals, with blanks or hyphens is spelt as the contract spells it"
        " (first: row 1, ' Buy' became 'buy')"
    )
    assert "ann" not in said(verdict, "customer_id_blanks")  # what identifies a person is in no message
    kept = pl.read_parquet(tmp_path / "repairs_transactions.parquet")
    assert kept.select("_source_row", "column", "before", "after").sort("_source_row").rows() == [
        (1, "side", " Buy", "buy"),
        (2, "customer_id", "ann ", "ann"),
    ]
    assert pl.read_parquet(tmp_path / "a.parquet")["customer_id"].to_list() == ["ann", "ann"]
    # A night without repairs leaves no file of an earlier check behind.
    checked("transactions", ({},), tmp_path, known)
    assert not (tmp_path / "repairs_transactions.parquet").exists()


def test_a_residue_is_repaired_and_a_short_position_is_not(tmp_path: Path, known: CheckContext) -> None:
    example = tuple(
        {"units": units, "asset_id": name}
        for units, name in ((-1e-14, "US0378331005"), (-0.0, "GB0002634946"), (-0.5, "DE000BAY0017"))
    )
    verdict = checked("delivered_holdings", example, tmp_path, replace(known, quarantine_limits={"delivered_holdings": 1.0}))
    assert {rule.rule_id: rule.failed for rule in verdict.rules if rule.failed} == {"units_residue": 2, "holding_not_negative": 1}
    units = pl.read_parquet(tmp_path / "a.parquet").sort("units")["units"].to_list()
    assert [str(value) for value in units] == ["-0.5", "0.0", "0.0"]


@pytest.mark.parametrize("table", ["assets", "prices", "transactions"])
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_are_conserved_and_accepted_ones_keep_every_rule(
    table: str, data: st.DataObject, known: CheckContext, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever mixture of rows around the contract's edges lands, what is accepted would be accepted again, whole."""
    contract = CONTRACTS[table]
    example = tuple(data.draw(rows_around(contract)))
    folder = tmp_path_factory.mktemp(table)
    verdict = checked(table, example, folder / "once", known)
    assert verdict.read == len(example) == verdict.accepted + verdict.quarantined
    accepted = pl.read_parquet(folder / "once" / "a.parquet")
    quarantined = pl.read_parquet(folder / "once" / "q.parquet")
    assert sorted([*accepted["_source_row"], *quarantined["_source_row"]]) == list(range(1, len(example) + 1))
    assert quarantined["rule_ids"].list.len().min() != 0
    setting_aside = [rule for rule in contract.rules if rule.severity != "warn" and rule.bad is not None]
    kept = accepted.with_columns(pl.lit(known.as_of).alias(AS_OF), pl.lit([], dtype=pl.List(pl.String)).alias("_type_errors"))
    for rule in setting_aside:
        assert rule.bad is not None
        assert kept.filter(rule.bad.fill_null(False)).is_empty(), rule.rule_id
    assert not accepted.select(contract.key).is_duplicated().any() or table == "transactions"


def test_two_repairs_of_a_column_are_refused() -> None:
    contract = CONTRACTS["assets"]
    again = replace(contract.repairs[0], repair_id="again")
    with pytest.raises(ValueError, match="a column has two repairs"):
        replace(contract, repairs=(*contract.repairs, again))


def test_the_order_of_checks_has_every_table() -> None:
    assert sorted(checkpoint._CHECK_ORDER) == sorted(checkpoint.ORDER)
