"""A delivery that goes on while it is read is no delivery: the source's files must be the same before and after.

A file is read once, into a private copy or a hash, but a night reads several, and half of one delivery beside half of
the next is worse than either. So every file's identity is taken before the first is opened and compared at the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from data_contracts.errors import LandingError

# Device, inode, size and time of the last change: a rename gives another inode, a write another time.
Stamp = tuple[int, int, int, int]
_AT_MOST = 1_000_000  # files; a folder larger than this is no landing folder


def stamps(folder: Path) -> dict[str, Stamp]:
    """The identity of every file below ``folder``, by its path in it. Raises LandingError where they cannot be listed."""
    found: dict[str, Stamp] = {}
    try:
        for place, _, names in os.walk(folder, followlinks=True):
            for name in names:
                path = Path(place) / name
                try:
                    known = path.stat()
                except FileNotFoundError:  # a link into nowhere, or gone since it was listed
                    continue
                found[path.relative_to(folder).as_posix()] = (known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns)
            if len(found) > _AT_MOST:
                break
    except PermissionError as error:
        raise LandingError(
            f"{folder}: {error.strerror}", remedy="let the user of the night read the folder and its files"
        ) from error
    return found


def changed(before: Mapping[str, Stamp], after: Mapping[str, Stamp], read: Iterable[str] | None = None) -> list[str]:
    """Files that are other than they were, gone or new; of those that were ``read`` only, where they are given.

    A file that was read and was not there before has come meanwhile, even if it is gone again.
    """
    if read is None:
        return [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return [name for name in sorted(set(read)) if name not in before or before[name] != after.get(name)]


def changed_while_read(names: list[str]) -> LandingError:
    """The error that says so."""
    noun, verb = ("file", "was") if len(names) == 1 else ("files", "were")
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return LandingError(
        f"{shown}: {len(names)} {noun} {verb} written, replaced or removed while the source was read",
        remedy="run again when the delivery has ended; deliver each file under another name, then rename it",
    )
