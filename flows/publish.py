"""Step: publish. Files for people and machines, a manifest of everything; then its record and one atomic rename."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from data_contracts.storage import file_sha256
from flows.night import Night
from flows.records.publication import settle
from flows.resume import forget
from reports.spreadsheet import write_csv

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "polars",
    "pyarrow",
    "great-expectations",
    "evidently",
    "prefect",
    "pandas",
    "numpy",
    "pydantic",
    "plotly",
    "safetensors",
)
ROOMS = ("data_contracts", "lightning_modules", "reports", "flows")


def write_recommendation_files(night: Night) -> Path:
    """``recommendations.parquet`` and ``recommendations.csv`` at the top of the run, lists flattened in the CSV."""
    frame = pl.read_parquet(night.folder / "recommendations" / "recommendations.parquet")
    frame.write_parquet(night.folder / "recommendations.parquet")
    flat = frame.with_columns(
        pl.col("reason_assets", "reason_features").list.join("; "),
        pl.col("reason_weights", "reason_feature_weights").list.eval(pl.element().cast(pl.String)).list.join("; "),
        pl.col("flags").list.join("; "),
    )
    path = night.folder / "recommendations.csv"
    write_csv(flat, path)
    (night.folder / "recommendations" / "recommendations.parquet").unlink()
    return path


def code_version() -> dict[str, str]:
    """Version, SHA-256 over the four rooms' sources, and the git commit where the code runs from a checkout."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for room in ROOMS:
        for file in sorted((root / room).rglob("*")):
            if file.suffix in {".py", ".toml", ".html", ".css", ".j2"}:
                digest.update(f"{file.relative_to(root).as_posix()}\0{file_sha256(file)}\n".encode())
    version = {"nightfolio": importlib.metadata.version("nightfolio"), "source_sha256": digest.hexdigest()}
    if (root / ".git").exists() and shutil.which("git"):
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=False)
        if commit.returncode == 0:
            version["git_commit"] = commit.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
    return version


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a result."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def steps(night: Night) -> list[dict[str, Any]]:
    """What :meth:`Night.step` measured so far."""
    path = night.folder / "steps.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def input_files(night: Night) -> list[dict[str, Any]]:
    """Every landing file: name, bytes, rows, SHA-256 as it was read."""
    landed = json.loads((night.work / "landed" / "landed.json").read_text(encoding="utf-8"))
    files = {file["name"]: {"table": table["table"], **file} for table in landed for file in table["files"]}
    return [files[name] for name in sorted(files)]


def list_run(night: Night, kind: str) -> dict[str, Any]:
    """Everything that went in and came out, for ``manifest.json``. Removes scratch first; nothing may be written after it."""
    inputs = input_files(night)
    shutil.rmtree(night.folder / "work", ignore_errors=True)
    forget(night.folder)
    compared = night.previous()
    outputs = [
        {
            "path": file.relative_to(night.folder).as_posix(),
            "bytes": file.stat().st_size,
            "sha256": file_sha256(file),
        }
        for file in sorted(night.folder.rglob("*"))
        if file.is_file()
    ]
    return {
        "run_id": night.run_id,
        "kind": kind,
        "resumed": night.resumed,
        "as_of": str(night.as_of),
        "evaluation_cut": str(night.evaluation_cut),
        "started_at": night.started_at.isoformat(timespec="seconds"),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "config_sha256": night.config.sha256(),
        # The landing folder's place is the machine's business; its files are named and hashed under inputs.
        "config": night.config.model_dump(mode="json", exclude={"source": {"path"}}),
        "seeds": {"training": night.config.seed, "simulation": night.config.simulation.seed},
        "code": code_version(),
        "packages": package_versions(),
        "python": sys.version.split()[0],
        "machine": machine(night.config.threads),
        "compared_with": None if compared is None else compared.name,
        "inputs": inputs,
        "outputs": outputs,
    }


def machine(threads: int) -> dict[str, Any]:
    """What of the machine can change a result's last bits."""
    return {"system": platform.system(), "processor": platform.machine(), "threads": threads}


def publish(night: Night) -> Path:
    """Publishes the run, or holds it where the gate says so (:func:`flows.records.publication.settle`). Returns its folder."""
    return settle(night.store, night.folder, list_run(night, "night"))


def keep(night: Night, kind: str) -> Path:
    """Writes the manifest of a run that publishes nothing (``kind``: training or ablation) and moves it to ``trained/``."""
    (night.folder / "manifest.json").write_text(json.dumps(list_run(night, kind), indent=2), encoding="utf-8")
    return night.store.keep_trained(night.folder)
