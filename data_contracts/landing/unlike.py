"""How the files of one table differ from one another: a column that some lack, leave empty, or hold in another type.

A table in many files is read as one. What one file lost is then empty in its rows only, and no column of the table is gone:
that shows where the files are held against each other, and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from data_contracts.contract import Contract
from data_contracts.printable import printable

MISSING, EMPTY = "missing", "empty in every row"
SINGLE = "Float32, single precision of about 7 digits,"


@dataclass(frozen=True)
class FileColumns:
    """The columns of one file that are read, by canonical name with their types; ``empty``: those without any value."""

    name: str
    types: Mapping[str, pl.DataType]
    empty: frozenset[str] = frozenset()


def unlike(contract: Contract, files: Sequence[FileColumns]) -> tuple[str, ...]:
    """Every way in which the files are not like the most of them, with the first file that it is found in.

    Types that hold the same texts count as one. A number in single precision is named in any number of files, since the
    digits that it has not are taken for noughts. A column that may be left out is named as empty only where most files have
    values in it: what is rarely known is in few files.
    """
    said = []
    for column in contract.columns:
        states = {file.name: _state(file, column.name) for file in files}
        usual = _usual([state for state in states.values() if state not in (MISSING, EMPTY)])
        if usual is None:
            continue  # no file has a value: that is the table's column, not a file's
        for state in dict.fromkeys(states.values()):
            if state == usual != SINGLE:
                continue
            found = [name for name, other in states.items() if other == state]
            if state == EMPTY and not column.required and 2 * len(found) > len(files):
                continue
            where = f"in {len(found)} of {len(files)} files (first: {printable(found[0])})" if len(files) > 1 else "in the file"
            said.append(f"{column.name} is {state} {where}")
    return tuple(said)


def _state(file: FileColumns, column: str) -> str:
    dtype = file.types.get(column)
    if dtype is None:
        return MISSING
    if column in file.empty or dtype == pl.Null():
        return EMPTY
    if dtype == pl.Float32():
        return SINGLE
    return "text" if isinstance(dtype, pl.String | pl.Categorical | pl.Enum) else str(dtype)


def _usual(states: Sequence[str]) -> str | None:
    """The most frequent state; of equally frequent ones the first."""
    return Counter(states).most_common(1)[0][0] if states else None
