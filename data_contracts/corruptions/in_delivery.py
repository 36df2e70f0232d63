"""Late and partial deliveries, and files that are written or replaced while they are read."""

from __future__ import annotations

import os
from pathlib import Path

from data_contracts.corruptions import sample as s
from data_contracts.corruptions.case import Corruption, identical, refused
from data_contracts.corruptions.edits import added, both, content, removed, renamed


def _old(folder: Path) -> None:
    os.utime(folder / s.TRADE_FILE, (0, 0))


def _folder(folder: Path) -> None:
    (folder / s.PRICE_FILE).unlink()
    (folder / s.PRICE_FILE).mkdir()


def _nowhere(folder: Path) -> None:
    (folder / s.PRICE_FILE).unlink()
    (folder / s.PRICE_FILE).symlink_to(folder / "not_there_yet.csv")


def _nothing(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


PARTIAL = (
    Corruption("no closes", "late and partial", removed(s.PRICE_FILE), refused("close_prices.csv", "prices: no file in ")),
    Corruption("no trades", "late and partial", removed(s.TRADE_FILE), refused("transactions.csv", "transactions: no file in ")),
    Corruption(
        "no customers' file",
        "late and partial",
        removed(s.CUSTOMER_FILE),
        refused("customer_information.csv", "customers: no file in "),
    ),
    Corruption("an empty folder", "late and partial", _nothing, refused("customer_information.csv", "the folder holds nothing")),
    Corruption(
        "plain and gzip side by side",
        "late and partial",
        added(f"{s.PRICE_FILE}.gz", b""),
        refused("close_prices.csv.gz", "both exist"),
    ),
    Corruption(
        "half of a file",
        "late and partial",
        content(s.TRADE_FILE, lambda d: d[: len(d) // 2]),
        refused(s.TRADE_FILE, " fields, the header has 9"),
    ),
    Corruption(
        "still under its temporary name",
        "late and partial",
        renamed(s.PRICE_FILE, "close_prices.csv.part"),
        refused("close_prices.csv", "the folder holds asset_information.csv, close_prices.csv.part"),
    ),
    Corruption("a folder under a file's name", "late and partial", _folder, refused(s.PRICE_FILE, "is not a file")),
    Corruption("a link into nowhere", "late and partial", _nowhere, refused("close_prices.csv", "prices: no file in ")),
    Corruption("a date of 1970 on the file", "late and partial", _old, identical()),
    Corruption("a file that nobody asked for", "late and partial", added("README (copy).txt", b"\xff\xfe"), identical()),
    Corruption(
        "a second file under another name", "late and partial", added("transactions_old.csv", b"customerID\n"), identical()
    ),
)


def _replace(folder: Path) -> None:
    """The file replaced by a rename, as a careful sender does."""
    new = folder.parent / "next.csv"
    new.write_bytes(s.sample_files()[s.TRADE_FILE])
    new.replace(folder / s.TRADE_FILE)


def _rewrite(folder: Path) -> None:
    """The file cut to nothing and written again in place, as a careless sender does."""
    (folder / s.PRICE_FILE).write_bytes(s.sample_files()[s.PRICE_FILE])


def _grow(folder: Path) -> None:
    """A sender that is not done yet."""
    with (folder / s.CUSTOMER_FILE).open("a") as file:
        file.write("LATE,Mass,Income,CAP_30K_80K,2019-03-01,2020-01-01\n")


def _come_and_go(folder: Path) -> None:
    """The file taken away and put back."""
    path = folder / s.ASSET_FILE
    path.unlink(missing_ok=True)
    path.write_bytes(s.sample_files()[s.ASSET_FILE])


_CHANGED = "1 file was written, replaced or removed while the source was read"
_MOVED = "while the source was read"  # away at every look: then its folder tells that files came and went

CONCURRENT = (
    Corruption("replaced while it is read", "concurrent", _replace, refused(s.TRADE_FILE, _CHANGED), while_read=True),
    Corruption("rewritten while it is read", "concurrent", _rewrite, refused(s.PRICE_FILE, _CHANGED), while_read=True),
    Corruption("growing while it is read", "concurrent", _grow, refused(s.CUSTOMER_FILE, _CHANGED), while_read=True),
    Corruption("coming and going while it is read", "concurrent", _come_and_go, refused(s.ASSET_FILE, _MOVED), while_read=True),
    Corruption(
        "Parquet replaced while it is read",
        "concurrent",
        both(content(s.HOLDINGS_FILE, lambda d: s.sample_files()[s.HOLDINGS_FILE])),
        refused(s.HOLDINGS_FILE, _CHANGED),
        while_read=True,
    ),
)
