"""A contract's rule as an expectation of Great Expectations whose body is Polars.

The library's engines are pandas, SQL and Spark. So a batch here is a frame of one cell, the ticket under which a flagged
table was left, and the metric behind every expectation of a suite is that table's counts: the library asks for it once,
however many expectations depend on it, and Polars answers in one streaming pass over the file.

Imported by ``suites`` when the library is first needed: it takes seconds.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from data_contracts import columns as c
from data_contracts.flagged import FlaggedTable, TableCounts

METRIC = "contract.counts"
TICKET = "flagged_table"
_EXAMPLES = 3


@dataclass
class Left:
    """A table left for the metric, and what the metric counted."""

    table: FlaggedTable
    counts: TableCounts | None = None


_left: dict[int, Left] = {}
_numbers = itertools.count(1)


@contextlib.contextmanager
def left(table: FlaggedTable) -> Iterator[tuple[int, Left]]:
    """Leaves a table for the metric under a ticket, and takes it back."""
    ticket = next(_numbers)
    _left[ticket] = Left(table)
    try:
        yield ticket, _left[ticket]
    finally:
        del _left[ticket]


class ContractCounts(TableMetricProvider):  # type: ignore[misc]
    """TableCounts of the table that the batch names, and where the first bad rows of each broken rule stand."""

    metric_name = METRIC

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(
        cls,
        execution_engine: Any,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> tuple[TableCounts, dict[str, list[dict[str, Any]]]]:
        batch, _, _ = execution_engine.get_compute_domain(domain_kwargs=metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE)
        asked = _left[int(batch[TICKET].iloc[0])]
        asked.counts = asked.table.count()
        broken = [rule for rule in asked.table.contract.rules if asked.counts.failed[rule.rule_id]]
        return asked.counts, {rule.rule_id: _places(asked.table, rule.ok_column) for rule in broken}


def _places(table: FlaggedTable, ok_column: str) -> list[dict[str, Any]]:
    first = table.frame.filter(~pl.col(ok_column)).head(_EXAMPLES).select(c.SOURCE_FILE, c.SOURCE_ROW)
    return first.collect(engine="streaming").to_dicts()


class ExpectRowsToKeepRule(BatchExpectation):  # type: ignore[misc]
    """Expect every row to keep one rule of the table's contract.

    ``statement``: the rule's expression or search, so that the stored suite says what was asked.
    """

    rule_id: str
    statement: str

    metric_dependencies: ClassVar[tuple[str, ...]] = (METRIC,)
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)
    success_keys: ClassVar[tuple[str, ...]] = ("rule_id", "statement")
    args_keys: ClassVar[tuple[str, ...]] = ("rule_id", "statement")

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        counts, places = metrics[METRIC]
        failed = counts.failed[self.rule_id]
        result = {
            "element_count": counts.rows,
            "unexpected_count": failed,
            "unexpected_percent": 100.0 * failed / counts.rows if counts.rows else 0.0,
            "partial_unexpected_index_list": places.get(self.rule_id, []),
        }
        return {"success": failed == 0, "result": result}
