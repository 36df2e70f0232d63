"""Walks the chain and every file of every published and held run, and names what is not as it was recorded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.errors import RunNotFound
from flows.keys import others_may_read, read_key
from flows.records import releases
from flows.records.chain import Chain, head_of
from flows.records.check import check_run
from flows.records.publication import recorded_elsewhere
from flows.records.record import GENESIS, Fault, Head, Link, Record
from flows.records.standing import Standing, in_force, standings
from flows.run_store import RUN_NAME, RunStore


@dataclass(frozen=True)
class Verification:
    """What was found. ``notes`` is what whoever reads the verdict should know and is no fault."""

    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    head: Head
    records: int
    runs: int
    files: int
    bytes: int
    seconds: float


def verify(
    store: RunStore,
    *,
    heads: Sequence[str] = (),
    run_id: str | None = None,
    without_key: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Compares the home with its records.

    ``heads``: SHA-256 of records that were filed elsewhere; each must still be in the chain. ``run_id``: reads the files of
    that run only. ``without_key``: for who holds no record key; then nothing shows that the records are genuine.
    Raises RunNotFound where there is no home, or no record in it nor any trace that there was one.
    """
    started = time.perf_counter()
    if not store.home.is_dir():
        raise RunNotFound(f"there is no chain here: {store.home} does not exist", remedy="name the home with --home")
    chain, home = Chain(store.home), store.home
    notes: list[str] = []
    with chain.reading():
        key = None if without_key else read_key(chain.key_file)
        links, faults = chain.inspect(key, signed=not without_key)
        runs, odd = standings(links)
        odd += releases.out_of_place(links)
        faults += [Fault(f"records/{record.number:06d}.json", what) for record, what in odd]
        faults += _places(home, runs, links)
        faults += _current(home, links)
        filed, damaged = (None, None) if without_key else chain.filed_head(key)
        lying = [run for run in runs.values() if (home / run.folder / run.run_id).is_dir()]
    known = {link.sha256 for link in links}
    if damaged is not None:
        faults.append(damaged)
    if filed is not None and filed.sha256 not in known:
        what = f"record {filed.number} as filed beside the record key is not in the chain: cut off at the end, or written anew"
        faults.append(Fault("records", what))
    faults += [
        Fault("records", f"the filed head {head} is not in the chain: records were cut off at the end, or written anew")
        for head in heads
        if head not in known
    ]
    if not links and not faults:
        left = [path.name for path in (chain.key_file, chain.head_file) if os.path.exists(path)]  # noqa: PTH110 (an unreadable folder is none)
        if not left:
            raise RunNotFound(
                f"there is no chain here: {home} holds no records", remedy="name the home with --home, or run a night first"
            )
        faults.append(Fault("records", f"there are none, but {' and '.join(left)} show that there were: deleted"))
    if run_id is not None and run_id not in runs:
        faults.append(Fault(run_id, "no record speaks of this run, so there is nothing that it can be compared with"))
    if without_key:
        notes.append("signatures were not checked: someone who can write to the home may have written all records anew")
    elif links and filed is None and damaged is None:
        notes.append(f"no head is filed beside the record key ({chain.head_file.name}): cut-off records show only with --head")
    if not without_key and key is not None and others_may_read(chain.key_file):
        notes.append(f"others than its owner may read the record key: chmod 600 {chain.key_file}")
    by_manifest = {run.manifest_sha256: run.run_id for run in runs.values()}
    n_files = n_bytes = n_runs = 0
    chosen = [run for run in lying if run_id is None or run.run_id == run_id]
    for number, run in enumerate(chosen, start=1):
        checked = check_run(home / run.folder / run.run_id, run.manifest_sha256, run.retired, by_manifest)
        faults += checked.faults
        if checked.manifest is not None:
            faults += _links_back(run, checked.manifest, links)
        n_runs, n_files, n_bytes = n_runs + 1, n_files + checked.files, n_bytes + checked.bytes
        told(f"{number} of {len(chosen)} runs, {n_files:,} files, {n_bytes / 2**20:,.0f} MiB: {run.run_id}")
    if faults and head_of(chain.links()) != head_of(links):
        notes.append("the chain grew while this ran; what was found may come of that: verify again")
    seconds = time.perf_counter() - started
    return Verification(tuple(faults), tuple(notes), head_of(links), len(links), n_runs, n_files, n_bytes, seconds)


def _places(home: Path, runs: dict[str, Standing], links: list[Link]) -> list[Fault]:
    """Every recorded run lies where the chain says, and nothing else lies there."""
    faults = []
    for run in runs.values():
        if not (home / run.folder / run.run_id).is_dir():
            faults.append(Fault(f"{run.folder}/{run.run_id}", _why_missing(home, run, links)))
    for folder in ("published", "held"):
        if not (home / folder).is_dir():
            continue
        for path in sorted((home / folder).iterdir()):
            recorded = runs.get(path.name)
            if path.name == "CURRENT" and folder == "published":
                continue
            if path.is_symlink() or not path.is_dir() or not RUN_NAME.fullmatch(path.name):
                faults.append(Fault(f"{folder}/{path.name}", "no run: added"))
            elif recorded is None:
                faults.append(Fault(f"{folder}/{path.name}", "no record speaks of this run: added, or its record was deleted"))
            elif recorded.folder != folder:
                faults.append(Fault(f"{folder}/{path.name}", f"the records say that it is {recorded.state}: moved by hand"))
    return faults


def _why_missing(home: Path, run: Standing, links: list[Link]) -> str:
    if links[-1].record is run.last and (found := recorded_elsewhere(home, run.last)) is not None:
        return (
            f"recorded as {run.last.kind}, but it still lies in {found.parent.name}/: its process died in between; "
            "the next night finishes it"
        )
    return f"recorded as {run.state} (record {run.last.number}) and not there: deleted or moved"


def _current(home: Path, links: list[Link]) -> list[Fault]:
    link, expected = home / "published" / "CURRENT", in_force(links)
    if expected is None:
        return [Fault("published/CURRENT", "nothing was published: added")] if link.is_symlink() or link.exists() else []
    if not link.is_symlink():
        return [Fault("published/CURRENT", f"{'replaced' if link.exists() else 'deleted'}; it pointed at {expected}")]
    target = link.readlink().as_posix()
    if target != expected:
        return [Fault("published/CURRENT", f"points at {target}, but {expected} is in force by the records")]
    return []


def _links_back(run: Standing, manifest: dict[str, Any], links: list[Link]) -> list[Fault]:
    """What a manifest says of the chain before it is what the chain says."""
    where, first = f"{run.folder}/{run.run_id}/manifest.json", run.records[0].record
    told, before = manifest.get("records") or {}, _head_before(first, links)
    faults = []
    if not isinstance(told, dict):
        return [Fault(where, "says in no readable way which record was before it: altered")]
    if before is not None and (told.get("number"), told.get("head")) != (before.number, before.sha256):
        faults.append(
            Fault(where, f"was made after record {told.get('number')}, whose hash is another now: records were altered")
        )
    published = {link.record.run_id: link.record for link in links if link.record.kind in ("published", "approved")}
    for named in (manifest.get("previous"), first.detail.get("previous_publication")):
        if named is not None and not _is_publication(named):
            faults.append(Fault(where, "says in no readable way which publication it follows: altered"))
        elif named is not None and (found := published.get(named["run_id"])) is not None:
            if found.manifest_sha256 != named["manifest_sha256"]:
                faults.append(Fault(where, f"follows run {named['run_id']}, whose recorded manifest is another now"))
        elif named is not None:
            faults.append(Fault(where, f"follows run {named['run_id']}, of whose publication there is no record: deleted"))
    return faults


def _is_publication(named: Any) -> bool:
    return isinstance(named, dict) and all(isinstance(named.get(key), str) for key in ("run_id", "manifest_sha256"))


def _head_before(record: Record, links: list[Link]) -> Head | None:
    if record.number == 1:
        return Head(0, GENESIS)
    return next((Head(link.record.number, link.sha256) for link in links if link.record.number == record.number - 1), None)
