"""Retention: removes the heavy parts of old runs that nothing still needs, and records what was removed.

What is light and says what was recommended, why, by which model, and who let it through is never removed: manifest,
recommendations, evidence, contracts' verdicts, gate, and of each model what it is (``model.json``). The inputs and models
that only a replay needs go: snapshot, quarantine, histories, models. A run is kept whole while it is young, among the
newest, in force, waiting for a decision, or named by a run that is itself kept whole (its manifest, gate, champion or
correction): a comparison can then be made again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from data_contracts.errors import DecisionRefused
from data_contracts.storage import file_sha256
from flows.lineage import lineage
from flows.records.chain import Chain
from flows.records.check import MANIFEST, check_run
from flows.records.publication import finish_interrupted, remove_retired
from flows.records.record import account
from flows.records.standing import Standing, in_force, standings
from flows.run_store import RUN_NAME, RunStore
from flows.sections.records import RecordsConfig

HEAVY = ("snapshot/", "quarantine/", "histories/", "models/")
_LIGHT = re.compile(r"models/[^/]+/model\.json")
"""What the register reads of a model: it stays, though it lies in a heavy folder."""
_NAMING = (MANIFEST, "gate.json", "correction.json", "evaluation/champion.json")


@dataclass(frozen=True)
class Retirable:
    """A run whose ``removed`` files (path, bytes, SHA-256) may go; ``folder``: published, held or failed."""

    run_id: str
    folder: str
    manifest_sha256: str | None
    removed: tuple[dict[str, Any], ...]
    why: str

    @property
    def bytes(self) -> int:
        return sum(int(entry["bytes"]) for entry in self.removed)


def retirable(store: RunStore, settings: RecordsConfig, now: datetime | None = None) -> list[Retirable]:
    """What the settings allow to remove, oldest first; removes nothing. ``now``: UTC."""
    now = now or datetime.now(UTC)
    links = Chain(store.home).links()
    runs, _ = standings(links)
    whole = _kept_whole(store, runs, in_force(links), settings, now)
    found = []
    for run in runs.values():
        folder = store.home / run.folder / run.run_id
        if run.run_id in whole or not (folder / MANIFEST).exists():
            continue
        outputs = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["outputs"]
        heavy = [entry for entry in outputs if _heavy(entry["path"]) and entry["path"] not in run.retired]
        if heavy:
            why = f"{run.state}, {_age(run, now).days} days old, named by no run that is kept whole"
            found.append(Retirable(run.run_id, run.folder, run.manifest_sha256, tuple(heavy), why))
    return found + _failed(store, settings, now)


def _heavy(path: str) -> bool:
    return path.startswith(HEAVY) and not _LIGHT.fullmatch(path)


def retire(store: RunStore, settings: RecordsConfig, now: datetime | None = None) -> list[Retirable]:
    """Removes what :func:`retirable` lists, each run after its record. Raises DecisionRefused where a run was altered."""
    finish_interrupted(store)
    retired = []
    for run in retirable(store, settings, now):
        with Chain(store.home).appending() as chain:
            known = standings(chain.links)[0].get(run.run_id)
            if run.manifest_sha256 is not None:
                assert known is not None, "it was listed from the chain"
                faults = check_run(store.home / run.folder / run.run_id, run.manifest_sha256, known.retired).faults
                if faults:
                    raise DecisionRefused(
                        f"run {run.run_id} is not as it was recorded, so nothing of it is removed: {faults[0]}",
                        remedy="`nightfolio verify` names everything that was altered; keep the run until that is understood",
                    )
            detail = {"folder": run.folder, "removed": list(run.removed)}
            link = chain.append("retired", run.run_id, run.manifest_sha256, by=account(), reason=run.why, detail=detail)
            remove_retired(store, link.record)
        retired.append(run)
    return retired


def _kept_whole(
    store: RunStore, runs: dict[str, Standing], current: str | None, settings: RecordsConfig, now: datetime
) -> set[str]:
    published = [run.run_id for run in runs.values() if run.state == "published"]
    kept = {run.run_id for run in runs.values() if run.state == "held" or _age(run, now) < timedelta(days=settings.keep_days)}
    kept |= set(sorted(published, key=_order)[-settings.keep_runs :])
    kept |= {current} if current else set()
    newest = {}
    for run_id in sorted(published, key=_order):
        manifest = store.home / "published" / run_id / MANIFEST
        if manifest.exists():
            newest[lineage(json.loads(manifest.read_text(encoding="utf-8"))["config"])] = run_id
    kept |= set(newest.values())  # the next night of that preset and source is compared with it
    # One step only: what a kept run is compared with must be there, what *that* was compared with need not.
    for run_id in sorted(kept):
        kept |= _named(store.home / runs[run_id].folder / run_id)
    return kept


def _named(run: Path) -> set[str]:
    named: set[str] = set()
    for name in _NAMING:
        if (run / name).exists():
            content = json.loads((run / name).read_text(encoding="utf-8"))
            if isinstance(content, dict):
                content.pop("outputs", None)
            named |= set(re.findall(RUN_NAME.pattern, json.dumps(content)))
    return named


def _order(run_id: str) -> tuple[str, int]:
    return run_id[:10], int(run_id[11:])


def _age(run: Standing, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(run.last.at)


def _failed(store: RunStore, settings: RecordsConfig, now: datetime) -> list[Retirable]:
    found = []
    for path in sorted((store.home / "failed").iterdir()) if (store.home / "failed").is_dir() else []:
        age = now - datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if not RUN_NAME.fullmatch(path.name) or age < timedelta(days=settings.keep_failed_days):
            continue
        files = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.is_symlink()]
        removed = tuple(
            {"path": file.relative_to(path).as_posix(), "bytes": file.stat().st_size, "sha256": file_sha256(file)}
            for file in files
        )
        found.append(Retirable(path.name, "failed", None, removed, f"failed, {age.days} days old"))
    return found
