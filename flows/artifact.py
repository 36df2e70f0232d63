"""What tasks hand each other: a folder or file of the run, and its hash. Never a frame."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import StorageError
from data_contracts.storage import file_sha256


def tree_sha256(path: Path) -> str:
    """SHA-256 over the sorted (relative name, SHA-256) pairs of a folder; a file's own where it is a file."""
    if path.is_file():
        return file_sha256(path)
    digest = hashlib.sha256()
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    with ThreadPoolExecutor(2) as pool:  # hashing lets other threads run
        for file, sha256 in zip(files, pool.map(file_sha256, files), strict=True):
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A folder or file made by a step, as it was when it was made."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Artifact:
        return cls(path, tree_sha256(path))

    def open(self) -> Path:
        """The path, after checking that nothing changed since the step that made it. Raises StorageError."""
        if not self.path.exists() or tree_sha256(self.path) != self.sha256:
            raise StorageError(
                f"{self.path.name} changed or vanished between two steps of the run",
                remedy="find what else writes to the home, then run the night again",
            )
        return self.path
