"""A contract as a suite of Great Expectations: built, run on a whole table, and written in the library's own JSON.

The suite's expectations are ``rule_expectation.ExpectRowsToKeepRule``, whose body is Polars: one streaming pass over the
table, whatever its size. A second opinion from Polars about Polars would prove little, so each rule's native expectation
is run as well, by the library's pandas engine (``expectations``), on a stretch of at most SAMPLE_ROWS rows (a small table
is checked whole), and both must come to the same counts there. Of a rule that a search answers, and of an expression that
the library has no expectation for, it only counts our own flags again, and its result says so (``independent``): whether a
row repeats another, or refers to none, is not seen in a stretch of the table, and the library's expectation of unique
compound columns counts the first of equal rows too, so that its number would be another even where both are right.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import polars as pl

from data_contracts.contract import Contract, Severity
from data_contracts.expectations import LIBRARY_LOCK, Counted, Later, at_once, columns_of, count_failures, library
from data_contracts.flagged import FlaggedTable, TableCounts

SAMPLE_ROWS: Final = 100_000
_SEVERITIES: Final[dict[Severity, str]] = {"block": "critical", "quarantine": "warning", "warn": "info"}


def suite_of(contract: Contract) -> Any:
    """The contract as a great_expectations.ExpectationSuite of the table's name, versioned with the contract."""
    gx, _ = library()
    from data_contracts.rule_expectation import ExpectRowsToKeepRule

    rules = [
        ExpectRowsToKeepRule(
            rule_id=rule.rule_id,
            statement=rule.statement,
            description=rule.description,
            notes=rule.remedy,
            severity=_SEVERITIES[rule.severity],
            meta={"severity": rule.severity, "limit": rule.limit, "columns": list(rule.columns)},
        )
        for rule in contract.rules
    ]
    return gx.ExpectationSuite(name=contract.table, meta={"contract_version": contract.version}, expectations=rules)


def validate_table(table: FlaggedTable, gx_json: Path, later: Later = at_once) -> TableCounts:
    """Runs the contract's suite on the whole table and writes suite, result and second opinion to ``gx_json``.

    The second opinion and the writing are handed to ``later``, since the counts do not wait for them. Raises RuntimeError where
    an expectation did not run, or (where that is done) where the native expectations count otherwise.
    """
    import pandas as pd

    gx, batch_definition = library()
    from data_contracts.rule_expectation import TICKET, left

    contract, suite = table.contract, suite_of(table.contract)
    with left(table) as (ticket, asked), LIBRARY_LOCK:
        batch = batch_definition.get_batch(batch_parameters={"dataframe": pd.DataFrame({TICKET: [ticket]})})
        outcome = batch.validate(suite, result_format="SUMMARY")
    for result in outcome.results:
        if "unexpected_count" not in result.result:
            rule_id = result.expectation_config.kwargs["rule_id"]
            raise RuntimeError(
                f"{contract.table}: the expectation of rule {rule_id} did not run: {_problem(result.exception_info)}"
            )
    assert asked.counts is not None, "the expectations ran"
    counts = asked.counts
    document = {
        "suite": suite.to_json_dict(),
        "success": bool(outcome.success),
        "statistics": outcome.statistics,
        "results": [_result(result.to_json_dict()) for result in outcome.results],
        "engine": f"great_expectations {gx.__version__}, custom expectations evaluated by Polars {pl.__version__}",
    }

    def finish() -> None:
        opinion: dict[str, Any] = {"error": "it was not formed"}
        try:
            opinion = _second_opinion(table, counts.rows)
        except RuntimeError as error:
            opinion = {"error": str(error)}  # when the engines disagree the file is needed most
            raise
        finally:
            whole = document | {"second_opinion": opinion}
            gx_json.write_text(json.dumps(whole, indent=1, default=str) + "\n", encoding="utf-8")

    later(finish)
    return counts


def _problem(exception_info: Any) -> str:
    found = exception_info if "exception_message" in exception_info else next(iter(exception_info.values()), {})
    return str(found.get("exception_message", exception_info))


def _result(result: dict[str, Any]) -> dict[str, Any]:
    """The library's result of one expectation, without what differs from run to run."""
    kwargs = {name: value for name, value in result["expectation_config"]["kwargs"].items() if name != "batch_id"}
    return {"success": result["success"], "type": result["expectation_config"]["type"], **kwargs, "result": result["result"]}


def _second_opinion(table: FlaggedTable, n_rows: int) -> dict[str, Any]:
    """The native expectations on a stretch of the table. Raises RuntimeError where they count other bad rows there."""
    contract = table.contract
    native = {rule.rule_id: rule.expectation for rule in contract.rules if rule.expectation is not None}
    taken = min(n_rows, SAMPLE_ROWS)
    # The same table gives the same stretch; another table another one.
    drawn = int.from_bytes(hashlib.sha256(f"{contract.table} {n_rows} {table.as_of}".encode()).digest()[:8])
    first = drawn % (n_rows - taken + 1)
    needed = sorted({name for expectation in native.values() for name in columns_of(expectation)})
    flags = [rule.ok_column for rule in contract.rules if rule.rule_id in native]
    sample = table.flag(table.rows.slice(first, taken)).select(*{*needed, *flags}).collect()
    # An empty frame passes everything: it is not handed over, and row_count is judged on the table's facts.
    frames = [sample.select(needed).to_arrow()] if taken else []
    theirs = count_failures(contract.table, native, frames)
    for rule in contract.rules:
        if rule.rule_id not in native:
            continue
        ours, counted = int((~sample[rule.ok_column]).sum()), theirs[rule.rule_id]
        if counted != Counted(ours, taken):
            raise RuntimeError(
                f"{contract.table}: two engines disagree on rule {rule.rule_id}: Polars finds {ours} bad rows of "
                f"{taken}, Great Expectations {counted.failed} of {counted.checked}"
            )
    return {
        "engine": "great_expectations, native expectations on pandas with Arrow types",
        "first_row": first,
        "rows": taken,
        "of": n_rows,
        "results": [
            {
                "rule_id": rule_id,
                "expectation": expectation.kind,
                "arguments": {**expectation.arguments, **expectation.constants},
                "element_count": theirs[rule_id].checked,
                "unexpected_count": theirs[rule_id].failed,
                "independent": expectation.arguments.get("column") not in flags,
            }
            for rule_id, expectation in native.items()
        ],
    }
