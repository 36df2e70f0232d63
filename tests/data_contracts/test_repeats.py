"""Searches that share their pass find what each finds alone, and what a plain loop over the rows finds."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts import repeats
from data_contracts.check_context import CheckContext
from data_contracts.contract import ROW, Column, Contract, Rule
from data_contracts.searches import conflicting_key, exact_repeats

CONTEXT = CheckContext.by_default(date(2021, 6, 30))
COLUMNS = tuple(Column(name, pl.Int64(), name, nullable=True) for name in ("who", "what", "number", "value"))


def rule(rule_id: str, search: object) -> Rule:
    return Rule(rule_id, rule_id, (), "quarantine", "{is}", "", search=search)  # type: ignore[arg-type]


CONTRACT = Contract(
    table="t",
    version="1",
    description="",
    key=("who",),
    columns=COLUMNS,
    rules=(
        rule("repeat", exact_repeats(("who", "what", "number", "value"))),
        rule("unnumbered", exact_repeats(("who", "what"), among=pl.col("number").is_null())),
        rule("conflict", conflicting_key(("who", "what", "number"), ("value",), keep="last")),
    ),
)
value = st.one_of(st.none(), st.integers(0, 2))


def plain(rows: list[tuple[int | None, ...]]) -> dict[str, list[int]]:
    """The same, row by row."""
    repeated = [at for at, row in enumerate(rows) if row in rows[:at]]
    bare = [at for at, row in enumerate(rows) if row[2] is None]
    unnumbered = [at for at in bare if any(rows[other][:2] == rows[at][:2] for other in bare if other < at)]
    said = [at for at, row in enumerate(rows) if at not in repeated and None not in row[:3]]
    conflict = [at for at in said if any(rows[other][:3] == rows[at][:3] for other in said if other > at)]
    return {"repeat": repeated, "unnumbered": unnumbered, "conflict": conflict}


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(value, value, value, value), max_size=14), most=st.sampled_from([0.0, 0.2, 1.0]))
def test_shared_and_alone_find_the_same(rows: list[tuple[int | None, ...]], most: float) -> None:
    frame = pl.DataFrame(rows, schema=[column.name for column in COLUMNS], orient="row", schema_overrides=CONTRACT.schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "WORTHWHILE", most)
        found = repeats.find_repeats(CONTRACT, frame.lazy().with_row_index(ROW), CONTEXT)
    assert {rule_id: sorted(hits.to_list()) for rule_id, hits in found.items()} == plain(rows)
