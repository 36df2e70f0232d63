"""A copied home as an attacker sees it, what an attempt on it is, and the moves that several attempts share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.storage import file_sha256
from flows.records.chain import Chain
from flows.records.check import MANIFEST
from flows.records.record import GENESIS, Record, key_id
from flows.records.standing import Standing, standings

CSV, PARQUET = "recommendations.csv", "recommendations.parquet"


class Target:
    """A copied home and what an attacker needs to know of it."""

    def __init__(self, home: Path) -> None:
        self.home, self.records = home, home / "records"
        self.links = Chain(home).links()
        self.runs, _ = standings(self.links)

    def run(self, state: str = "published", number: int = 0) -> Standing:
        """The ``number``-th run of that state. Raises IndexError where there is none."""
        return [run for run in self.runs.values() if run.state == state][number]

    def folder(self, state: str = "published", number: int = 0) -> Path:
        run = self.run(state, number)
        return self.home / run.folder / run.run_id

    def record(self, number: int) -> Path:
        return self.records / f"{number:06d}.json"

    def old_record(self, number: int) -> Path:
        """A record that is not the last. Raises IndexError where there is none."""
        if number >= len(self.links):
            raise IndexError(number)
        return self.record(number)

    def write_anew(self, first: int, key: bytes | None, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        """Changes record ``first`` and fits every later one to it: all hashes right, signatures only with a ``key``."""
        before = GENESIS if first == 1 else hashlib.sha256(self.record(first - 1).read_bytes()).hexdigest()
        for number in range(first, len(self.links) + 1):
            content = json.loads(self.record(number).read_bytes())
            if number == first:
                change(content)
            content["previous"] = before
            record = Record.model_validate(content if key is None else {**content, "key_id": key_id(key), "mac": ""})
            if key is not None:
                record = record.model_copy(update={"mac": record.expected_mac(key)})
            replace(self.record(number), record.content())
            before = hashlib.sha256(record.content()).hexdigest()


@dataclass(frozen=True)
class Attempt:
    """``act`` alters the target and returns words that the finding must contain; ``filed``: verified with a filed head."""

    name: str
    act: Callable[[Target], str]
    filed: bool = False


def replace(path: Path, content: bytes) -> None:
    """As an attacker does: whatever the file's mode."""
    path.unlink()
    path.write_bytes(content)


def edit(path: Path) -> None:
    """Flips one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    replace(path, bytes(content))


def fit_manifest(run: Path, name: str) -> str:
    """Makes the manifest say what the file is now; returns the manifest's new hash."""
    manifest = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
    for entry in manifest["outputs"]:
        if entry["path"] == name:
            entry |= {"bytes": (run / name).stat().st_size, "sha256": file_sha256(run / name)}
    replace(run / MANIFEST, json.dumps(manifest, indent=2).encode())
    return file_sha256(run / MANIFEST)


def exchange(one: Path, other: Path) -> None:
    aside = one.with_name(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def rehash(target: Target, number: int, key: bytes | None) -> int:
    """Edits a file of the ``number``-th publication and makes manifest and records fit; returns the record's number."""
    run = target.run("published", number)
    edit(target.folder("published", number) / PARQUET)
    sha256 = fit_manifest(target.folder("published", number), PARQUET)
    first = run.records[0].record.number
    target.write_anew(first, key, lambda record: record.update(manifest_sha256=sha256))
    return first


def lost_head(target: Target) -> str:
    """What finds an end that was cut off: the head beside the key. Raises IndexError where none is filed there."""
    if not Chain(target.home).head_file.exists():
        raise IndexError("no head is filed beside the key")
    return "as filed beside the record key is not in the chain"
