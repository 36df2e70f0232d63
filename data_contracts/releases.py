"""Rows that a steward released from quarantine: by content, for named rules, with his name and reason.

A release holds for a row's content and for exactly the rules that it broke. A row edited since has another content,
and a row that breaks one rule more is another case: neither passes. It holds no value of the row, only its hash. Where
releases are kept is not known here: whoever asks a contract gives those that are in force.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True)
class Release:
    """One released row. ``run``, ``file`` and ``row`` say where it was seen; only table, content and rules decide.

    ``record``: the number of the signed record that releases it, and so its name; 0 before it is recorded.
    """

    table: str
    content_sha256: str
    rule_ids: tuple[str, ...]
    by: str
    reason: str
    run: str
    file: str
    row: int
    released_at: str  # ISO 8601, UTC
    record: int = 0


def content_hash(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """SHA-256 over the row's values in the contract's columns; empty ones are left out, so that a new column of the
    contract that a source does not fill changes no hash."""
    values = {name: _plain(row[name]) for name in sorted(columns) if row.get(name) is not None}
    return hashlib.sha256(json.dumps(values, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date | datetime) else value
