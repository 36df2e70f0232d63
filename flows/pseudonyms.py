"""Keyed pseudonyms of customers, for whatever people outside the desk may read.

A pseudonym is ``c-`` and the first 16 hex digits of HMAC-SHA-256 (RFC 2104) of the customer's identifier under a key that
is no part of any run: ``HOME/pseudonym.key``, or the file that NIGHTFOLIO_PSEUDONYM_KEY_FILE names. Whoever holds the key
can map both ways; without it a pseudonym says nothing, and cannot be found by trying identifiers. With another key every
customer has another pseudonym: to rotate it, put a new key in its place and keep the old one for the pages made with it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

import polars as pl

from data_contracts.errors import RunNotFound, StorageError
from flows.keys import key_path, make_key, read_key

KEY_FILE, KEY_VARIABLE = "pseudonym.key", "NIGHTFOLIO_PSEUDONYM_KEY_FILE"
_SHAPE = re.compile(r"c-[0-9a-f]{16}")


def pseudonym(key: bytes, customer: str) -> str:
    """One customer's pseudonym. 16 digits: among ten million customers two alike come once in 370,000 homes."""
    return "c-" + hmac.new(key, customer.encode(), hashlib.sha256).hexdigest()[:16]


def pseudonyms(home: Path, customers: pl.Series) -> dict[str, str]:
    """Pseudonym of each customer id; makes the key where there is none yet."""
    path = key_path(home, KEY_FILE, KEY_VARIABLE)
    key = read_key(path) or make_key(path)
    return {one: pseudonym(key, one) for one in customers.unique().to_list()}


def known_key(home: Path) -> bytes:
    """The key that pages were made with. Raises StorageError where it is not there: another one maps nothing."""
    path = key_path(home, KEY_FILE, KEY_VARIABLE)
    key = read_key(path)
    if key is None:
        raise StorageError(
            f"there is no pseudonym key at {path}", remedy=f"name the one the pages were made with: {KEY_VARIABLE}=FILE"
        )
    return key


def resolved(home: Path, run: Path, named: str) -> str:
    """The customer id that ``named`` is, or is the pseudonym of. Raises RunNotFound where ``run`` knows no such customer."""
    path = run / "histories" / "present" / "customers.parquet"
    if not path.exists():
        raise RunNotFound(
            f"run {run.name} holds no customers: it did not come so far, or they were retired",
            remedy="`nightfolio runs` lists runs; name another with --run",
        )
    known = pl.read_parquet(path, columns=["customer_id"])["customer_id"]
    if (known == named).any():
        return named
    found = behind(home, known, named)
    if found is None:
        raise RunNotFound(
            f"run {run.name} knows no customer {named!r}",
            remedy="use the identifier of the source's customers table, or a pseudonym from a page of this home",
        )
    return found


def behind(home: Path, customers: pl.Series, named: str) -> str | None:
    """Whose pseudonym ``named`` is; None: nobody's, or the key is not here."""
    key = read_key(key_path(home, KEY_FILE, KEY_VARIABLE))
    if key is None or not _SHAPE.fullmatch(named):
        return None
    return next((one for one in customers.unique().to_list() if pseudonym(key, one) == named), None)
