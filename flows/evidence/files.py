"""What went in and what came out, with hashes."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_contracts.storage import file_sha256
from flows import publish as publishing
from flows.night import Night
from reports.evidence import FileFact


def gather(night: Night) -> tuple[FileFact, ...]:
    """Every landing file and the recommendation files."""
    inputs = publishing.input_files(night)
    return tuple(FileFact("input", file["name"], file["bytes"], file["sha256"], file["rows"]) for file in inputs) + tuple(
        _output(night.folder, name) for name in ("recommendations.parquet", "recommendations.csv")
    )


def _output(run: Path, name: str) -> FileFact:
    path = run / name
    rows = pl.scan_parquet(path.with_suffix(".parquet")).select(pl.len()).collect().item()
    return FileFact("output", name, path.stat().st_size, file_sha256(path), rows)
