"""Hundreds of damaged files: each is refused with a message, or lands with its rows conserved. Nothing else may happen."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from data_contracts import prices
from data_contracts.errors import LandingError
from data_contracts.landing import LandedTable, read_landing
from data_contracts.landing.conform import FutureRows, land
from data_contracts.landing.nightfolio import read_part

AS_OF = date(2021, 6, 30)
TRIES = 150  # of each kind of file
FRAME = pl.DataFrame(
    [(f"US{n:09d}5", date(2021, 1, 1 + n % 28), 10.0 + n) for n in range(60)], schema=["asset_id", "date", "close"], orient="row"
)
PIECES = (b'"', b",", b"\n", b"\r", b"\xff", "α".encode(), b"9" * 30, b"-", b"\0", b"PAR1")


def _parquet(compression: str) -> bytes:
    out = io.BytesIO()
    pq.write_table(FRAME.to_arrow(), out, compression=compression)
    return out.getvalue()


SOUND = {
    "csv": ("prices.csv", FRAME.write_csv().encode()),
    "quoted csv": ("prices.csv", FRAME.write_csv(quote_style="always").encode()),
    "gzip": ("prices.csv.gz", gzip.compress(FRAME.write_csv().encode(), mtime=0)),
    "zstd parquet": ("prices.parquet", _parquet("zstd")),
    "plain parquet": ("prices.parquet", _parquet("none")),
}


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The bytes after one or more flips, cuts, insertions, repetitions or holes."""
    spoilt = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 5, 20])):
        start = chance.randrange(len(spoilt) + 1)
        end = min(len(spoilt), start + chance.choice([1, 2, 4, 16, 100]))
        kind = chance.choice(["flip", "cut out", "insert", "cut off", "repeat", "hole", "piece"])
        if kind == "flip" and start < len(spoilt):
            spoilt[start] ^= 1 << chance.randrange(8)
        elif kind == "cut out":
            del spoilt[start:end]
        elif kind == "insert":
            spoilt[start:start] = chance.randbytes(end - start)
        elif kind == "cut off":
            del spoilt[start:]
        elif kind == "repeat":
            spoilt[start:start] = spoilt[start:end]
        elif kind == "hole":
            spoilt[start:end] = bytes(end - start)
        elif kind == "piece":
            spoilt[start:end] = chance.choice(PIECES)
    return bytes(spoilt)


def refusal(read: Callable[[], dict[str, LandedTable]]) -> LandingError | None:
    """The refusal of what is read, or None after its rows were found conserved."""
    try:
        tables = read()
    except LandingError as error:
        return error
    for table in tables.values():
        assert pl.read_parquet(table.path).height == table.read
        assert table.read + table.withheld == table.landed == sum(file.rows for file in table.files)
    return None


@pytest.mark.parametrize("kind", SOUND)
def test_a_damaged_file_is_refused_or_its_rows_are_conserved(kind: str, tmp_path: Path) -> None:
    name, data = SOUND[kind]

    def read(future_rows: FutureRows) -> dict[str, LandedTable]:
        part = read_part(prices.CONTRACT, tmp_path / name, name, tmp_path / "into")
        return {"prices": land(prices.CONTRACT, [part], tmp_path / "into", AS_OF, future_rows)}

    refused = 0
    for number in range(TRIES):
        (tmp_path / name).write_bytes(damaged(data, random.Random(f"{kind} {number}")))
        error = refusal(lambda number=number: read("withhold" if number % 2 else "block"))  # type: ignore[misc]
        if error is not None:
            assert "prices" in error.message, number
            assert error.remedy, number
            refused += 1
    # Both ways are taken, but for gzip, whose checksum finds everything.
    assert refused > 10
    assert (refused < TRIES) == (kind != "gzip")


def test_a_damaged_file_of_a_whole_landing_is_refused_or_lands(source: Path, tmp_path: Path) -> None:
    names = ("assets.csv", "customers.csv", "prices.csv", "transactions.csv")
    sound = {name: (source / name).read_bytes() for name in names}
    refused = 0
    for number in range(60):
        name = names[number % len(names)]
        (source / name).write_bytes(damaged(sound[name], random.Random(number)))
        error = refusal(lambda: read_landing("nightfolio", source, tmp_path / "landed", AS_OF, "block"))
        if error is not None:
            assert name.removesuffix(".csv") in error.message, number
            refused += 1
        (source / name).write_bytes(sound[name])
    assert 10 < refused < 60
