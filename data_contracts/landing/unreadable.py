"""Whatever a reading library throws at a damaged file, as one error that a person can act on.

Damaged bytes reach the libraries in shapes they do not expect: besides their own errors, Polars panics (an exception
that is no ``Exception``), and sizes read from a damaged footer ask for impossible memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import polars as pl
import pyarrow.lib

from data_contracts.errors import LandingError
from data_contracts.printable import printable

FAULTS: tuple[type[BaseException], ...] = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    pyarrow.lib.ArrowException,
    UnicodeError,
    OverflowError,
    MemoryError,
    EOFError,
)

REMEDY = "transfer or export the file again and compare its size with the sender's; a part of it is damaged"


@contextlib.contextmanager
def readable(what: str, remedy: str = REMEDY) -> Iterator[None]:
    """Turns the faults of the reading libraries into LandingError "``what`` cannot be read (...)"."""
    try:
        yield
    except FAULTS as error:
        lines = str(error).strip().splitlines()
        first = printable(lines[0], 200) if lines else type(error).__name__
        raise LandingError(f"{what} cannot be read ({first})", remedy=remedy) from error
