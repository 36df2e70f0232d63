"""Compares a run's files with its manifest, and its manifest with the record that was made of it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.storage import file_sha256
from flows.records.record import Fault

MANIFEST = "manifest.json"
READERS = 4
"""Files hashed at once: hashing lets other threads run, and a disk answers several requests faster than one."""


@dataclass(frozen=True)
class Checked:
    """What was read of one run, and what does not fit."""

    faults: tuple[Fault, ...]
    files: int
    bytes: int
    manifest: dict[str, Any] | None


def check_run(
    run: Path,
    manifest_sha256: str,
    retired: Mapping[str, str] | None = None,
    known: Mapping[str, str] | None = None,
    ignored: Iterable[str] = (),
) -> Checked:
    """Reads every file of ``run``.

    ``retired``: path to SHA-256 of what retention removed; it may be absent. ``known``: manifest hash to run id of every
    recorded run, to tell a folder that holds another run's files. ``ignored``: names at the top that are no part of it.
    """
    where = f"{run.parent.name}/{run.name}"
    retired, ignored = retired or {}, set(ignored)
    try:
        content = (run / MANIFEST).read_bytes()
    except OSError:
        return Checked((Fault(f"{where}/{MANIFEST}", "deleted or unreadable"),), 0, 0, None)
    sha256 = file_sha256(run / MANIFEST)
    if sha256 != manifest_sha256:
        other = (known or {}).get(sha256)
        if other is not None and other != run.name:
            return Checked((Fault(where, f"holds run {other}: exchanged or copied"),), 1, len(content), None)
    faults = [] if sha256 == manifest_sha256 else [Fault(f"{where}/{MANIFEST}", "not the one that was recorded: altered")]
    try:
        manifest = json.loads(content)
        listed = {entry["path"]: entry["sha256"] for entry in manifest["outputs"]}
        if not all(isinstance(word, str) for pair in listed.items() for word in pair):
            raise TypeError("a path or a hash is no text")
    except (ValueError, KeyError, TypeError, RecursionError):
        faults = [Fault(f"{where}/{MANIFEST}", "not a manifest any more: altered")]
        return Checked(tuple(faults), 1, len(content), None)
    if manifest.get("run_id") != run.name:
        faults.append(Fault(f"{where}/{MANIFEST}", f"is the manifest of run {manifest.get('run_id')}: exchanged or copied"))

    files, odd = _tree(run, where)
    faults += odd
    files = {path: size for path, size in files.items() if path != MANIFEST and path not in ignored}
    present = sorted(files.keys() & listed.keys())
    replaced = {fault.where.removeprefix(f"{where}/") for fault in odd}
    added, missing = sorted(files.keys() - listed.keys()), sorted(listed.keys() - files.keys() - retired.keys() - replaced)
    with ThreadPoolExecutor(READERS) as pool:
        hashes = dict(zip(present + added, pool.map(file_sha256, (run / path for path in present + added)), strict=True))
    altered = [path for path in present if hashes[path] != listed[path]]
    for path in altered:
        twin = next((other for other in altered if hashes[path] == listed[other] and hashes[other] == listed[path]), None)
        faults.append(Fault(f"{where}/{path}", "altered" if twin is None else f"exchanged with {twin}"))
    for path in missing:
        now = next((other for other in added if hashes[other] == listed[path]), None)
        faults.append(Fault(f"{where}/{path}", "deleted" if now is None else f"renamed to {now}"))
    faults += [Fault(f"{where}/{path}", "added") for path in added]
    return Checked(tuple(faults), len(files) + 1, sum(files.values()) + len(content), manifest)


def _tree(run: Path, where: str) -> tuple[dict[str, int], list[Fault]]:
    """Relative path and size of every plain file; links and devices are faults, and are not followed."""
    files: dict[str, int] = {}
    faults: list[Fault] = []
    for folder, folders, names in os.walk(run, onerror=lambda error: faults.append(Fault(where, f"cannot be read: {error}"))):
        for name in (*names, *(one for one in folders if (Path(folder) / one).is_symlink())):
            path = Path(folder) / name
            relative, found = path.relative_to(run).as_posix(), path.lstat()
            if stat.S_ISREG(found.st_mode):
                files[relative] = found.st_size
            else:
                faults.append(Fault(f"{where}/{relative}", "a link or a device, not a file: put in its place"))
    return files, faults
