"""Attempts to alter a home without anyone noticing, and whether `nightfolio verify` names each.

Each attempt is made on a fresh copy. The attacker may write everywhere in the home but does not hold the record key, which
lies outside it; the last attempts, which say so, are an insider's who does, or are a cut-off end. Those are found only
against a head that was filed elsewhere, so they are verified with one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.errors import RunNotFound
from data_contracts.releases import Release
from data_contracts.storage import file_sha256
from flows.bench.tamper_attempts import ATTEMPTS
from flows.bench.tamper_target import CSV, PARQUET, Attempt, Target
from flows.keys import make_key, read_key
from flows.records import releases
from flows.records.chain import KEY_VARIABLE, Chain
from flows.records.publication import approve, reject, settle
from flows.records.verify import verify
from flows.run_store import RunStore


@dataclass(frozen=True)
class Result:
    """What an attempt came to: ``found`` is the finding that names it, empty where nothing does."""

    name: str
    caught: bool
    found: str


@contextmanager
def key_at(path: Path) -> Iterator[None]:
    """While this is held the record key is that file's."""
    before = os.environ.get(KEY_VARIABLE)
    os.environ[KEY_VARIABLE] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ[KEY_VARIABLE]
        else:
            os.environ[KEY_VARIABLE] = before


def small_home(home: Path) -> None:
    """A home with small runs of every state, two releases and a withdrawal: seven runs, twelve records.

    Their files hold no recommendations.
    """
    store = RunStore(home)
    for run_id, publish in (
        ("2024-06-25-01", "now"),
        ("2024-06-26-01", "now"),
        ("2024-06-27-01", "after_approval"),
        ("2024-06-27-02", "after_approval"),
        ("2024-06-28-01", "after_approval"),
        ("2024-06-29-01", "never"),
        ("2024-06-29-02", "now"),
    ):
        run = store.home / "staging" / run_id
        (run / "snapshot").mkdir(parents=True)
        for name in (CSV, PARQUET, "snapshot/transactions.parquet"):
            (run / name).write_bytes(hashlib.sha256(f"{run_id} {name}".encode()).digest() * 32)
        gate = {"publish": publish, "checks": [{"name": "Accuracy", "outcome": "block" if publish == "never" else "pass"}]}
        (run / "gate.json").write_text(json.dumps(gate))
        settle(store, run, small_manifest(run))
        if run_id in ("2024-06-27-01", "2024-06-28-01"):
            decide = approve if run_id == "2024-06-27-01" else reject
            decide(store, run_id, "A. Person", "looked at it")
        if run_id == "2024-06-29-01":
            rows = [Release("prices", digit * 64, ("price_outlier",), "", "", run_id, "prices.csv", 17, "") for digit in "01"]
            _, second = releases.release(store, rows, "A. Steward", "an auction")
            releases.withdraw(store, [second.record], "A. Steward", "it was none")


def small_manifest(run: Path) -> dict[str, Any]:
    """The part of a manifest that the records look at."""
    files = sorted(path for path in run.rglob("*") if path.is_file())
    return {
        "run_id": run.name,
        "as_of": run.name[:10],
        "config": {"preset": "small", "source": {"format": "nightfolio"}, "simulation": {}},
        "outputs": [{"path": str(p.relative_to(run)), "bytes": p.stat().st_size, "sha256": file_sha256(p)} for p in files],
    }


def attack(home: Path | None = None, attempts: tuple[Attempt, ...] = ATTEMPTS) -> list[Result]:
    """Makes every attempt on a copy of ``home`` (None: :func:`small_home`) and verifies the copy.

    An attempt for which the home has no run or record is left out. Raises RunNotFound where the home is not whole before.
    """
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        whole, keys = Path(scratch) / "whole", Path(scratch) / "keys"
        keys.mkdir()
        if home is None:
            log = logging.getLogger("nightfolio")
            level = log.level
            log.setLevel(logging.CRITICAL)  # its blocked run is no news
            try:
                with key_at(keys / "true.key"):
                    small_home(whole)
            finally:
                log.setLevel(level)
        else:
            for name in ("published", "held", "records"):
                if (home / name).is_dir():
                    shutil.copytree(home / name, whole / name, symlinks=True)
            chain = Chain(home)
            (keys / "true.key").write_bytes(read_key(chain.key_file) or make_key(keys / "none.key"))
            if chain.head_file.exists():
                shutil.copy(chain.head_file, keys / "true.key.head")
        with key_at(keys / "true.key"):
            before = verify(RunStore(whole, write=False))
        if before.faults:
            raise RunNotFound(
                f"the home is altered already: {before.faults[0]}", remedy="attack one that `nightfolio verify` passes"
            )
        for attempt in attempts:
            copy = Path(scratch) / "copy"
            shutil.copytree(whole, copy, symlinks=True)
            for path in keys.glob("true.key*"):
                shutil.copy(path, path.with_name(path.name.replace("true", "used")))
            try:
                with key_at(keys / "used.key"):
                    expected = attempt.act(Target(copy))
                    found = verify(RunStore(copy, write=False), heads=[before.head.sha256] if attempt.filed else [])
            except (IndexError, StopIteration):
                continue
            finally:
                shutil.rmtree(copy)
            named = [str(fault) for fault in found.faults if expected in str(fault)]
            results.append(Result(attempt.name, bool(named), named[0] if named else ""))
    return results
