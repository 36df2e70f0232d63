"""What tasks hand each other: a folder or file of the run, and its hash. Never a frame."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import StorageError
from data_contracts.storage import file_sha256, known_sha256


def tree_sha256(path: Path, sha256: Callable[[Path], str] = file_sha256) -> str:
    """SHA-256 over the sorted (relative name, SHA-256) pairs of a folder; a file's own where it is a file."""
    if path.is_file():
        return sha256(path)
    whole = hashlib.sha256()
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    with ThreadPoolExecutor(2) as pool:  # hashing lets other threads run
        for file, digest in zip(files, pool.map(sha256, files), strict=True):
            whole.update(f"{file.relative_to(path).as_posix()}\0{digest}\n".encode())
    return whole.hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A folder or file made by a step, as it was when it was made."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Artifact:
        """Names the bytes that the step wrote; whoever opens it reads them all again."""
        return cls(path, tree_sha256(path, known_sha256))

    def open(self) -> Path:
        """The path, after checking that nothing changed since the step that made it. Raises StorageError."""
        if not self.path.exists() or tree_sha256(self.path) != self.sha256:
            raise StorageError(
                f"{self.path.name} changed or vanished between two steps of the run",
                remedy="find what else writes to the home, then run the night again",
            )
        return self.path
