"""The chain of records: ``HOME/records/000001.json`` and on, each holding the SHA-256 of the file before it and a MAC.

A record is written once: to a temporary file, synced, then linked under its number, which fails where that number is
taken. Writers take a lock on ``records/.lock``, so two processes append one after the other. The MAC is HMAC-SHA-256
(RFC 2104) under a key that is no part of any run: ``HOME/record.key``, or the file that NIGHTFOLIO_RECORD_KEY_FILE names.

The head (number and SHA-256 of the newest record) is also written beside the key, as ``record.key.head``, where that
place can be written.

What this shows: any change, loss, insertion or change of order of records by someone without the key. What it cannot show
by itself: that records were cut off at the end, the runs they speak of removed and CURRENT put back (where the head beside
the key could be put back too), and whatever someone does who holds the key. Both show against a head that was filed
elsewhere. MACs are symmetric: whoever can check them could also make them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data_contracts.errors import StorageError
from flows.keys import key_path, make_key, read_key
from flows.records.record import GENESIS, Fault, Head, Kind, Link, Record, account, canonical, key_id

KEY_FILE, KEY_VARIABLE = "record.key", "NIGHTFOLIO_RECORD_KEY_FILE"


class Chain:
    """The records of one home."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "records"
        self.key_file = key_path(home, KEY_FILE, KEY_VARIABLE)
        self.head_file = self.key_file.with_name(f"{self.key_file.name}.head")

    @contextlib.contextmanager
    def appending(self) -> Iterator[Appender]:
        """The chain for one writer at a time. Raises StorageError where it is not whole: nothing is built on a broken one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_EX):
            key = read_key(self.key_file)
            links, faults = self.inspect(key)
            if faults:
                listed = "\n".join(f"  {fault}" for fault in faults[:5])
                raise StorageError(
                    f"the chain of records is not as it was written:\n{listed}",
                    remedy="`nightfolio verify` names everything that was altered; restore the home's records (and the record "
                    "key) from their backup before anything is published",
                )
            for leftover in self.folder.glob(".making-*"):
                leftover.unlink()  # of a writer that died: no record until it is linked under its number
            yield Appender(self.folder, self.head_file, make_key(self.key_file) if key is None else key, links)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While this is held no writer is between two steps. On a home that cannot be written nothing is held."""
        try:
            lock = self._locked(fcntl.LOCK_SH)
            lock.__enter__()
        except OSError:
            yield
            return
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT if how == fcntl.LOCK_EX else os.O_RDONLY
        handle = os.open(self.folder / ".lock", flags, 0o644)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)

    def links(self) -> list[Link]:
        """The records as they lie there, for display: as many as can be read. :meth:`inspect` says whether they hold."""
        return self.inspect(None, signed=False)[0]

    def filed_head(self, key: bytes | None) -> tuple[Head | None, Fault | None]:
        """The head that was left beside the key, where the key signed it; a fault where what lies there is none.

        Without a key no head is returned, as nothing shows that it is genuine.
        """
        where = self.head_file.name
        try:
            content = self.head_file.read_bytes()
        except FileNotFoundError:
            return None, None
        except OSError as error:
            return None, Fault(where, f"the filed head cannot be read: {error.strerror}")
        try:
            told = json.loads(content)
            head = Head(int(told["number"]), str(told["sha256"]))
            genuine = key is None or hmac.compare_digest(str(told["mac"]).encode(), _head_mac(key, head).encode())
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None, Fault(where, "not a filed head any more: altered")
        if not genuine:
            return None, Fault(where, "the signature of the filed head does not fit its content: altered, or of another key")
        return (None if key is None else head), None

    def inspect(self, key: bytes | None, *, signed: bool = True) -> tuple[list[Link], list[Fault]]:
        """Every readable record in the order of its file, and everything about them that does not hold.

        ``signed=False`` leaves the MACs unchecked.
        """
        links: list[Link] = []
        faults: list[Fault] = []
        entries = [path for path in self.folder.iterdir() if path.name[0] != "."] if self.folder.is_dir() else []
        files = sorted(entries, key=lambda path: (_number(path.name), path.name))
        if files and signed and key is None:
            faults.append(Fault("record.key", "the record key is gone, so no record can be shown to be genuine"))
        before, expected = GENESIS, 1
        for path in files:
            where = f"records/{path.name}"
            if path.is_symlink() or not path.is_file() or path.name != f"{_number(path.name):06d}.json":
                faults.append(Fault(where, "no record: added"))
                continue
            number = _number(path.name)
            if number != expected:
                gone = f"record {expected}" if number == expected + 1 else f"records {expected} to {number - 1}"
                faults.append(Fault(where, f"{gone} before it: deleted"))
            content = path.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            try:
                record = Record.model_validate(json.loads(content))
                record.content()  # refuses text that no record can hold
                _check_detail(record)
            except (ValueError, ValidationError, RecursionError):
                faults.append(Fault(where, "not a record any more: altered"))
                before, expected = sha256, number + 1
                continue
            faults += _faults_of(where, record, number, content, before if number == expected else None, key if signed else None)
            links.append(Link(record, sha256))
            before, expected = sha256, number + 1
        return links, faults


def _number(name: str) -> int:
    stem = name.removesuffix(".json")
    return int(stem) if stem.isascii() and stem.isdigit() else -1


def _check_detail(record: Record) -> None:
    """Raises ValueError where the detail is not of the shape that whoever reads the chain relies on."""
    removed, supersedes = record.detail.get("removed"), record.detail.get("supersedes")
    if record.kind == "retired" and not (
        isinstance(removed, list)
        and all(
            isinstance(one, dict) and isinstance(one.get("path"), str) and isinstance(one.get("sha256"), str) for one in removed
        )
    ):
        raise ValueError("a retired run's removed files are no list of paths and hashes")
    if supersedes is not None and not isinstance(supersedes, str):
        raise ValueError("what is superseded is no run id")
    if record.kind == "released":
        told = record.detail
        texts, rule_ids = [told.get(name) for name in ("table", "content_sha256", "file")], told.get("rule_ids")
        if not (all(isinstance(text, str) for text in texts) and type(told.get("row")) is int):
            raise ValueError("a release does not say which row it lets pass")
        if not (isinstance(rule_ids, list) and rule_ids and all(isinstance(one, str) for one in rule_ids)):
            raise ValueError("a release does not say which rules it lets a row pass")
    if record.kind == "withdrawn" and type(record.detail.get("release")) is not int:
        raise ValueError("a withdrawal does not say which release it takes back")


def _faults_of(where: str, record: Record, number: int, content: bytes, before: str | None, key: bytes | None) -> Iterator[Fault]:
    genuine = True
    if key is not None and record.key_id != key_id(key):
        genuine = False
        yield Fault(where, f"signed with another key ({record.key_id}, not {key_id(key)}): forged, or the key was exchanged")
    elif key is not None and not hmac.compare_digest(record.mac.encode(), record.expected_mac(key).encode()):
        genuine = False
        yield Fault(where, "its signature does not fit its content: altered")
    if genuine and content != record.content():
        yield Fault(where, "written in another way than records are: altered")
    if record.number != number:
        yield Fault(where, f"holds record {record.number}: exchanged, reordered or repeated")
    elif before is not None and record.previous != before:
        yield Fault(where, f"does not follow what record {number - 1} is now: that one was altered, or this one put in its place")


class Appender:
    """The one writer. Made by :meth:`Chain.appending`."""

    def __init__(self, folder: Path, head_file: Path, key: bytes, links: list[Link]) -> None:
        self.folder, self.head_file, self.key, self.links = folder, head_file, key, links

    @property
    def head(self) -> Head:
        return head_of(self.links)

    def append(
        self, kind: Kind, run_id: str, manifest_sha256: str | None, *, by: str, reason: str = "", detail: dict[str, Any]
    ) -> Link:
        """Writes the next record; when it returns, the record is on disk."""
        unsigned = Record(
            number=self.head.number + 1,
            kind=kind,
            run_id=run_id,
            manifest_sha256=manifest_sha256,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            by=by,
            account=account(),
            reason=reason,
            detail=detail,
            previous=self.head.sha256,
            key_id=key_id(self.key),
            mac="",
        )
        record = unsigned.model_copy(update={"mac": unsigned.expected_mac(self.key)})
        content = record.content()
        making = self.folder / f".making-{os.getpid()}"
        with making.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        making.chmod(0o444)
        os.link(making, self.folder / f"{record.number:06d}.json")
        making.unlink()
        _sync(self.folder)
        link = Link(record, hashlib.sha256(content).hexdigest())
        self.links.append(link)
        self._file_head()
        return link

    def _file_head(self) -> None:
        head = self.head
        content = {"number": head.number, "sha256": head.sha256, "mac": _head_mac(self.key, head)}
        making = self.head_file.with_name(f".{self.head_file.name}-{os.getpid()}")
        # A key may lie on a place that cannot be written; then nothing is filed there, and `verify` says so.
        with contextlib.suppress(OSError):
            making.write_bytes(canonical(content))
            making.replace(self.head_file)


def _head_mac(key: bytes, head: Head) -> str:
    return hmac.new(key, f"nightfolio head {head.number} {head.sha256}".encode(), hashlib.sha256).hexdigest()


def head_of(links: list[Link]) -> Head:
    return Head(links[-1].record.number, links[-1].sha256) if links else Head(0, GENESIS)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
