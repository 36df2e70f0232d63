"""Keyed pseudonyms of customers, for whatever people outside the desk may read."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import polars as pl


def pseudonyms(home: Path, customers: pl.Series) -> dict[str, str]:
    """Keyed pseudonym of each customer id (HMAC-SHA-256, 10 hex digits). The key stays in the home, out of every run."""
    path = home / "pseudonym.key"
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(secrets.token_bytes(32))
    key = path.read_bytes()
    return {one: "c-" + hmac.new(key, one.encode(), hashlib.sha256).hexdigest()[:10] for one in customers.unique().to_list()}
