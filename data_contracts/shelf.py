"""What a night worked out from a table's files, kept under their hashes for the next one whose table begins with them.

What is kept is sealed as a whole: a note with the hashes of all its files, and its own. Whatever is wrong with it, a night
can do without it: what it lacks is worked out and kept again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

from data_contracts.landing.partitions import KEPT_DAYS, remove_unused, this_code
from data_contracts.parts import part_files
from data_contracts.storage import file_sha256, known_sha256

Note = Mapping[str, Any]
T = TypeVar("T")

_NOTE: Final = "note.json"
_LEFT_BEHIND: Final = 86_400.0  # seconds after which nobody is writing any more
_DAMAGE: Final = (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError, pa.ArrowException)


@dataclass(frozen=True)
class Shelf:
    """The place for one kind of thing, called ``name``, among what is ``kept`` from night to night.

    ``until``: the day up to which tonight knows the table; what was made of a later one is of no use to it. ``key``: what the
    thing depends on besides the table's files and the code and engines that work it out, which always count.
    """

    kept: Path
    name: str
    until: date
    key: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return self.kept / "carried"

    def take(self, files: Sequence[str], read: Callable[[Path, Note], T]) -> T | None:
        """What ``read`` makes of what is kept of the longest beginning of ``files`` (hashes); None: nothing is.

        What is damaged, or what ``read`` refuses by an error, is removed.
        """
        best: tuple[int, Path, Note] | None = None
        for folder in sorted(self.folder.glob(f"{self.name}-*")):
            note = _read_note(folder)
            if note is None or note["key"] != self._whole_key or not self._is_early(note):
                continue
            count = len(note["files"])
            if list(files[:count]) == note["files"] and (best is None or count > best[0]):
                best = count, folder, note
        if best is None:
            return None
        _, found, said = best
        with contextlib.suppress(*_DAMAGE):
            if hashes_in(found) == said["sha256"]:
                (found / _NOTE).touch()
                return read(found, said)
        shutil.rmtree(found, ignore_errors=True)
        return None

    def keep(self, files: Sequence[str], said: Note, write: Callable[[Path], object]) -> None:
        """Keeps what ``write`` puts into the folder it is given, and what is ``said`` of it, for the table's ``files``.

        Nothing is done where the same is kept already, of no later day. What a longer beginning continues is removed.
        """
        identity = json.dumps([self._whole_key, list(files)]).encode()
        folder = self.folder / f"{self.name}-{hashlib.sha256(identity).hexdigest()[:32]}"
        kept = _read_note(folder)
        if kept is not None and self._is_early(kept):
            return
        shutil.rmtree(folder, ignore_errors=True)  # damaged, or of a later day
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=self.folder))
        try:
            write(partial)
            known = {"key": self._whole_key, "files": list(files), "until": str(self.until)}
            note = {**known, **said, "sha256": hashes_in(partial)}
            (partial / _NOTE).write_text(json.dumps({"note": note, "sha256": _seal(note)}) + "\n", encoding="utf-8")
            with contextlib.suppress(OSError):  # another night kept the same
                partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._sweep(folder, files)

    def _is_early(self, note: Note) -> bool:
        return bool(note["until"] <= str(self.until))

    @property
    def _whole_key(self) -> list[str]:
        return [*self.key, this_code(), pl.__version__, np.__version__, pa.__version__]

    def _sweep(self, kept: Path, files: Sequence[str]) -> None:
        """Removes what the ``kept`` continues, and what no night has used for long."""
        for folder in self.folder.glob("*-*"):
            if folder.name.startswith("."):  # what a night that was killed left behind
                with contextlib.suppress(FileNotFoundError):
                    if folder.stat().st_mtime < time.time() - _LEFT_BEHIND:
                        shutil.rmtree(folder, ignore_errors=True)
                continue
            note = _read_note(folder)
            ours = folder.name.startswith(f"{self.name}-") and note is not None and note["key"] == self._whole_key
            behind = ours and note is not None and note["files"] == list(files[: len(note["files"])])
            if folder != kept and (behind or remove_unused(folder / _NOTE, KEPT_DAYS)):
                shutil.rmtree(folder, ignore_errors=True)


def part_hashes(table: Path) -> list[str]:
    """The hashes of a table's files, in order: what things of it are kept under."""
    return [known_sha256(part) for part in part_files(table)]


def hashes_in(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in the folder but its note, by name."""
    files = [file for file in sorted(folder.iterdir()) if file.name != _NOTE]
    with ThreadPoolExecutor(2) as pool:  # hashing releases the interpreter
        return {file.name: digest for file, digest in zip(files, pool.map(file_sha256, files), strict=True)}


def _read_note(folder: Path) -> dict[str, Any] | None:
    """The folder's note; None where there is none, or not as it was written: its counts decide what is set aside."""
    try:
        sealed = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        note: dict[str, Any] = sealed["note"]
        return note if sealed["sha256"] == _seal(note) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _seal(note: Note) -> str:
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()
