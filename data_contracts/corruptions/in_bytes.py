"""Bytes and encodings: transfers that broke off, wrong tools, wrong code pages."""

from __future__ import annotations

import gzip
from pathlib import Path

from data_contracts.corruptions import sample as s
from data_contracts.corruptions.case import Corruption, blocked, identical, quarantined, refused
from data_contracts.corruptions.edits import both, cell, column, content, lines, text, zipped


def _flipped(data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


def _zeroed_page(data: bytes) -> bytes:
    return data[:4] + b"\0" * 60 + data[64:]


def _split_gzip(folder: Path) -> None:
    whole = (folder / s.PRICE_FILE).read_bytes()
    (folder / s.PRICE_FILE).unlink()
    (folder / f"{s.PRICE_FILE}.gz").write_bytes(gzip.compress(whole[:999]) + gzip.compress(whole[999:]))


_ERROR_PAGE = b"<!DOCTYPE html>\n<html><body><h1>502 Bad Gateway</h1></body></html>\n"

BYTES = (
    Corruption(
        "gzip cut short",
        "bytes",
        zipped(s.TRADE_FILE, lambda data: data[:-500]),
        refused("transactions.csv.gz", "file is truncated"),
    ),
    Corruption(
        "gzip without its last byte",
        "bytes",
        zipped(s.PRICE_FILE, lambda d: d[:-1]),
        refused("close_prices.csv.gz", "file is truncated"),
    ),
    Corruption(
        "a flipped bit in gzip", "bytes", zipped(s.PRICE_FILE, _flipped), refused("close_prices.csv.gz", "not a sound gzip file")
    ),
    Corruption(
        "rubbish behind gzip",
        "bytes",
        zipped(s.PRICE_FILE, lambda d: d + b"rubbish"),
        refused("close_prices.csv.gz", "not a sound gzip file"),
    ),
    Corruption(
        "plain text called gzip",
        "bytes",
        both(zipped(s.TRADE_FILE, gzip.decompress)),
        refused("transactions.csv.gz", "not a sound gzip file"),
    ),
    Corruption(
        "gzip called plain text",
        "bytes",
        content(s.TRADE_FILE, gzip.compress),
        refused(s.TRADE_FILE, "not UTF-8 at line 1, byte 1"),
    ),
    Corruption(
        "an empty gzip file", "bytes", zipped(s.PRICE_FILE, lambda d: b""), refused("close_prices.csv.gz", "the file is empty")
    ),
    Corruption(
        "one NUL byte",
        "bytes",
        text(s.PRICE_FILE, lambda t: t.replace("12.4375", "12.\x004375", 1)),
        refused(s.PRICE_FILE, "a NUL byte at line 2, byte "),
    ),
    Corruption(
        "a hole of NUL bytes at the end",
        "bytes",
        content(s.TRADE_FILE, lambda d: d[:-4096] + b"\0" * 4096),
        refused(s.TRADE_FILE, "a NUL byte at line "),
    ),
    Corruption("an empty file", "bytes", content(s.CUSTOMER_FILE, lambda d: b""), refused(s.CUSTOMER_FILE, "the file is empty")),
    Corruption(
        "binary rubbish at the end",
        "bytes",
        content(s.TRADE_FILE, lambda d: d + bytes(range(128, 256))),
        refused(s.TRADE_FILE, "not UTF-8 at line 202"),
    ),
    Corruption(
        "a spreadsheet called CSV",
        "bytes",
        content(s.ASSET_FILE, lambda d: b"PK\x03\x04\x14\0\x06\0\x08\0" + d),
        refused(s.ASSET_FILE, "a NUL byte at line 1, byte 5"),
    ),
    Corruption(
        "an error page instead of the file",
        "bytes",
        content(s.PRICE_FILE, lambda d: _ERROR_PAGE),
        refused(s.PRICE_FILE, "columns ISIN, timestamp, closePrice missing"),
    ),
    Corruption(
        "a line that does not end",
        "bytes",
        text(s.ASSET_FILE, lambda t: t.replace("Company 03", "C" * 1_100_000)),
        refused(s.ASSET_FILE, "line 5 is longer than 1 MiB"),
    ),
    Corruption(
        "a file without line breaks",
        "bytes",
        text(s.PRICE_FILE, lambda t: t.replace("\n", ",") * 40),
        refused(s.PRICE_FILE, "line 1 is longer than 1 MiB"),
    ),
    Corruption("cut in the last field", "bytes", content(s.PRICE_FILE, lambda d: d[:-4]), quarantined("prices", "type", 1)),
    Corruption(
        "cut in the last record",
        "bytes",
        content(s.TRADE_FILE, lambda d: d[:-60]),
        refused(s.TRADE_FILE, "line 200 has 5 fields, the header has 9"),
    ),
    Corruption(
        "a control character in an identifier",
        "bytes",
        cell(s.CUSTOMER_FILE, 7, customerID=lambda t: t[:5] + "\x07" + t[5:]),
        quarantined("customers", "type", 1),
    ),
    Corruption(
        "a zero-width blank in an identifier",
        "bytes",
        cell(s.CUSTOMER_FILE, 7, customerID=lambda t: t + "\u200b"),
        quarantined("customers", "type", 1),
    ),
    Corruption(
        "an escape sequence in the header",
        "bytes",
        text(s.PRICE_FILE, lambda t: "\x1b[2J" + t),
        refused(s.PRICE_FILE, r"column ISIN missing (found \x1b[2JISIN"),
    ),
    Corruption(
        "Parquet cut short",
        "bytes",
        content(s.HOLDINGS_FILE, lambda d: d[:-20]),
        refused(s.HOLDINGS_FILE, "not a whole Parquet file"),
    ),
    Corruption(
        "a page of Parquet zeroed", "bytes", content(s.HOLDINGS_FILE, _zeroed_page), refused(s.HOLDINGS_FILE, "cannot be read")
    ),
    Corruption(
        "text called Parquet",
        "bytes",
        content(s.HOLDINGS_FILE, lambda d: b"asOf,customerID\n"),
        refused(s.HOLDINGS_FILE, "not a whole Parquet file"),
    ),
    Corruption(
        "an empty Parquet file",
        "bytes",
        content(s.HOLDINGS_FILE, lambda d: b""),
        refused(s.HOLDINGS_FILE, "not a whole Parquet file"),
    ),
)

ENCODINGS = (
    Corruption("a byte order mark", "encodings", content(s.PRICE_FILE, lambda d: b"\xef\xbb\xbf" + d), identical()),
    Corruption("line ends of Windows", "encodings", text(s.TRADE_FILE, lambda t: t.replace("\n", "\r\n")), identical()),
    Corruption("line ends of an old Macintosh", "encodings", text(s.CUSTOMER_FILE, lambda t: t.replace("\n", "\r")), identical()),
    Corruption(
        "line ends of two kinds",
        "encodings",
        lines(s.PRICE_FILE, lambda every: [x + "\r" * (n % 2) for n, x in enumerate(every)]),
        identical(),
    ),
    Corruption("gzip", "encodings", zipped(s.TRADE_FILE), identical(in_bytes=False)),
    Corruption("gzip in two members", "encodings", _split_gzip, identical(in_bytes=False)),
    Corruption(
        "UTF-16",
        "encodings",
        content(s.PRICE_FILE, lambda d: d.decode().encode("utf-16")),
        refused(s.PRICE_FILE, "not UTF-8 at line 1, byte 0 (0xff) (UTF-16)"),
    ),
    Corruption(
        "UTF-16 without its mark",
        "encodings",
        content(s.PRICE_FILE, lambda d: d.decode().encode("utf-16-le")),
        refused(s.PRICE_FILE, "a NUL byte at line 1, byte 1"),
    ),
    Corruption(
        "Latin-1",
        "encodings",
        content(s.ASSET_FILE, lambda d: d.replace(b"Company 04", "Société 04".encode("latin-1"))),
        refused(s.ASSET_FILE, "not UTF-8 at line 6, byte "),
    ),
    Corruption(
        "Windows-1253",
        "encodings",
        content(s.ASSET_FILE, lambda d: d.replace(b"Company 04", "ΔΕΗ".encode("cp1253"))),
        refused(s.ASSET_FILE, "not UTF-8 at line 6, byte "),
    ),
    Corruption(
        "characters lost in translation",
        "encodings",
        cell(s.CUSTOMER_FILE, 4, customerType="Pr\ufffdmium"),
        quarantined("customers", "type", 1),
    ),
    Corruption(
        "lost characters in every row", "encodings", column(s.MARKET_FILE, name="B\ufffdrse"), blocked("markets", "type", 3)
    ),
)
