"""Checks landed tables against their contracts and splits accepted rows from quarantined ones.

Polars finds the bad rows, Great Expectations counts them again on the same flagged table, and the two counts must
agree. Rows are conserved: read = accepted + quarantined, counted in the files that were written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from data_contracts import (
    assets,
    customers,
    delivered_holdings,
    holdings,
    markets,
    prices,
    restricted,
    transactions,
)
from data_contracts import columns as c
from data_contracts.contract import AS_OF, ROW, CheckContext, Contract, Rule
from data_contracts.expectations import chunks_of, columns_of, count_failures
from data_contracts.landing.landed import LandedTable
from data_contracts.printable import printable
from data_contracts.quarantine import split_rows
from data_contracts.storage import write_parquet
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
    )
}
# Verdicts are told in this order; markets are checked first, since assets refer to them.
ORDER: Final = (
    "assets",
    "markets",
    "customers",
    "prices",
    "transactions",
    "delivered_holdings",
    "restricted",
)
_CHECK_ORDER: Final = ("markets", "assets", *ORDER[2:])
_EXAMPLES = 3


def check_landing(landed: Mapping[str, LandedTable], run_dir: Path, context: CheckContext) -> list[TableVerdict]:
    """Checks every landed table; each finds the accepted tables before it among its references.

    Writes ``run_dir``/snapshot/TABLE.parquet, quarantine/TABLE.parquet, contracts/TABLE.gx.json and
    contracts/verdicts.json, all of them before it raises ContractBlocked.
    """
    folders = {name: run_dir / name for name in ("snapshot", "quarantine", "contracts")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    references = dict(context.references)
    found: dict[str, TableVerdict] = {}
    for table in (name for name in _CHECK_ORDER if name in landed):
        accepted = folders["snapshot"] / f"{table}.parquet"
        found[table] = check_table(
            landed[table],
            accepted,
            folders["quarantine"] / f"{table}.parquet",
            folders["contracts"] / f"{table}.gx.json",
            replace(context, references=references),
        )
        references[table] = accepted
    verdicts = [found[table] for table in ORDER if table in found]
    write_verdicts(folders["contracts"] / "verdicts.json", verdicts)
    raise_if_blocked(verdicts, run_dir)
    return verdicts


def check_table(landed: LandedTable, accepted: Path, quarantine: Path, gx_json: Path, context: CheckContext) -> TableVerdict:
    """Checks one table against the contract of its name; writes accepted and quarantined rows. Blocks nothing itself.

    Raises RuntimeError where rows are lost or the two engines count differently.
    """
    contract = CONTRACTS[landed.table]
    for path in (accepted, quarantine, gx_json):
        path.parent.mkdir(parents=True, exist_ok=True)
    flagged_path = accepted.with_name(f".{landed.table}.flagged.parquet")
    try:
        asked = _write_flagged(contract, landed, flagged_path, context)
        flagged = pl.scan_parquet(flagged_path)
        failed = _count_both(contract, landed, flagged_path, gx_json)
        split_rows(contract, flagged, accepted, quarantine)
        verdicts = tuple(
            _rule_verdict(contract, rule, failed[rule.rule_id], landed, flagged, rule.rule_id in asked, context)
            for rule in contract.rules
        )
        newest = _newest_age(contract, flagged, context)
    finally:
        flagged_path.unlink(missing_ok=True)
    n_accepted, n_quarantined = (int(pq.read_metadata(path).num_rows) for path in (accepted, quarantine))
    facts = TableFacts(landed.read, n_quarantined, newest)
    return TableVerdict(
        table=contract.table,
        contract_version=contract.version,
        landed=landed.landed,
        read=landed.read,
        withheld=landed.withheld,
        accepted=n_accepted,
        quarantined=n_quarantined,
        rules=(*verdicts, *check_facts(contract, landed, facts, context)),
        notes=landed.notes,
    )


def _write_flagged(contract: Contract, landed: LandedTable, path: Path, context: CheckContext) -> set[str]:
    """Writes the table with one boolean column per rule; returns the rules that could be asked."""
    table = _with_provenance(pl.scan_parquet(landed.path), contract)
    numbered = table.with_columns(pl.lit(context.as_of).alias(AS_OF)).with_row_index(ROW)
    asked, hits = set(), []
    for rule in contract.rules:
        found = rule.search(numbered, context) if rule.search is not None else None
        if found is not None:
            hits.append(pl.DataFrame({ROW: found.cast(pl.get_index_type())}).with_columns(pl.lit(rule.rule_id).alias("rule")))
        if found is not None or rule.bad is not None:
            asked.add(rule.rule_id)
    searched = [rule for rule in contract.rules if rule.search is not None]
    if hits:
        marks = (
            pl.concat(hits).group_by(ROW).agg((pl.col("rule") == rule.rule_id).any().alias(rule.ok_column) for rule in searched)
        )
        numbered = numbered.join(marks.lazy(), on=ROW, how="left", maintain_order="left")
        from_search = [(~pl.col(rule.ok_column).fill_null(False)).alias(rule.ok_column) for rule in searched]
    else:
        from_search = [pl.lit(True).alias(rule.ok_column) for rule in searched]
    from_row = [(~rule.bad.fill_null(False)).alias(rule.ok_column) for rule in contract.rules if rule.bad is not None]
    write_parquet(numbered.with_columns(*from_search, *from_row), path)
    return asked


def _with_provenance(table: pl.LazyFrame, contract: Contract) -> pl.LazyFrame:
    """Gives a derived table the columns that say where a row came from, so that one check serves all tables."""
    present = table.collect_schema().names()
    if c.SOURCE_ROW not in present:
        table = table.with_row_index(c.SOURCE_ROW, offset=1).with_columns(pl.col(c.SOURCE_ROW).cast(pl.Int64))
    absent = {
        c.SOURCE_FILE: pl.lit(contract.table),
        c.TYPE_ERRORS: pl.lit([], dtype=pl.List(pl.String)),
        c.RAW: pl.lit(None, dtype=pl.String),
    }
    return table.with_columns(value.alias(name) for name, value in absent.items() if name not in present)


def _count_both(contract: Contract, landed: LandedTable, flagged: Path, gx_json: Path) -> dict[str, int]:
    """Failing rows per rule, counted by Polars and by Great Expectations. Raises RuntimeError where they differ."""
    frame = pl.scan_parquet(flagged)
    sums = frame.select((~pl.col(r.ok_column)).sum().alias(r.rule_id) for r in contract.rules).collect(engine="streaming")
    ours = {rule.rule_id: int(sums[rule.rule_id][0]) for rule in contract.rules}
    expectations = {rule.rule_id: rule.expectation for rule in contract.rules if rule.expectation is not None}
    needed = sorted({name for expectation in expectations.values() for name in columns_of(expectation)})
    # An empty frame passes everything: no chunk is handed over, and row_count is judged on the table's facts.
    chunks = chunks_of(flagged, needed) if landed.read else ()
    theirs = count_failures(contract.table, expectations, chunks, gx_json)
    for rule_id, counted in theirs.items():
        if counted.failed != ours[rule_id] or counted.checked != landed.read:
            raise RuntimeError(
                f"{contract.table}: two engines disagree on rule {rule_id}: Polars finds {ours[rule_id]} bad rows of "
                f"{landed.read}, Great Expectations {counted.failed} of {counted.checked}"
            )
    return ours


def _newest_age(contract: Contract, flagged: pl.LazyFrame, context: CheckContext) -> int | None:
    """Days between as_of and the newest row not after it."""
    if contract.date_column is None:
        return None
    day = pl.col(contract.date_column)
    newest = flagged.select(day.filter(day <= context.as_of).max()).collect(engine="streaming").item()
    return None if newest is None else int((context.as_of - newest).days)


def _rule_verdict(
    contract: Contract,
    rule: Rule,
    failed: int,
    landed: LandedTable,
    flagged: pl.LazyFrame,
    asked: bool,
    context: CheckContext,
) -> RuleVerdict:
    """The verdict on one rule: its severity where rows broke it, ``block`` where their share passes its limit."""
    share = failed / landed.read if landed.read else 0.0
    over = rule.severity != "block" and share > rule.limit
    outcome: Outcome = "pass" if failed == 0 else "block" if over else rule.severity
    examples = _examples(rule, landed, flagged) if failed else ()
    complaint = rule.complaint.format(
        **{
            "as_of": context.as_of,
            "is": "is" if failed == 1 else "are",
            "has": "has" if failed == 1 else "have",
        },
        jump=f"{context.price_jump_limit:.0%}",
    )
    beyond = f"; {share:.1%} of all, the limit is {rule.limit:.1%}" if over else ""
    message = f"{landed.said}: {rows(failed)} {complaint}{beyond} (first: {examples[0]})" if failed else ""
    return RuleVerdict(
        table=contract.table,
        rule_id=rule.rule_id,
        description=rule.description if asked else f"{rule.description} (not asked: no such table in this source)",
        columns=rule.columns,
        severity=rule.severity,
        outcome=outcome,
        failed=failed,
        checked=landed.read if asked else 0,
        limit=rule.limit,
        remedy=rule.remedy,
        examples=examples,
        message=message,
    )


def _examples(rule: Rule, landed: LandedTable, flagged: pl.LazyFrame) -> tuple[str, ...]:
    """The first failing rows: number in the source file, and values of columns that identify nobody."""
    shown = [name for name in rule.columns if name not in c.IDENTIFYING and name != c.TYPE_ERRORS]
    first = (
        flagged.filter(~pl.col(rule.ok_column))
        .head(_EXAMPLES)
        .select(c.SOURCE_FILE, c.SOURCE_ROW, c.TYPE_ERRORS, c.RAW, *shown)
        .collect()
    )
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
        examples.append(", ".join([place, *words]))
    return tuple(examples)
