"""Hypothesis strategies made from the contracts: rows that are sound, just sound, or break a rule."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from data_contracts.contract import Contract


def rows_around(contract: Contract, max_size: int = 12) -> st.SearchStrategy[list[Mapping[str, object]]]:
    """Lists of rows (as changes of the sound row) from what the contract's rules and repairs give as breaking and keeping."""
    examples = [example for rule in contract.rules for example in (rule.breaks, rule.keeps)]
    examples += [example for repair in contract.repairs for example in (repair.breaks, repair.keeps)]
    # The long examples (many rows on many days) are for their own tests.
    rows = [changes for example in examples if len(example) <= 5 for changes in example]
    return st.lists(st.sampled_from(rows), min_size=1, max_size=max_size)
