"""Every way that we know to alter a home's files and records, each with the words of the finding that must name it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.artifact import file_sha256
from flows.keys import read_key
from flows.records.chain import KEY_FILE, Chain
from flows.records.check import MANIFEST
from flows.records.record import GENESIS, Record, key_id
from flows.records.standing import Standing, in_force, standings

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


def _exchange(one: Path, other: Path) -> None:
    aside = one.with_name(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def _edited(target: Target) -> str:
    edit(target.folder() / PARQUET)
    return f"{target.run().run_id}/{PARQUET}: altered"


def _truncated(target: Target) -> str:
    path = target.folder() / PARQUET
    replace(path, path.read_bytes()[:-1])
    return f"{PARQUET}: altered"


def _deleted(target: Target) -> str:
    (target.folder() / CSV).unlink()
    return f"{CSV}: deleted"


def _added(target: Target) -> str:
    (target.folder() / "extra.csv").write_text("customer_id\n")
    return "extra.csv: added"


def _renamed(target: Target) -> str:
    (target.folder() / CSV).rename(target.folder() / "old.csv")
    return f"{CSV}: renamed to old.csv"


def _swapped(target: Target) -> str:
    _exchange(target.folder() / CSV, target.folder() / PARQUET)
    return f"{CSV}: exchanged with {PARQUET}"


def _linked(target: Target) -> str:
    path = target.folder() / CSV
    outside = target.home / "copy.csv"
    path.rename(outside)
    path.symlink_to(outside)
    return f"{CSV}: a link"


def _held_edited(target: Target) -> str:
    edit(target.folder("held") / CSV)
    return f"held/{target.run('held').run_id}/{CSV}: altered"


def _rehashed_file(target: Target) -> str:
    edit(target.folder() / PARQUET)
    fit_manifest(target.folder(), PARQUET)
    return f"{MANIFEST}: not the one that was recorded"


def _rehash(target: Target, number: int, key: bytes | None) -> int:
    """Edits a file of the ``number``-th publication and makes manifest and records fit; returns the record's number."""
    run = target.run("published", number)
    edit(target.folder("published", number) / PARQUET)
    sha256 = fit_manifest(target.folder("published", number), PARQUET)
    first = run.records[0].record.number
    target.write_anew(first, key, lambda record: record.update(manifest_sha256=sha256))
    return first


def _rehashed_last(target: Target) -> str:
    return f"{_rehash(target, -1, None):06d}.json: its signature does not fit"


def _rehashed_all(target: Target) -> str:
    return f"{_rehash(target, 0, None):06d}.json: its signature does not fit"


def _rehashed_with_own_key(target: Target) -> str:
    own = hashlib.sha256(b"an attacker's key").digest()
    (target.home / KEY_FILE).write_bytes(own)
    return f"{_rehash(target, 0, own):06d}.json: signed with another key"


def _record_edited(target: Target) -> str:
    number = next(link.record.number for link in target.links if link.record.kind == "approved")
    content = json.loads(target.record(number).read_bytes())
    content["by"] = "someone else"
    replace(target.record(number), Record.model_validate(content).content())
    return f"{number:06d}.json: its signature does not fit"


def _decision_turned(target: Target) -> str:
    number = next(link.record.number for link in target.links if link.record.kind == "rejected")
    detail = {"current": False, "previous_publication": None, "supersedes": None}
    target.write_anew(number, None, lambda record: record.update(kind="approved", detail=detail))
    target.folder("rejected").rename(target.home / "published" / target.run("rejected").run_id)
    return f"{number:06d}.json: its signature does not fit"


def _spaces(target: Target) -> str:
    number = len(target.links)
    replace(target.record(number), target.record(number).read_bytes() + b" ")
    return f"{number:06d}.json: written in another way"


def _record_deleted(target: Target) -> str:
    target.old_record(2).unlink()
    return "record 2 before it: deleted"


def _last_record_deleted(target: Target) -> str:
    last = target.links[-1].record
    target.record(last.number).unlink()
    return f"{last.run_id}: no record speaks of this run"


def _records_reordered(target: Target) -> str:
    _exchange(target.old_record(1), target.record(2))
    return "000001.json: holds record 2"


def _record_repeated(target: Target) -> str:
    number = len(target.links) + 1
    target.record(number).write_bytes(target.record(1).read_bytes())
    return f"{number:06d}.json: holds record 1"


def _record_forged(target: Target) -> str:
    last = target.links[-1]
    content = last.record.model_dump() | {"number": last.record.number + 1, "previous": last.sha256, "reason": "all is well"}
    target.record(last.record.number + 1).write_bytes(Record.model_validate(content).content())
    return f"{last.record.number + 1:06d}.json: its signature does not fit"


def _records_removed(target: Target) -> str:
    shutil.rmtree(target.records)
    return f"published/{target.run().run_id}: no record speaks of this run"


def _key_removed(target: Target) -> str:
    Chain(target.home).key_file.unlink()
    return "the record key is gone"


def _current_moved(target: Target) -> str:
    link = target.home / "published" / "CURRENT"
    if target.run().run_id == in_force(target.links):
        raise IndexError("there is no older run")
    link.unlink()
    link.symlink_to(target.run().run_id)
    return f"CURRENT: points at {target.run().run_id}"


def _current_replaced(target: Target) -> str:
    link = target.home / "published" / "CURRENT"
    shutil.copytree(link.resolve(), target.home / "copy")
    link.unlink()
    (target.home / "copy").rename(link)
    return "CURRENT: replaced"


def _run_deleted(target: Target) -> str:
    shutil.rmtree(target.folder())
    return f"published/{target.run().run_id}: recorded as published (record {target.run().last.number}) and not there"


def _runs_exchanged(target: Target) -> str:
    _exchange(target.folder(), target.folder("published", 1))
    return f"published/{target.run().run_id}: holds run {target.run('published', 1).run_id}"


def _run_forged(target: Target) -> str:
    shutil.copytree(target.folder(), target.home / "published" / "2099-12-31-01")
    return "published/2099-12-31-01: no record speaks of this run"


def _held_published(target: Target) -> str:
    run = target.run("held").run_id
    target.folder("held").rename(target.home / "published" / run)
    return f"published/{run}: the records say that it is held"


def _rejected_published(target: Target) -> str:
    run = target.run("rejected").run_id
    target.folder("rejected").rename(target.home / "published" / run)
    return f"published/{run}: the records say that it is rejected"


def _blocked_published(target: Target) -> str:
    run = target.run("blocked").run_id
    target.folder("blocked").rename(target.home / "published" / run)
    return f"published/{run}: the records say that it is blocked"


def _cut_off_the_end(target: Target) -> None:
    last = target.links[-1].record
    target.record(last.number).unlink()
    shutil.rmtree(target.home / "published" / last.run_id)
    before = in_force(target.links[:-1])
    (target.home / "published" / "CURRENT").unlink()
    if before is not None:
        (target.home / "published" / "CURRENT").symlink_to(before)


def _end_cut_off(target: Target) -> str:
    _cut_off_the_end(target)
    if not Chain(target.home).head_file.exists():
        raise IndexError("no head is filed beside the key")
    return "as filed beside the record key is not in the chain"


def _end_and_head_cut_off(target: Target) -> str:
    _cut_off_the_end(target)
    Chain(target.home).head_file.unlink(missing_ok=True)
    return "is not in the chain"


def _insider(target: Target) -> str:
    _rehash(target, -1, read_key(Chain(target.home).key_file))
    Chain(target.home).head_file.unlink(missing_ok=True)
    return "is not in the chain"


ATTEMPTS = (
    Attempt("edit one bit of a file", _edited),
    Attempt("cut a byte off a file", _truncated),
    Attempt("delete a file", _deleted),
    Attempt("add a file", _added),
    Attempt("rename a file", _renamed),
    Attempt("exchange two files", _swapped),
    Attempt("put a link in a file's place", _linked),
    Attempt("edit a file of a held run", _held_edited),
    Attempt("edit a file, re-hash it in the manifest", _rehashed_file),
    Attempt("the same, re-hash the last record too", _rehashed_last),
    Attempt("the same in the first run, re-hash every record", _rehashed_all),
    Attempt("the same, sign all with a key of one's own", _rehashed_with_own_key),
    Attempt("edit who approved", _record_edited),
    Attempt("turn a rejection into an approval, re-hash", _decision_turned),
    Attempt("add a space to a record", _spaces),
    Attempt("delete a record", _record_deleted),
    Attempt("delete the last record", _last_record_deleted),
    Attempt("reorder two records", _records_reordered),
    Attempt("repeat a record", _record_repeated),
    Attempt("append a record", _record_forged),
    Attempt("delete all records", _records_removed),
    Attempt("delete the record key", _key_removed),
    Attempt("point CURRENT at an older run", _current_moved),
    Attempt("put a folder in CURRENT's place", _current_replaced),
    Attempt("delete a run", _run_deleted),
    Attempt("exchange two runs", _runs_exchanged),
    Attempt("add a run", _run_forged),
    Attempt("publish a held run by hand", _held_published),
    Attempt("publish a rejected run by hand", _rejected_published),
    Attempt("publish a blocked run by hand", _blocked_published),
    Attempt("cut off the end: last record, its run, CURRENT", _end_cut_off),
    Attempt("the same, and the head beside the key (head filed)", _end_and_head_cut_off, filed=True),
    Attempt("an insider with the key re-hashes all (head filed)", _insider, filed=True),
)
