"""Checks landed tables against their contracts and splits accepted rows from quarantined ones.

Great Expectations runs the contract's suite, whose expectations are evaluated by Polars on the whole table, and its native
expectations on a sample, where both must count the same. Rows are conserved: read = accepted + quarantined, counted in
the files that were written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from data_contracts import (
    assets,
    customers,
    delivered_holdings,
    holdings,
    markets,
    prices,
    recommendations,
    restricted,
    transactions,
)
from data_contracts import columns as c
from data_contracts.check_context import CheckContext
from data_contracts.coded_table import code_columns, extended, keep_codes, without
from data_contracts.contents import compare_contents
from data_contracts.contract import ROW, Contract, Rule
from data_contracts.expectations import Later, at_once
from data_contracts.findings import carried_of, hashes_of, keep_findings
from data_contracts.flagged import FlaggedTable, TableCounts, flag_table
from data_contracts.landing.conform import empty_table
from data_contracts.landing.landed import LandedTable
from data_contracts.parts import part_files, row_count
from data_contracts.printable import printable
from data_contracts.quarantine import split_rows
from data_contracts.reconcile import with_reconciliation
from data_contracts.released import Released, released_rows
from data_contracts.repairs import repair_table
from data_contracts.suites import validate_table
from data_contracts.table_rules import TableFacts, check_facts
from data_contracts.verdicts import Outcome, RuleVerdict, TableVerdict, raise_if_blocked, rows, write_verdicts

__all__ = ["CONTRACTS", "CheckContext", "RuleVerdict", "TableVerdict", "check_landing", "check_table"]

CONTRACTS: Final[dict[str, Contract]] = {
    contract.table: contract
    for contract in (
        assets.CONTRACT,
        markets.CONTRACT,
        customers.CONTRACT,
        prices.CONTRACT,
        transactions.CONTRACT,
        delivered_holdings.CONTRACT,
        restricted.CONTRACT,
        holdings.CONTRACT,
        recommendations.CONTRACT,
    )
}
# Verdicts are told in this order; markets are checked first, since assets refer to them, and delivered holdings before
# transactions, which start from them.
ORDER: Final = (
    "assets",
    "markets",
    "customers",
    "prices",
    "transactions",
    "delivered_holdings",
    "restricted",
)
_CHECK_ORDER: Final = ("markets", "assets", "customers", "prices", "delivered_holdings", "transactions", "restricted")
_EXAMPLES = 3


def check_landing(
    landed: Mapping[str, LandedTable],
    run_dir: Path,
    context: CheckContext,
    told: Callable[[list[TableVerdict]], object] = lambda verdicts: None,
) -> list[TableVerdict]:
    """Checks every landed table; each finds the accepted tables before it among its references.

    Writes ``run_dir``/snapshot/TABLE.parquet, quarantine/TABLE.parquet, contracts/TABLE.gx.json and
    contracts/verdicts.json, all of them before it raises ContractBlocked. ``told`` is given the verdicts even then.
    """
    folders = {name: run_dir / name for name in ("snapshot", "quarantine", "contracts")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    references = dict(context.references)
    found: dict[str, TableVerdict] = {}
    landed = {**_gone(landed, folders["contracts"], context), **landed}
    # Second opinions are single-threaded and waited for by nobody: beside the check of the tables that follow.
    with ThreadPoolExecutor(1) as beside:
        opinions: list[Future[None]] = []
        for table in (name for name in _CHECK_ORDER if name in landed):
            accepted = folders["snapshot"] / f"{table}.parquet"
            found[table] = check_table(
                landed[table],
                accepted,
                folders["quarantine"] / f"{table}.parquet",
                folders["contracts"] / f"{table}.gx.json",
                replace(context, references=references),
                later=lambda work: opinions.append(beside.submit(work)),
            )
            references[table] = accepted
    verdicts = [found[table] for table in ORDER if table in found]
    stated = landed["delivered_holdings"].said if "delivered_holdings" in landed else ""
    verdicts = with_reconciliation(verdicts, folders["snapshot"], context.as_of, stated)
    write_verdicts(folders["contracts"] / "verdicts.json", verdicts)
    told(verdicts)
    for opinion in opinions:
        opinion.result()  # raises where the engines disagree; what was found is on disk by then
    raise_if_blocked(verdicts, run_dir)
    return verdicts


def _gone(landed: Mapping[str, LandedTable], folder: Path, context: CheckContext) -> dict[str, LandedTable]:
    """Tables that had rows at the last publication and are not delivered: empty ones, so that their rules are asked."""
    gone = {}
    for table in ORDER:
        if table not in landed and context.previous_rows.get(table, 0):
            path = folder / f"{table}.gone.parquet"
            empty_table(CONTRACTS[table]).write_parquet(path)
            gone[table] = LandedTable(table, path, 0, 0, 0, (), ("the table is not delivered any more",))
    return gone


def check_table(
    landed: LandedTable, accepted: Path, quarantine: Path, gx_json: Path, context: CheckContext, later: Later = at_once
) -> TableVerdict:
    """Checks one table against the contract of its name; writes accepted and quarantined rows. Blocks nothing itself.

    ``later``: takes what the verdict does not wait for, the second opinions, which end ``gx_json``. Raises RuntimeError where
    rows are lost or (where that is done) the two engines count differently.
    """
    contract = CONTRACTS[landed.table]
    for path in (accepted, quarantine, gx_json):
        path.parent.mkdir(parents=True, exist_ok=True)
    repairs_path = quarantine.with_name(f"repairs_{landed.table}.parquet")
    hashes = hashes_of(landed.path, context)
    carried = carried_of(contract, landed.path, hashes, context)
    fresh = as_landed = landed_rows(contract, landed.path)
    if carried is not None:
        fresh = landed_rows(contract, landed.path, carried.files)
    coded = code_columns(fresh, contract.coded) if carried is None else extended(carried.coded, fresh)
    repaired, repairs = repair_table(contract, fresh, landed.said, landed.read, repairs_path, coded)
    if carried is not None and repaired is fresh:
        repaired = as_landed  # neither what is new nor what was kept needed one
    elif carried is not None:
        carried = None
        repaired, repairs = repair_table(contract, as_landed, landed.said, landed.read, repairs_path, coded)
    table = flag_table(contract, repaired, context, coded if repaired is as_landed else None, fresh, carried)
    counts = validate_table(table, gx_json, later) if context.ask_library else table.count()
    if counts.rows != landed.read:
        raise RuntimeError(f"{contract.table}: {landed.read} rows were read, but {counts.rows} checked")
    released = released_rows(table, counts, context.releases)
    aside = split_rows(table, counts, landed.path, accepted, quarantine, released.rows, repaired=repaired is not as_landed)
    codes = keep_codes(accepted, without(table.coded, aside.to_numpy())) if table.coded else None
    if repaired is as_landed:
        keep_findings(table, counts, hashes, context, None if len(aside) else codes)
    verdicts = tuple(rule_verdict(table, rule, counts, released, landed, context) for rule in contract.rules)
    newest = None if counts.newest is None else (context.as_of - counts.newest).days
    n_accepted, n_quarantined = row_count(accepted), row_count(quarantine)
    before = context.previous_tables.get(contract.table)
    contents, unread = None, tuple[str, ...]()
    try:
        contents = None if before is None else compare_contents(contract, accepted, before)
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError):
        unread = ("the last publication's rows of this table cannot be read, and are not compared: see nightfolio verify",)
    facts = TableFacts(landed.read, n_quarantined, newest, contents)
    return TableVerdict(
        table=contract.table,
        contract_version=contract.version,
        landed=landed.landed,
        read=landed.read,
        withheld=landed.withheld,
        accepted=n_accepted,
        quarantined=n_quarantined,
        rules=(*repairs, *verdicts, *check_facts(contract, landed, facts, context, later)),
        notes=(*landed.notes, *released.notes, *unread),
        contract_sha256=contract.sha256,
        source_columns=landed.columns,
        releases=released.records,
    )


def landed_rows(contract: Contract, path: Path, after: int = 0) -> pl.LazyFrame:
    """The landed table with every column that says where a row came from; of a folder, the files ``after`` the first so many.

    A part in which every field converted has no columns that say otherwise, and a derived table has none of them.
    """
    provenance = {
        c.SOURCE_FILE: pl.String(),
        c.SOURCE_ROW: pl.Int64(),
        c.TYPE_ERRORS: pl.List(pl.String()),
        c.RAW: pl.String(),
        c.RESPELT: pl.String(),
    }
    if path.is_dir():
        schema = {**contract.schema, **provenance}
        files = part_files(path)[after:]
        return pl.scan_parquet(files, schema=schema, missing_columns="insert") if files else pl.LazyFrame(schema=schema)
    table = pl.scan_parquet(path)
    present = table.collect_schema().names()
    if c.SOURCE_ROW not in present:
        table = table.with_row_index(c.SOURCE_ROW, offset=1).with_columns(pl.col(c.SOURCE_ROW).cast(pl.Int64))
    absent = {
        c.SOURCE_FILE: pl.lit(contract.table),
        c.TYPE_ERRORS: pl.lit([], dtype=pl.List(pl.String)),
        c.RAW: pl.lit(None, dtype=pl.String),
        c.RESPELT: pl.lit(None, dtype=pl.String),
    }
    return table.with_columns(value.alias(name) for name, value in absent.items() if name not in present)


def rule_verdict(
    table: FlaggedTable, rule: Rule, counts: TableCounts, released: Released, landed: LandedTable, context: CheckContext
) -> RuleVerdict:
    """The verdict on one rule: its severity where rows broke it, ``block`` where their share passes its limit.

    Rows that a steward released count as failed, since both engines find them so, but decide nothing.
    """
    contract, asked, let_pass = table.contract, rule.rule_id in table.asked, released.count(rule.rule_id)
    failed, able = counts.failed[rule.rule_id], counts.among.get(rule.rule_id, landed.read)
    share = (failed - let_pass) / able if able else 0.0
    over = rule.severity != "block" and share > rule.limit
    outcome: Outcome = "pass" if failed == let_pass else "block" if over else rule.severity
    examples = _examples(rule, landed, table, context) if failed else ()
    complaint = rule.complaint.format(
        **{
            "as_of": context.as_of,
            "is": "is" if failed == 1 else "are",
            "has": "has" if failed == 1 else "have",
        },
        jump=f"{context.price_jump_limit:.0%}",
    )
    whole = "all" if rule.among is None else f"the {able:,} that can"
    beyond = f"; {share:.1%} of {whole}, the limit is {rule.limit:.1%}" if over else ""
    besides = f", {let_pass:,} of them released" if let_pass else ""
    message = f"{landed.said}: {rows(failed)} {complaint}{besides}{beyond} (first: {examples[0]})" if failed else ""
    return RuleVerdict(
        table=contract.table,
        rule_id=rule.rule_id,
        description=rule.description if asked else f"{rule.description} (not asked: there is nothing to hold it against)",
        columns=rule.columns,
        severity=rule.severity,
        outcome=outcome,
        failed=failed,
        checked=able if asked else 0,
        limit=rule.limit,
        remedy=rule.remedy,
        examples=examples,
        message=message,
        released=let_pass,
    )


def _examples(rule: Rule, landed: LandedTable, table: FlaggedTable, context: CheckContext) -> tuple[str, ...]:
    """The first failing rows: number in the source file, and values of columns that identify nobody."""
    shown = [name for name in rule.columns if name not in c.IDENTIFYING and name != c.TYPE_ERRORS]
    first = (
        table.frame.filter(~pl.col(rule.ok_column))
        .head(_EXAMPLES)
        .select(ROW, c.SOURCE_FILE, c.SOURCE_ROW, c.TYPE_ERRORS, c.RAW, *shown)
        .collect()
    )
    details = rule.detail(table.rows, first[ROW], context) if rule.detail is not None else {}
    several = len({file.name for file in landed.files}) > 1
    examples = []
    for row in first.iter_rows(named=True):
        place = f"row {row[c.SOURCE_ROW]:,}" + (f" of {row[c.SOURCE_FILE]}" if several else "")
        values = {name: row[name] for name in shown}
        if rule.rule_id == "type":
            raw = json.loads(row[c.RAW]) if row[c.RAW] else {}
            values = {name: raw.get(name, "?") for name in row[c.TYPE_ERRORS] if name not in c.IDENTIFYING}
        words = [
            printable(value) if len(values) == 1 and rule.rule_id != "type" else f"{name}={printable(value)}"
            for name, value in values.items()
        ]
        examples.append(", ".join([place, *words, *([details[row[ROW]]] if row[ROW] in details else [])]))
    return tuple(examples)
