"""Great Expectations' native expectations on frames of Arrow types: the second opinion, and rules on a table's facts.

Traps this file is built around (see the versions in the lock file): an empty frame passes nearly everything, so an
empty table is not handed over and its row count is judged on a frame of facts that always has one row; an exception
inside an expectation looks like an ordinary failure without a result, so a result without its count is an error here;
numpy types turn nullable integers into floats and let wrong values pass, so frames carry Arrow types.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import pyarrow as pa

from data_contracts.contract import Expectation

# The library keeps state of its own: one thread at a time.
LIBRARY_LOCK: Final = threading.Lock()

# Takes a piece of checking that nothing waits for, and does it now or beside what follows; its errors come out in the end.
Later = Callable[[Callable[[], None]], object]


def at_once(work: Callable[[], None]) -> None:
    """The ``Later`` that does it now."""
    work()


@dataclass(frozen=True)
class Counted:
    """Rows that an expectation found wrong, and rows it looked at (nulls included)."""

    failed: int
    checked: int


@functools.cache
def library() -> tuple[Any, Any]:
    """The library and a batch definition for frames. Imported on first use: it takes seconds, and most commands need none."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before the import, which is when it is read
    with warnings.catch_warnings():
        # The library imports modules that Python and pandas have since deprecated; not ours to mend.
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it tells of its temporary folders
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("landing")
    batch = source.add_dataframe_asset("table").add_batch_definition_whole_dataframe("whole")
    return gx, batch


def columns_of(expectation: Expectation) -> tuple[str, ...]:
    """The columns of the table that an expectation looks at."""
    places = ("column", "column_A", "column_B")
    names = (expectation.arguments[place] for place in places if place in expectation.arguments)
    return tuple(name for name in names if name not in expectation.constants)


def count_failures(table: str, expectations: Mapping[str, Expectation], frames: Iterable[pa.Table]) -> dict[str, Counted]:
    """Runs the suite {rule id: expectation} on every frame and adds up.

    Raises RuntimeError where an expectation did not run: no count must ever look like no failure.
    """
    import pandas as pd

    gx, batch_definition = library()
    asked = [
        getattr(gx.expectations, expectation.kind)(**expectation.arguments, meta={"rule_id": rule_id})
        for rule_id, expectation in expectations.items()
    ]
    # All at once: one added to a suite is first compared with every other.
    suite = gx.ExpectationSuite(name=table, expectations=asked)
    totals = {rule_id: Counted(0, 0) for rule_id in expectations}
    for chunk in frames:
        frame = _with_constants(chunk, expectations.values()).to_pandas(types_mapper=pd.ArrowDtype)
        with LIBRARY_LOCK:
            batch = batch_definition.get_batch(batch_parameters={"dataframe": frame})
            outcome = batch.validate(suite, result_format="BASIC")  # the least that counts
        seen = {result.expectation_config.meta["rule_id"]: result for result in outcome.results}
        for rule_id in expectations:
            found = _count(table, rule_id, seen.get(rule_id), len(frame))
            before = totals[rule_id]
            totals[rule_id] = Counted(before.failed + found.failed, before.checked + found.checked)
    return totals


def _with_constants(chunk: pa.Table, expectations: Iterable[Expectation]) -> pa.Table:
    """The chunk with the constant columns its expectations ask for. Raises RuntimeError where two of them clash."""
    constants: dict[str, float | date] = {}
    for expectation in expectations:
        for name, value in expectation.constants.items():
            if constants.setdefault(name, value) != value:
                raise RuntimeError(f"constant {name} is {constants[name]} for one rule and {value} for another")
    for name, value in constants.items():
        chunk = chunk.append_column(name, pa.repeat(pa.scalar(value), chunk.num_rows))
    return chunk


def _count(table: str, rule_id: str, result: Any, rows: int) -> Counted:
    """The count of one result. Only counts are taken over: the library's samples may hold what identifies a person."""
    if result is None or "unexpected_count" not in result.result:
        detail = "no result" if result is None else str(result.exception_info)
        raise RuntimeError(f"{table}: the expectation of rule {rule_id} did not run: {detail}")
    failed = int(result.result["unexpected_count"])
    if bool(result.success) != (failed == 0):
        raise RuntimeError(f"{table}: the expectation of rule {rule_id} counts {failed} but says {result.success}")
    return Counted(failed, rows)
