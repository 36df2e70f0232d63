"""Checks tables that the night itself makes: the holdings that it derives and the recommendations that it publishes.

As of every landed table a contract's suite is run by Great Expectations on every row. What differs is what a bad row means:
it was not delivered, so nothing is set aside, released or repaired, and there is no earlier delivery to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import CONTRACTS, landed_rows, rule_verdict
from data_contracts.contract import Contract
from data_contracts.flagged import flag_table
from data_contracts.landing.landed import LandedTable
from data_contracts.parts import row_count
from data_contracts.released import Released
from data_contracts.suites import validate_table
from data_contracts.verdicts import RuleVerdict, TableVerdict


def check_made(table: str, path: Path, gx_json: Path, context: CheckContext) -> TableVerdict:
    """Asks the contract of ``table`` of the file at ``path``; writes ``gx_json``. Blocks nothing itself.

    A file whose columns are not the contract's gets a verdict of that one finding, for no rule could be asked of it. Raises
    ValueError where the table is not one that the night makes.
    """
    contract = CONTRACTS[table]
    if not contract.made:
        raise ValueError(f"{table} is delivered: it is checked by check_table")
    n_rows = row_count(path)
    columns = _columns_verdict(contract, pl.read_parquet_schema(path))
    rules = [columns]
    if columns.outcome == "pass":
        landed = LandedTable(table, path, n_rows, n_rows, 0, ())
        flagged = flag_table(contract, landed_rows(contract, path), context)
        gx_json.parent.mkdir(parents=True, exist_ok=True)
        counts = validate_table(flagged, gx_json) if context.ask_library else flagged.count()
        rules += [rule_verdict(flagged, rule, counts, Released({}), landed, context) for rule in contract.rules]
    return TableVerdict(
        table=table,
        contract_version=contract.version,
        landed=n_rows,
        read=n_rows,
        withheld=0,
        accepted=n_rows,
        quarantined=0,
        rules=tuple(rules),
        contract_sha256=contract.sha256,
    )


def _columns_verdict(contract: Contract, found: Mapping[str, pl.DataType]) -> RuleVerdict:
    """Whether the file has the contract's columns, with their types and in their order, and no other."""
    expected = contract.schema
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is not in the contract" for name in found if name not in expected]
    wrong += [
        f"{name} is {found[name]}, not {dtype}" for name, dtype in expected.items() if name in found and found[name] != dtype
    ]
    if not wrong and list(found) != list(expected):
        wrong = [f"their order is {', '.join(found)}"]
    return RuleVerdict(
        table=contract.table,
        rule_id="columns",
        description="the file has the contract's columns, with their types, in their order, and no other",
        columns=(),
        severity="block",
        outcome="block" if wrong else "pass",
        failed=len(wrong),
        checked=max(len(expected), len(found)),
        limit=0.0,
        remedy="this is a fault of Nightfolio: do not use the file, keep the run and report it",
        examples=tuple(wrong[:3]),
        message=f"{contract.table}: columns that are not the contract's: {'; '.join(wrong)}" if wrong else "",
    )
