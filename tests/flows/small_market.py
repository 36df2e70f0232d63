"""Small markets for tests: accepted tables written from plain rows, and a night's recommendations made on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from data_contracts import assets, customers, prices, restricted, transactions
from data_contracts.contract import Contract
from data_contracts.holdings import derive_holdings
from flows.config import RunConfig, load_config
from flows.histories import build_histories
from flows.learn import train_model
from flows.night import Night
from flows.publish import write_recommendation_files
from flows.recommend import recommend

AS_OF = date(2024, 6, 28)
EARLY = date(2020, 1, 2)
Row = Mapping[str, Any]
# For nights that are about something else: the audit still goes through its steps, on one variant and few customers. As the
# preset has it, it is the greater half of a small night.
LITTLE_AUDIT: Mapping[str, Any] = {
    "audit.ablations": ["uniform_attention"],
    "audit.sample": 100,
    "audit.epochs": 1,
    "audit.consistency_sample": 100,
    "audit.second_seed": False,
}


def write_table(path: Path, contract: Contract, rows: Sequence[Row], **defaults: object) -> None:
    """Rows in the contract's columns and types; what a row leaves out is the default, else null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    full = [{name: row.get(name, defaults.get(name)) for name in contract.schema} for row in rows]
    pl.DataFrame(full, schema=contract.schema).with_columns(_source_row=pl.int_range(1, pl.len() + 1)).write_parquet(path)


def write_market(
    run: Path,
    *,
    people: Sequence[Row],
    catalogue: Sequence[Row],
    closes: Mapping[str, float],
    buys: Sequence[tuple[str, str, float]],
    sells: Sequence[tuple[str, str, float]] = (),
    lists: Sequence[Row] = (),
    set_aside: Sequence[tuple[str, str]] = (),
    last_close: Mapping[str, date] | None = None,
) -> None:
    """``run``/snapshot and ``run``/quarantine. ``buys``, ``sells``: customer, asset, units; ``closes``: EUR at as_of."""
    snapshot = run / "snapshot"
    write_table(
        snapshot / "customers.parquet",
        customers.CONTRACT,
        people,
        customer_type="mass",
        risk_level="balanced",
        risk_predicted=False,
        investment_capacity="cap_lt_30k",
        capacity_predicted=False,
        valid_from=EARLY,
    )
    write_table(snapshot / "assets.parquet", assets.CONTRACT, catalogue, asset_class="stock", risk_class=2, valid_from=EARLY)
    days = {asset: (last_close or {}).get(asset, AS_OF) for asset in closes}
    priced = [
        {"asset_id": asset, "date": day, "close": close}
        for asset, close in closes.items()
        for day in (days[asset] - timedelta(days=1), days[asset])
    ]
    write_table(snapshot / "prices.parquet", prices.CONTRACT, priced)
    trades = [
        {"customer_id": who, "asset_id": what, "side": side, "units": units, "value": units * closes.get(what, 1.0), "date": day}
        for side, day, rows in (("buy", date(2024, 1, 2), buys), ("sell", date(2024, 2, 1), sells))
        for who, what, units in rows
    ]
    write_table(snapshot / "transactions.parquet", transactions.CONTRACT, trades, record_kind="full")
    write_table(snapshot / "restricted.parquet", restricted.CONTRACT, lists, valid_from=EARLY)
    derived = derive_holdings(snapshot / "transactions.parquet", snapshot / "prices.parquet", None, AS_OF)
    derived.collect().write_parquet(snapshot / "holdings.parquet")
    (run / "quarantine").mkdir(exist_ok=True)
    pl.DataFrame(list(set_aside), schema={"customer_id": pl.String, "asset_id": pl.String}, orient="row").write_parquet(
        run / "quarantine" / "transactions.parquet"
    )


def offer(run: Path, settings: Mapping[str, Any] | None = None) -> RunConfig:
    """A night's recommendations and published files on the market in ``run``, by a popularity model."""
    config = load_config("smoke", settings={"train.models": ["popularity"], "recommend.model": "popularity", **(settings or {})})
    histories = build_histories(run / "snapshot", AS_OF, config.histories, AS_OF, run / "histories" / "present")
    model = train_model(config, "popularity", histories, run / "models" / "popularity")
    recommend(config, run.name, AS_OF, run / "snapshot", histories, model, run / "recommendations")
    write_recommendation_files(Night(run.name, run, AS_OF, config, run.parent, datetime(2024, 6, 28, 20, tzinfo=UTC)))
    return config
