"""One record of the chain, and the small things that are said about records."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import json
import os
import socket
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from data_contracts.errors import ConfigError

Kind = Literal["published", "held", "blocked", "approved", "rejected", "retired", "released", "withdrawn"]
GENESIS = "0" * 64
"""What the first record holds in place of the hash of the one before it."""
_LONGEST = 2000


class Record(BaseModel):
    """One entry. ``by`` is who decided, as given; ``account`` the operating system's account that it was done under.

    ``detail`` by kind: published and approved hold ``previous_publication`` (run and manifest hash, or null), ``current``
    (whether CURRENT was pointed at the run) and ``supersedes`` (the run of the same day that this one corrects, or null);
    held holds ``checks`` (names of those that did not pass); blocked ``checks`` (those that block) and ``warnings`` (the
    others that did not pass); retired holds ``removed`` (path, bytes, SHA-256); released holds ``table, content_sha256,
    rule_ids, file, row`` of a row of the run's quarantine; withdrawn ``release`` (the number of the record that released it).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    number: int
    kind: Kind
    run_id: str
    manifest_sha256: str | None
    at: str
    by: str
    account: str
    reason: str
    detail: dict[str, Any]
    previous: str
    key_id: str
    mac: str

    def content(self) -> bytes:
        """The file's bytes: there is exactly one way to write a record."""
        return canonical(self.model_dump(mode="json"))

    def expected_mac(self, key: bytes) -> str:
        return hmac.new(key, canonical(self.model_dump(mode="json", exclude={"mac"})), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Link:
    """A record as it lies on disk, with the SHA-256 of its file."""

    record: Record
    sha256: str


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was written: ``where`` within the home, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Head:
    """The newest record: its number and the SHA-256 of its file; before the first record 0 and 64 zeros."""

    number: int
    sha256: str


def canonical(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def key_id(key: bytes) -> str:
    """Fingerprint of a key, which tells two keys apart and says nothing about them."""
    return hashlib.sha256(b"nightfolio record key\0" + key).hexdigest()[:16]


def account() -> str:
    """The account and machine that this process runs as."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that no account has
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def in_words(text: str, what: str) -> str:
    """``text`` on one line. Raises ConfigError where it is empty, too long, or holds characters that do not print."""
    line = " ".join(text.split())
    if not line:
        raise ConfigError(f"{what} is empty", remedy=f"say who or why with {what}: it becomes part of the record")
    if len(line) > _LONGEST or not line.isprintable():
        raise ConfigError(f"{what} is longer than {_LONGEST} characters or holds some that do not print", remedy="shorten it")
    return line
