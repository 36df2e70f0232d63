"""A delivery that goes on while it is read is no delivery: the source's files must be the same before and after.

A file is read once, into a private copy or a hash, but a night reads several, and half of one delivery beside half of
the next is worse than either. So every file's identity is taken before the first is opened and compared at the end; and
what was read must be what lay there: a table left out because its file was away for a moment is half a delivery too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import LandingError
from data_contracts.printable import printable
from data_contracts.storage import Stamp, stamp

_AT_MOST = 1_000_000  # files; a folder larger than this is no landing folder


@dataclass(frozen=True)
class Listing:
    """The identity of every file below a folder by its path in it, and of every folder, whose time of the last change is
    that of the last file that came or went: it tells of a file that was away at every look and was there between them."""

    files: dict[str, Stamp]
    folders: dict[str, Stamp]


def listing(folder: Path) -> Listing:
    """What lies below ``folder`` now. Raises LandingError where it cannot be listed."""
    found = Listing({}, {})
    try:
        for place, _, names in os.walk(folder, followlinks=True):
            _stamp(Path(place), folder, found.folders)
            for name in names:
                _stamp(Path(place) / name, folder, found.files)
            if len(found.files) > _AT_MOST:
                break
    except PermissionError as error:
        raise LandingError(
            f"{folder}: {error.strerror}", remedy="let the user of the night read the folder and its files"
        ) from error
    return found


def _stamp(path: Path, folder: Path, found: dict[str, Stamp]) -> None:
    try:
        found[path.relative_to(folder).as_posix()] = stamp(path.stat())
    except FileNotFoundError:  # a link into nowhere, or gone since it was listed
        return


def changed(before: Listing, after: Listing, looked_for: Callable[[str], bool], read: Iterable[str] | None = None) -> list[str]:
    """Files that the reader looks for and that are other than they were, gone or new.

    Where those that were ``read`` are given: also one of them that was not there before, even if it is gone again, and one
    that was there before and was not read, even if it is back.
    """
    known = {*before.files, *after.files}
    names = {name for name in known if looked_for(name)} | set(read or ())
    unread = names - set(read) if read is not None else set()
    return sorted(
        name for name in names if name in unread or name not in before.files or before.files[name] != after.files.get(name)
    )


def changed_while_read(names: list[str]) -> LandingError:
    """The error that says so."""
    noun, verb = ("file", "was") if len(names) == 1 else ("files", "were")
    shown = ", ".join(map(printable, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return LandingError(
        f"{shown}: {len(names)} {noun} {verb} written, replaced or removed while the source was read", remedy=_REMEDY
    )


def fault_while_changing(fault: LandingError | OSError) -> LandingError:
    """A reader's ``fault`` in a folder where files came, went or were written meanwhile, none that can be named for sure."""
    said, remedy = (
        (fault.message, f"; if it stays: {fault.remedy}") if isinstance(fault, LandingError) else (printable(fault, 200), "")
    )
    return LandingError(f"{said}; files came, went or were written while the source was read", remedy=_REMEDY + remedy)


_REMEDY = "run again when the delivery has ended; deliver each file under another name, then rename it"
