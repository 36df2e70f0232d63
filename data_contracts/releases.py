"""Rows that a steward released from quarantine: by content, for named rules, with his name and reason.

A release holds for a row's content and for exactly the rules that it broke. A row edited since has another content,
and a row that breaks one rule more is another case: neither passes. The file is only ever appended to, so that what
was once released, by whom and why, stays known; it holds no value of the row, only its hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from data_contracts.errors import StorageError


@dataclass(frozen=True)
class Release:
    """One released row. ``run``, ``file`` and ``row`` say where it was seen; only table, content and rules decide."""

    table: str
    content_sha256: str
    rule_ids: tuple[str, ...]
    by: str
    reason: str
    run: str
    file: str
    row: int
    released_at: str  # ISO 8601, UTC


def content_hash(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """SHA-256 over the row's values in the contract's columns; empty ones are left out, so that a new column of the
    contract that a source does not fill changes no hash."""
    values = {name: _plain(row[name]) for name in sorted(columns) if row.get(name) is not None}
    return hashlib.sha256(json.dumps(values, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date | datetime) else value


def releases_file(home: Path) -> Path:
    """Where a home keeps its releases."""
    return home / "releases" / "releases.jsonl"


def append_releases(path: Path, releases: Iterable[Release]) -> None:
    """Adds releases to the file. Raises StorageError where it cannot be written."""
    # In ASCII: a reason may hold other line breaks (U+2028, U+0085) than the one that ends a release.
    lines = "".join(json.dumps(asdict(release), ensure_ascii=True) + "\n" for release in releases)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as out:
            out.write(lines)
    except OSError as error:
        raise StorageError(
            f"{path.name} cannot be written to {path.parent}: {error.strerror}",
            remedy="choose a writable home, then release again",
        ) from error


def read_releases(path: Path) -> tuple[Release, ...]:
    """Every release of the file, oldest first; none where there is no file. Raises StorageError for a damaged line."""
    if not path.exists():
        return ()
    found = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        try:
            entry = json.loads(line)
            found.append(Release(**{**entry, "rule_ids": tuple(entry["rule_ids"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"{path.name}: line {number} is no release ({error})",
                remedy="restore the file from a backup; a release that cannot be read must not be guessed",
            ) from error
    return tuple(found)


def now() -> str:
    """The time of a release: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
