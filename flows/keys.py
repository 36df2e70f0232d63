"""Secret keys: 32 random bytes in a file that only its owner reads, outside every run.

Each key lies in the home unless an environment variable names another place. Whoever can read a key can do what it
guards against, so a firm keeps it where those who can write to the home cannot read it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from data_contracts.errors import StorageError

BYTES = 32


def key_path(home: Path, name: str, variable: str) -> Path:
    """``home/name``, or what the environment variable names."""
    named = os.environ.get(variable)
    return Path(named) if named else home / name


def read_key(path: Path) -> bytes | None:
    """The key; None where there is no file. Raises StorageError where it cannot be read or is too short."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"the key {path} cannot be read: {error.strerror}", remedy="run as the account that owns it"
        ) from error
    if len(key) < BYTES:
        raise StorageError(f"the key {path} has {len(key)} bytes, not {BYTES}", remedy="restore it from its backup")
    return key


def make_key(path: Path) -> bytes:
    """A new key in ``path`` (mode 0600), or the one that another process made meanwhile."""
    key = secrets.token_bytes(BYTES)
    made = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(key)
            out.flush()
            os.fsync(out.fileno())
        try:
            with contextlib.suppress(FileExistsError):
                os.link(made, path)  # unlike a rename it never replaces a key that is already in use
        finally:
            made.unlink()
    except OSError as error:
        raise StorageError(
            f"the key {path} cannot be made: {error.strerror}", remedy="name a place that can be written, or make it there"
        ) from error
    found = read_key(path)
    assert found is not None, "it was made above"
    return found


def others_may_read(path: Path) -> bool:
    """Whether the group or others have any right to the file."""
    return bool(path.stat().st_mode & 0o077)
