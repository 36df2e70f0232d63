"""Writes who was not offered what, and by which rule, a batch of customers at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("asset_id", pa.dictionary(pa.int32(), pa.string())),
        ("rule_id", pa.dictionary(pa.int8(), pa.string())),
    ]
)


class Exclusions:
    """exclusions.parquet: one row a customer, candidate and rule, in the order of customer and candidate."""

    def __init__(self, path: Path, assets: pl.Series, customers: pl.Series, rule_ids: Sequence[str]) -> None:
        self._path, self._customers = path, customers
        self._assets, self._rules = pa.array(assets.to_list(), pa.string()), pa.array(list(rule_ids), pa.string())

    def __enter__(self) -> Exclusions:
        self._writer = pq.ParquetWriter(self._path, SCHEMA, compression="zstd")
        return self

    def write(self, low: int, broken: Sequence[NDArray[np.bool_]]) -> None:
        """``broken``: per rule [n, N], of the customers from ``low`` on."""
        if not broken:
            return
        rule, who, what = np.nonzero(np.stack(broken))
        order = np.lexsort((rule, what, who))
        self._writer.write_table(
            pa.table(
                [
                    pa.array(self._customers.gather(who[order] + low).to_list(), pa.string()),
                    pa.DictionaryArray.from_arrays(pa.array(what[order].astype(np.int32)), self._assets),
                    pa.DictionaryArray.from_arrays(pa.array(rule[order].astype(np.int8)), self._rules),
                ],
                schema=SCHEMA,
            )
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.close()
