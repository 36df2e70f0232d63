"""The only code that moves a whole run: to ``published/`` or to ``held/``, with its record.

The record is written first and commits to the manifest's hash; then the folder is renamed; then CURRENT is swapped. All
three happen under the chain's lock. A process that dies between them leaves a record whose run still lies where it was
made: the next night, decision or retention finishes the move, and only for a folder whose every file is as recorded. The
other order would leave a folder without a record, and completing *that* would sign whatever someone put there.

CURRENT never goes back: it is swapped only to a run of a later day, or to a later number of the same day.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from data_contracts.errors import DecisionRefused, RunNotFound, StorageError
from data_contracts.storage import file_sha256
from flows.json_files import read_json_if
from flows.lineage import lineage
from flows.records.chain import Appender, Chain
from flows.records.check import MANIFEST, check_run
from flows.records.record import Kind, Link, Record, account, in_words
from flows.records.standing import Standing, in_force, last_publication, standings
from flows.run_store import RunStore

log = logging.getLogger("nightfolio")
CORRECTION, GATE = "correction.json", "gate.json"
_PLACE: dict[Kind, Literal["published", "held"]] = {
    "published": "published",
    "approved": "published",
    "held": "held",
    "blocked": "held",
}
_OF_A_FAILURE = ("failure.json", "stopped_at", "resume.json")


def settle(store: RunStore, staged: Path, manifest: dict[str, Any]) -> Path:
    """Publishes, holds or blocks a finished run, as its ``gate.json`` says; without one it stays where it is.

    ``manifest`` lists the run's files; it is written here, with the publication before it and the head of the chain.
    Returns the run's folder under ``published/`` or ``held/``.
    """
    kind, checks, warnings = _gated(staged)
    with Chain(store.home).appending() as chain:
        finish(store, chain)
        content = json.dumps(manifest | links_back(chain), indent=2)
        (staged / MANIFEST).write_text(content, encoding="utf-8")
        sha256 = file_sha256(staged / MANIFEST)
        detail: dict[str, Any] = {"checks": checks} | ({"warnings": warnings} if kind == "blocked" else {})
        correction = read_json_if(staged / CORRECTION) or {}
        if kind == "published":
            detail = _publication(store, chain, manifest)
        reason = correction.get("reason", "")
        link = chain.append(kind, staged.name, sha256, by=correction.get("by") or account(), reason=reason, detail=detail)
        finish(store, chain, just_recorded=True)
    _tell(store, link, checks)
    return store.home / _PLACE[kind] / staged.name


def links_back(chain: Appender) -> dict[str, Any]:
    """What a manifest holds of what came before it: the last publication, and the head of the chain."""
    before = last_publication(chain.links)
    return {
        "previous": None if before is None else _publication_of(before),
        "records": {"number": chain.head.number, "head": chain.head.sha256},
    }


def approve(store: RunStore, run_id: str, by: str, reason: str) -> Path:
    """Publishes a held run. Raises DecisionRefused where it does not wait for a decision, or is not as it was made."""
    by, reason = in_words(by, "--by"), in_words(reason, "--reason")
    with Chain(store.home).appending() as chain:
        finish(store, chain)
        run = _waiting(store, chain, run_id)
        folder = store.home / "held" / run_id
        faults = check_run(folder, run.manifest_sha256).faults
        if faults:
            listed = "\n".join(f"  {fault}" for fault in faults[:10])
            raise DecisionRefused(
                f"run {run_id} is not as it was made, so it cannot be approved:\n{listed}",
                remedy="find out who changed it; run the night again",
            )
        manifest = read_json_if(folder / MANIFEST)
        later = _later_publication(store, chain, manifest)
        if later is not None:
            raise DecisionRefused(
                f"run {later} of the same day was made after {run_id} and is published",
                remedy=f"`nightfolio reject {run_id}`: what is older cannot correct what is newer",
            )
        detail = _publication(store, chain, manifest)
        link = chain.append("approved", run_id, run.manifest_sha256, by=by, reason=reason, detail=detail)
        finish(store, chain, just_recorded=True)
    _tell(store, link, [])
    return store.home / "published" / run_id


def reject(store: RunStore, run_id: str, by: str, reason: str) -> Path:
    """Records that a held run is not to be published; it stays in ``held/``. Raises DecisionRefused as :func:`approve`."""
    by, reason = in_words(by, "--by"), in_words(reason, "--reason")
    with Chain(store.home).appending() as chain:
        finish(store, chain)
        run = _waiting(store, chain, run_id)
        chain.append("rejected", run_id, run.manifest_sha256, by=by, reason=reason, detail={})
    return store.home / "held" / run_id


def note_correction(folder: Path, store: RunStore, corrects: str, reason: str) -> None:
    """Writes ``correction.json`` into a run in the making: which published run it corrects, who said so and why.

    Raises DecisionRefused where that run is not published, is of another day, or was superseded by another.
    """
    reason = in_words(reason, "--reason")
    run = standings(Chain(store.home).links())[0].get(corrects)
    if run is None or run.state != "published":
        raise DecisionRefused(
            f"run {corrects} is not published, so nothing can correct it", remedy="`nightfolio runs` lists runs"
        )
    if run.superseded_by is not None:
        raise DecisionRefused(
            f"run {corrects} was superseded by {run.superseded_by} already",
            remedy="correct that one instead",
        )
    if corrects[:10] != folder.name[:10]:
        raise DecisionRefused(
            f"run {corrects} is of another day than {folder.name}", remedy="correct it with a run of the same --as-of"
        )
    content = {"corrects": corrects, "reason": reason, "by": account()}
    (folder / CORRECTION).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def finish_interrupted(store: RunStore) -> None:
    """Finishes what a process that died had recorded and not yet done. Raises StorageError where the chain is not whole."""
    chain = Chain(store.home)
    if chain.folder.is_dir():
        with chain.appending() as writer:
            finish(store, writer)


def finish(store: RunStore, chain: Appender, *, just_recorded: bool = False) -> None:
    """Does what the newest record says, where it is not done yet: the move, CURRENT, or the removal of retired files."""
    if not chain.links:
        return
    record = chain.links[-1].record
    if record.kind == "retired":
        remove_retired(store, record)
        return
    place = _PLACE.get(record.kind)
    if place is None:
        return
    if not (store.home / place / record.run_id).exists():
        found = recorded_elsewhere(store.home, record)
        if found is None:
            return  # gone altogether: `verify` says so
        ignored = [name for name in _OF_A_FAILURE if (found / name).exists()]
        faults = () if just_recorded else check_run(found, record.manifest_sha256 or "", ignored=ignored).faults
        if faults:
            raise StorageError(
                f"run {record.run_id} was recorded as {record.kind} and its process died; since then it changed: {faults[0]}",
                remedy="restore the run from a backup; `nightfolio verify` names everything that was altered",
            )
        for name in ignored:
            (found / name).unlink()
        store.move(found, place)
    if place == "published" and record.detail.get("current"):
        link = store.home / "published" / "CURRENT"
        # CURRENT somewhere else than before the record was put there by hand: `verify` says so, and it is not hidden here.
        if just_recorded or not link.is_symlink() or link.readlink().name == in_force(chain.links[:-1]):
            store.point_current(record.run_id)


def recorded_elsewhere(home: Path, record: Record) -> Path | None:
    """Where the run of a record lies that was not moved yet: its process died in between."""
    for state in ("staging", "failed", "held"):
        folder = home / state / record.run_id
        if (folder / MANIFEST).is_file() and file_sha256(folder / MANIFEST) == record.manifest_sha256:
            return folder
    return None


def remove_retired(store: RunStore, record: Record) -> None:
    """Removes the files that a record of retention lists, and folders that are empty then."""
    folder = store.home / record.detail["folder"] / record.run_id
    for entry in record.detail["removed"]:
        (folder / entry["path"]).unlink(missing_ok=True)
    for inner in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        if not any(inner.iterdir()):
            inner.rmdir()
    if record.manifest_sha256 is None and folder.is_dir():
        shutil.rmtree(folder)  # a failed run goes altogether


def _gated(staged: Path) -> tuple[Kind, list[str], list[str]]:
    """What becomes of the run, the checks that say so, and of a blocked run those that did not pass but block nothing."""
    gate = read_json_if(staged / GATE)
    if gate is None:
        raise StorageError(
            f"run {staged.name} has no gate.json, so nothing says whether it may be published",
            remedy="run the night again; a run that passed no gate is never published",
        )
    kinds: dict[str, Kind] = {"now": "published", "after_approval": "held", "never": "blocked"}
    if gate.get("publish") not in kinds:
        raise StorageError(
            f"gate.json says publish = {gate.get('publish')!r}, which is none of {', '.join(kinds)}",
            remedy="this is a defect of Nightfolio: keep the failed run and report it",
        )
    failed = [check for check in gate.get("checks", []) if check["outcome"] not in ("pass", "not_applicable")]
    kind = kinds[gate["publish"]]
    deciding = [check for check in failed if kind != "blocked" or check["outcome"] == "block"]
    return kind, [check["name"] for check in deciding], [check["name"] for check in failed if check not in deciding]


def _publication(store: RunStore, chain: Appender, manifest: dict[str, Any]) -> dict[str, Any]:
    run_id: str = manifest["run_id"]
    before, current = last_publication(chain.links), in_force(chain.links)
    return {
        "previous_publication": None if before is None else _publication_of(before),
        "current": current is None or _order(run_id) > _order(current),
        "supersedes": _superseded(store, chain, manifest),
    }


def _publication_of(record: Record) -> dict[str, Any]:
    return {"run_id": record.run_id, "manifest_sha256": record.manifest_sha256}


def _superseded(store: RunStore, chain: Appender, manifest: dict[str, Any]) -> str | None:
    """What the run says that it corrects; else the publication of the same day, preset and source before it."""
    staged = (store.home / state / manifest["run_id"] / CORRECTION for state in ("staging", "held"))
    for path in staged:
        if (correction := read_json_if(path)) is not None:
            return str(correction["corrects"])
    same = [run for run in _same_day(store, chain, manifest) if _order(run) < _order(manifest["run_id"])]
    return max(same, key=_order, default=None)


def _later_publication(store: RunStore, chain: Appender, manifest: dict[str, Any]) -> str | None:
    later = [run for run in _same_day(store, chain, manifest) if _order(run) > _order(manifest["run_id"])]
    return max(later, key=_order, default=None)


def _same_day(store: RunStore, chain: Appender, manifest: dict[str, Any]) -> Sequence[str]:
    runs, _ = standings(chain.links)
    found = []
    for run in runs.values():
        if run.state == "published" and run.run_id[:10] == manifest["as_of"] and run.run_id != manifest["run_id"]:
            other = read_json_if(store.home / "published" / run.run_id / MANIFEST)
            if other is not None and lineage(other["config"]) == lineage(manifest["config"]):
                found.append(run.run_id)
    return found


def _waiting(store: RunStore, chain: Appender, run_id: str) -> Standing:
    """The run, where it waits for a decision."""
    run = standings(chain.links)[0].get(run_id)
    if run is None:
        found = store.find(run_id)  # raises RunNotFound where there is none
        raise DecisionRefused(
            f"run {run_id} is {found.parent.name}; nobody has to decide on it", remedy="`nightfolio runs` shows which are held"
        )
    last = run.last
    if run.state == "blocked":
        raise DecisionRefused(
            f"run {run_id} was blocked by the gate ({', '.join(last.detail['checks']) or 'see its evidence'})",
            remedy="a block cannot be approved: mend what the checks name and run the night again",
        )
    if run.state != "held":
        who = f" by {last.by}: {last.reason}" if last.kind in ("approved", "rejected") else ", without a decision being needed"
        raise DecisionRefused(
            f"run {run_id} was {last.kind} on {last.at}{who}", remedy="a decision stands; a new run of the same day corrects it"
        )
    if not (store.home / "held" / run_id).is_dir():
        raise RunNotFound(
            f"run {run_id} is held by the records but does not lie in held/", remedy="`nightfolio verify` says more"
        )
    return run


def _order(run_id: str) -> tuple[str, int]:
    return run_id[:10], int(run_id[11:])


def _tell(store: RunStore, link: Link, checks: list[str]) -> None:
    record = link.record
    if record.kind == "blocked":
        current = in_force(Chain(store.home).links())
        stays = f"run {current} stays in force" if current else "nothing is in force"
        log.error("BLOCKED: run %s is NOT published (%s); %s", record.run_id, "; ".join(checks) or "see its gate.json", stays)
    elif record.kind == "held":
        log.warning("run %s waits for a decision: nightfolio approve %s --by NAME --reason TEXT", record.run_id, record.run_id)
    log.info("record %d (%s %s), head of the chain %s", record.number, record.kind, record.run_id, link.sha256)
