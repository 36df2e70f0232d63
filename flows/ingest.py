"""Steps: simulate, ingest and contracts. From landing files to an accepted snapshot."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from pathlib import Path

import polars as pl

from data_contracts.checkpoint import CheckContext, check_landing
from data_contracts.columns import CAPACITIES
from data_contracts.errors import ContractBlocked, LandingError, StorageError
from data_contracts.holdings import derive_holdings
from data_contracts.landing import LandedTable, SourceFile, read_landing
from data_contracts.releases import Release
from data_contracts.simulate import MarketSettings, simulate_market
from data_contracts.storage import write_parquet
from flows.config import RunConfig
from flows.night import Night
from flows.sections.source import SimulationConfig
from flows.sections.suitability import AboveCapacity, CapacityReached, SuitabilityConfig
from reports.contracts import write_contracts_page


def landing_folder(night: Night) -> Path:
    """The source's folder; the simulated market is made once per setting and kept in the home."""
    source = night.config.source
    if source.format == "simulated":
        return simulated_folder(night.config.simulation, night.home)
    assert source.path is not None, "RunConfig refuses a real source without a path"
    if not source.path.is_dir():
        raise LandingError(f"landing folder {source.path} does not exist", remedy="check --source / source.path")
    return source.path


def simulated_folder(settings: SimulationConfig, home: Path) -> Path:
    """The folder of the simulated market with these settings, simulating it where it is not there yet."""
    size = f"c{settings.customers}-a{settings.assets}-y{settings.years:g}-t{settings.trades_per_customer:g}"
    name = f"{size}-s{settings.seed}-{settings.as_of}"
    folder = home / "markets" / name
    if not folder.exists():
        simulate_market(folder, MarketSettings(**settings.model_dump()))
    return folder


def ingest(night: Night) -> Path:
    """Typed Parquet of every landing table under ``work/landed``, and ``work/landed.json`` saying what was read."""
    into = night.work / "landed"
    source = night.config.source
    tables = read_landing(
        "far_trans" if source.format == "far_trans" else "nightfolio",
        landing_folder(night),
        into,
        night.as_of,
        source.future_rows,
        source.time_zone,
        night.kept,
    )
    record = [{**dataclasses.asdict(table), "path": table.path.name} for table in tables.values()]
    (into / "landed.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    return into


def landed_tables(into: Path) -> dict[str, LandedTable]:
    """What :func:`ingest` recorded, read back."""
    return {
        entry["table"]: LandedTable(
            **{
                **entry,
                "path": into / entry["path"],
                "files": tuple(SourceFile(**file) for file in entry["files"]),
            }
        )
        for entry in json.loads((into / "landed.json").read_text(encoding="utf-8"))
    }


def check_contracts(night: Night, landed: Path) -> Path:
    """Accepted rows to ``snapshot/``, the rest to ``quarantine/``, verdicts to ``contracts/``; then the holdings.

    Raises ContractBlocked where a rule stops the night; what was found is on disk by then.
    """
    context = context_of(night.config, night.as_of, night.releases, night.previous())
    context = dataclasses.replace(context, kept=night.kept)
    try:
        verdicts = check_landing(landed_tables(landed), night.folder, context)
    except ContractBlocked:
        # Whoever is called at night wants to see every rule and count, not only those that blocked.
        found = json.loads((night.folder / "contracts" / "verdicts.json").read_text(encoding="utf-8"))
        write_contracts_page(found, night.folder / "evidence" / "contracts.html")
        raise
    for verdict in verdicts:
        if verdict.read != verdict.accepted + verdict.quarantined:
            raise StorageError(
                f"{verdict.table}: read {verdict.read} rows but {verdict.accepted} accepted + {verdict.quarantined} quarantined",
                remedy="this is a defect of Nightfolio: keep the failed run and report it",
            )
    snapshot = night.folder / "snapshot"
    _derive_holdings(snapshot, night.as_of, context.kept)
    return snapshot


def context_of(config: RunConfig, as_of: date, releases: tuple[Release, ...], previous: Path | None) -> CheckContext:
    """What the contracts are asked with: the settings, the last publication's tables, and what stewards released."""
    limits = config.contracts
    last = [] if previous is None else json.loads((previous / "contracts" / "verdicts.json").read_text(encoding="utf-8"))
    return CheckContext(
        as_of=as_of,
        references={},
        previous_rows={verdict["table"]: verdict["read"] for verdict in last},
        freshness_days=limits.freshness_days,
        volume_change_limit=limits.volume_change_limit,
        price_jump_limit=limits.price_jump_limit,
        quarantine_limits={str(table): share for table, share in limits.quarantine_limits.items()},
        trade_price_tolerance=limits.trade_price_tolerance,
        amount_tolerance=limits.amount_tolerance,
        previous_columns={verdict["table"]: verdict.get("source_columns", {}) for verdict in last},
        releases=releases,
        previous_tables=_accepted_tables(previous),
        capacity_bands=_capacity_bands(config.suitability),
    )


def _accepted_tables(run: Path | None) -> dict[str, Path]:
    """The accepted tables that a run still has; those of an old run may be retired."""
    return {} if run is None else {path.stem: path for path in sorted((run / "snapshot").glob("*.parquet"))}


def _capacity_bands(rules: SuitabilityConfig) -> tuple[str, ...]:
    """The bands that every rule on the capacity knows, and the word for a capacity that is not known."""
    asked = [set(rule.bands) for rule in rules.in_force().values() if isinstance(rule, AboveCapacity | CapacityReached)]
    return ("not_available", *sorted(set.intersection(*asked))) if asked else CAPACITIES


def _derive_holdings(snapshot: Path, as_of: date, kept: Path | None) -> None:
    delivered = snapshot / "delivered_holdings.parquet"
    has_delivered = delivered.exists() and pl.scan_parquet(delivered).select(pl.len()).collect().item() > 0
    derived = derive_holdings(
        snapshot / "transactions.parquet",
        snapshot / "prices.parquet",
        delivered if has_delivered else None,
        as_of,
        kept,
    )
    write_parquet(derived, snapshot / "holdings.parquet")
