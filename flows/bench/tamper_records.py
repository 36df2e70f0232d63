"""Attempts on the chain of records, with and without fitting the files to it."""

from __future__ import annotations

import hashlib
import json
import shutil

from flows.bench.tamper_target import Attempt, Target, exchange, lost_head, rehash, replace
from flows.keys import read_key
from flows.records.chain import KEY_FILE, Chain
from flows.records.record import Record
from flows.records.standing import in_force


def _rehashed_last(target: Target) -> str:
    return f"{rehash(target, -1, None):06d}.json: its signature does not fit"


def _rehashed_all(target: Target) -> str:
    return f"{rehash(target, 0, None):06d}.json: its signature does not fit"


def _rehashed_with_own_key(target: Target) -> str:
    own = hashlib.sha256(b"an attacker's key").digest()
    (target.home / KEY_FILE).write_bytes(own)
    return f"{rehash(target, 0, own):06d}.json: signed with another key"


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
    if last.kind not in ("published", "held", "blocked"):
        raise IndexError("the last record is not the first of its run")
    target.record(last.number).unlink()
    return f"{last.run_id}: no record speaks of this run"


def _records_reordered(target: Target) -> str:
    exchange(target.old_record(1), target.record(2))
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


def _cut_off_the_end(target: Target) -> None:
    last = target.links[-1].record
    if last.kind not in ("published", "approved"):
        raise IndexError("the last record published no run")
    target.record(last.number).unlink()
    shutil.rmtree(target.home / "published" / last.run_id)
    before = in_force(target.links[:-1])
    (target.home / "published" / "CURRENT").unlink()
    if before is not None:
        (target.home / "published" / "CURRENT").symlink_to(before)


def _end_cut_off(target: Target) -> str:
    _cut_off_the_end(target)
    return lost_head(target)


def _end_and_head_cut_off(target: Target) -> str:
    _cut_off_the_end(target)
    Chain(target.home).head_file.unlink(missing_ok=True)
    return "is not in the chain"


def _insider(target: Target) -> str:
    rehash(target, -1, read_key(Chain(target.home).key_file))
    Chain(target.home).head_file.unlink(missing_ok=True)
    return "is not in the chain"


ATTEMPTS = (
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
    Attempt("cut off the end: last record, its run, CURRENT", _end_cut_off),
    Attempt("the same, and the head beside the key (head filed)", _end_and_head_cut_off, filed=True),
    Attempt("an insider with the key re-hashes all (head filed)", _insider, filed=True),
)
