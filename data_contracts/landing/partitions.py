"""Partitions kept from night to night: what a source file became, re-used while the file's bytes are the same.

A kept partition is a typed Parquet file named by a hash of everything that it depends on: the source file's bytes and
name, what the contract says, the code that reads it, and the versions of the libraries that write it. Beside it stands
its own hash, and a partition that no longer has it is made again. Rows are kept only as a whole: where as_of withholds some
of a file's rows, that file is read afresh.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import time
from datetime import date
from pathlib import Path

import polars as pl

from data_contracts.contract import Contract
from data_contracts.landing.landed import SourceFile
from data_contracts.parts import link
from data_contracts.storage import file_sha256

KEPT_DAYS = 40  # a partition that no night has used for so long is removed


class Partitions:
    """The kept partitions in ``folder``, read with the firm's ``time_zone``."""

    def __init__(self, folder: Path, time_zone: str = "UTC") -> None:
        self.folder, self.time_zone = folder, time_zone

    def take(self, contract: Contract, file: SourceFile, to: Path, not_after: date | None) -> bool:
        """Links the partition of ``file`` to ``to``; False where none is kept, or one with a row dated after ``not_after``."""
        kept, note = self._paths(contract, file)
        try:
            said = json.loads(note.read_text(encoding="utf-8"))
            newest = said["newest"]
            if not_after is not None and newest is not None and date.fromisoformat(newest) > not_after:
                return False
            if file_sha256(kept) != said["sha256"]:
                return False
        except (OSError, ValueError, KeyError):
            return False
        os.utime(note)
        link(kept, to)
        return True

    def keep(self, contract: Contract, file: SourceFile, made: Path, newest: date | None) -> None:
        """Keeps ``made``, the partition of ``file`` with all its rows, the newest of which is dated ``newest``."""
        kept, note = self._paths(contract, file)
        link(made, kept)
        text = json.dumps({"file": file.name, "newest": None if newest is None else str(newest), "sha256": file_sha256(kept)})
        partial = note.with_suffix(f".{os.getpid()}")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(note)  # the note last and whole: without it the partition is not there

    def sweep(self) -> None:
        """Removes what was not used for KEPT_DAYS."""
        if not self.folder.is_dir():
            return
        for note in self.folder.glob("*.json"):
            if remove_unused(note, KEPT_DAYS):
                note.with_suffix(".parquet").unlink(missing_ok=True)

    def _paths(self, contract: Contract, file: SourceFile) -> tuple[Path, Path]:
        depends = [contract.table, contract.sha256, self.time_zone, file.name, file.sha256, this_code(), pl.__version__]
        key = hashlib.sha256(json.dumps(depends).encode()).hexdigest()
        return self.folder / f"{key}.parquet", self.folder / f"{key}.json"


def remove_unused(note: Path, days: int) -> bool:
    """Removes the note of something kept that no night has used for so many days; whether it did."""
    with contextlib.suppress(FileNotFoundError):  # another night sweeps too
        if note.stat().st_mtime < time.time() - days * 86_400:
            note.unlink()
            return True
    return False


@functools.cache
def this_code() -> str:
    """``code_hash`` of the package that runs."""
    return code_hash(Path(__file__).parents[1])


def code_hash(package: Path) -> str:
    """A hash of the code that turns a source file into a partition, and tells what is wrong with it: all of the package.

    Without ``corruptions``, which only spoil samples to see whether the rules notice.
    """
    digest = hashlib.sha256()
    for module in sorted(package.rglob("*.py")):
        name = module.relative_to(package)
        if name.parts[0] != "corruptions":
            digest.update(f"{name.as_posix()}\0{file_sha256(module)}\n".encode())
    return digest.hexdigest()
