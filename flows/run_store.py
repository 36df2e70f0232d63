"""The home on disk: where runs are made, published and found again.

::

    HOME/
      staging/RUN/       a run while it is made
      published/RUN/     a whole run: arrives by one atomic rename, never changes after
      published/CURRENT  symbolic link to the run in force
      held/RUN/          a whole run that is not published: it waits for a person's decision, was rejected, or was blocked
      records/           the chain: who published, held, approved or rejected which run (flows/records)
      trained/RUN/       what `nightfolio train` and `nightfolio ablate` made: models and metrics, no recommendations
      failed/RUN/        a run that stopped: failure.json says where and why, with the evidence it had; --resume RUN goes on
      leases/AS_OF       who runs that as_of now (an advisory lock that dies with its holder)
      markets/           simulated landing folders, one per setting
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from data_contracts.errors import LeaseHeld, RunNotFound, StorageError
from flows.records.chain import Chain

RUN_NAME = re.compile(r"\d{4}-\d{2}-\d{2}-\d{2,}")
_STORAGE_ERRNO = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
}


@dataclass(frozen=True)
class RunEntry:
    """One run of the store: ``state`` is the folder of the home that it lies in."""

    run_id: str
    state: str
    path: Path
    current: bool


def as_storage_error(error: OSError, place: Path) -> StorageError | None:
    """A full, read-only or forbidden home in words; None where ``error`` is something else."""
    if error.errno not in _STORAGE_ERRNO:
        return None
    free = shutil.disk_usage(next(parent for parent in (place, *place.parents) if parent.exists())).free
    return StorageError(
        f"cannot write under {place}: {error.strerror} ({free / 2**20:,.0f} MiB free there)",
        remedy="free space, grant write permission, or name another place with --home; nothing was published",
    )


class RunStore:
    """Reads and writes the home. Every public change is one rename."""

    def __init__(self, home: Path, *, write: bool = True) -> None:
        self.home = home.absolute()
        if not write:
            return
        try:
            for name in ("staging", "published", "held", "trained", "failed", "leases", "markets"):
                (self.home / name).mkdir(parents=True, exist_ok=True)
            probe = self.home / "staging" / f".probe-{os.getpid()}"
            probe.write_bytes(b"\0")
            probe.unlink()
        except OSError as error:
            raise as_storage_error(error, self.home) or error from error

    # ---- making a run ------------------------------------------------------------------------------------------

    def new_run(self, as_of: date) -> Path:
        """Claims the next number of ``as_of`` by making ``staging/AS_OF-NN``; two processes never get the same.

        A number that a record speaks of is never given again, whether or not its run is still there.
        """
        known = [entry.run_id for entry in self.runs()] + [link.record.run_id for link in Chain(self.home).links()]
        taken = [int(run_id[11:]) for run_id in known if run_id.startswith(f"{as_of}-")]
        number = max(taken, default=0) + 1
        while True:
            folder = self.home / "staging" / f"{as_of}-{number:02d}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                number += 1

    @contextlib.contextmanager
    def lease(self, as_of: date) -> Iterator[None]:
        """Holds ``as_of`` for this process. Raises LeaseHeld naming the holder; a killed holder frees it."""
        path = self.home / "leases" / str(as_of)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(handle, 4096).decode() or "another process"
                raise LeaseHeld(
                    f"as_of {as_of} is already being run by {holder}",
                    remedy="wait for it to end, or stop that process; its lease ends with it",
                ) from None
            os.ftruncate(handle, 0)
            who = f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}"
            who += f", since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
            os.pwrite(handle, who.encode(), 0)
            yield
        finally:
            os.close(handle)

    def move(self, run: Path, state: Literal["published", "held"]) -> Path:
        """Makes a whole run lie in ``state`` by one atomic rename, after everything in it is on disk."""
        target = self.home / state / run.name
        if target.exists():
            raise StorageError(f"{target} exists already", remedy="`nightfolio verify` says what is wrong with it")
        _sync_tree(run)
        run.rename(target)
        _sync(target.parent)
        return target

    def point_current(self, run_id: str) -> None:
        """Swaps CURRENT to a published run, atomically."""
        folder = self.home / "published"
        if (folder / "CURRENT").exists() and not (folder / "CURRENT").is_symlink():
            raise StorageError(f"{folder / 'CURRENT'} is no symbolic link: someone replaced it", remedy="remove it and run again")
        link = folder / f".CURRENT-{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(run_id)
        link.replace(folder / "CURRENT")
        _sync(folder)

    def keep_trained(self, staged: Path) -> Path:
        """Moves a training run's folder to ``trained/``."""
        target = self.home / "trained" / staged.name
        staged.rename(target)
        return target

    def fail(self, staged: Path, failure: dict[str, Any]) -> Path:
        """Moves a stopped run out of the way, with ``failure.json`` saying why."""
        target = self.home / "failed" / staged.name
        with contextlib.suppress(OSError):
            # On a full disk the intermediate files go first, so that there is room to say why.
            shutil.rmtree(staged / "work", ignore_errors=True)
            (staged / "failure.json").write_text(json.dumps(failure, indent=2), encoding="utf-8")
        staged.rename(target)
        return target

    def sweep(self) -> list[str]:
        """Moves what killed runs left in ``staging/`` to ``failed/``; a run whose lease is held is left alone."""
        swept = []
        for folder in sorted((self.home / "staging").iterdir()):
            if not RUN_NAME.fullmatch(folder.name):
                continue
            as_of = date.fromisoformat(folder.name[:10])
            with contextlib.suppress(LeaseHeld), self.lease(as_of):
                if folder.exists():
                    self.fail(
                        folder,
                        {
                            "step": "unknown",
                            "error": "the process died",
                            "remedy": f"run it again, or go on with it: --resume {folder.name}",
                        },
                    )
                    swept.append(folder.name)
        return swept

    # ---- finding a run -----------------------------------------------------------------------------------------

    def current(self) -> Path | None:
        """Folder of the run in force, or None before the first publication."""
        link = self.home / "published" / "CURRENT"
        return link.resolve() if link.exists() else None

    def runs(self) -> list[RunEntry]:
        """Every run, newest last."""
        current = self.current()
        entries = [
            RunEntry(path.name, state, path, path == current)
            for state in ("published", "held", "trained", "failed", "staging")
            if (self.home / state).is_dir()
            for path in (self.home / state).iterdir()
            if RUN_NAME.fullmatch(path.name)
        ]
        return sorted(entries, key=lambda entry: (entry.run_id[:10], int(entry.run_id[11:])))

    def newest_published(self, as_of: date, chosen: Callable[[dict[str, Any]], bool]) -> Path | None:
        """The newest published run, of ``as_of`` or earlier, whose settings (as its manifest holds them) are ``chosen``."""
        for entry in reversed(self.runs()):
            if entry.state == "published":
                manifest = json.loads((entry.path / "manifest.json").read_text(encoding="utf-8"))
                if manifest["as_of"] <= str(as_of) and chosen(manifest["config"]):
                    return entry.path
        return None

    def find(self, run_id: str | None) -> Path:
        """Folder of ``run_id`` (None: CURRENT). Raises RunNotFound listing what there is."""
        if run_id is None or run_id == "CURRENT":
            current = self.current()
            if current is None:
                raise RunNotFound("nothing is published yet", remedy="run `nightfolio nightly` first")
            return current
        for entry in self.runs():
            if entry.run_id == run_id:
                return entry.path
        known = ", ".join(entry.run_id for entry in self.runs()[-5:]) or "none yet"
        raise RunNotFound(f"no run {run_id!r}", remedy=f"`nightfolio runs` lists them; the newest: {known}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    # A rename that survives a power cut over contents that do not would publish a hollow run.
    for path in folder.rglob("*"):
        if not path.is_symlink():
            _sync(path)
    _sync(folder)
