"""Damaged bytes: what two parsers would take differently is decided here."""

from __future__ import annotations

import gzip
import os
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from data_contracts.errors import LandingError
from data_contracts.landing import LandedTable, read_landing
from data_contracts.landing.copies import CHUNK, copy_plain
from data_contracts.landing.csv_form import check_form
from data_contracts.printable import printable

AS_OF = date(2021, 6, 30)


def land(source: Path, into: Path) -> dict[str, LandedTable]:
    return read_landing("nightfolio", source, into, AS_OF, "block")


def fault(source: Path, tmp_path: Path) -> str:
    with pytest.raises(LandingError) as caught:
        land(source, tmp_path / "landed")
    return str(caught.value)


def form(content: bytes, folder: Path) -> tuple[tuple[str, ...], int]:
    """Header and records of a CSV file with this content."""
    (folder / "x.csv").write_bytes(content)
    return check_form("x.csv", copy_plain(folder / "x.csv", folder / "plain"))


@pytest.mark.parametrize(
    ("content", "header", "rows"),
    [
        (b"a,b\n1,2\n3,4\n", ("a", "b"), 2),
        (b"a,b\n1,2\n3,4", ("a", "b"), 2),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", ("a", "b"), 1),
        (b"a,b\r1,2\r3,4\r", ("a", "b"), 2),
        (b'a,b\n"1,1","2\n2"\n', ("a", "b"), 1),
        (b'a,b\n1,"x ""y"" z"\n', ("a", "b"), 1),
        (b"a,b\n,\n", ("a", "b"), 1),
        (b"a\n1\n2\n", ("a",), 2),
        (b"a,b\n" + b"1,2\n" * (CHUNK // 4 + 7), ("a", "b"), CHUNK // 4 + 7),
    ],
)
def test_records_are_counted_whatever_the_line_ends(content: bytes, header: tuple[str, ...], rows: int, tmp_path: Path) -> None:
    assert form(content, tmp_path) == (header, rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1\n2,3,4\n", "x.csv: line 2 has 1 fields, the header has 2"),  # the commas of both add up
        (b"a,b\n1,2\n2,3,4\n", "x.csv: line 3 has 3 fields, the header has 2"),
        (b"a,b\n1,2\n\r\n1,2\n", "x.csv: line 3 has 0 fields, the header has 2"),
        (b"a,b\n" + b"1,2\n" * (CHUNK // 4) + b"1\n", f"x.csv: line {CHUNK // 4 + 2} has 1 fields, the header has 2"),
        (b"a,b\n1,2\n3,4\0\n", "x.csv: a NUL byte at line 3, byte 11"),
        ("a,b\n1,2\n".encode("utf-16"), "x.csv: not UTF-8 at line 1, byte 0 (0xff) (UTF-16)"),
        ("a,b\n1,2\n".encode("utf-16-le"), "x.csv: a NUL byte at line 1, byte 1"),
        (b"a,b\n1,\xce", "x.csv: not UTF-8 at line 2, byte 6 (0xce)"),
        (b"a,b\n" + b"1" * (CHUNK + 1) + b",2\n", "x.csv: line 2 is longer than 1 MiB"),
        (b"a" * (CHUNK + 1), "x.csv: line 1 is longer than 1 MiB"),
        (b"\n\n", "x.csv: the file is empty (not even a header row)"),
        (b'a,b\n1,"2\n', "x.csv: line 2 is not well-formed CSV (unexpected end of data)"),
    ],
)
def test_what_is_no_csv_is_told_with_its_place(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(LandingError) as caught:
        form(content, tmp_path)
    assert str(caught.value).startswith(message)


def test_a_quote_in_the_middle_of_a_field_shifts_no_column(source: Path, tmp_path: Path) -> None:
    with (source / "assets.csv").open("a", encoding="utf-8") as file:
        file.write('IE00B4L5Y983,World 12" Fund,stock,XLON,2018-01-02\nIE00B66F4759,5" and 6",stock,XLON,2018-01-02\n')
    assets = pl.read_parquet(land(source, tmp_path / "landed")["assets"].path)
    assert assets["asset_name"].to_list()[3:] == ['World 12" Fund', '5" and 6"']
    assert assets["market_id"].to_list()[3:] == ["XLON", "XLON"]


@pytest.mark.parametrize(
    ("name", "failed"),
    [("Apple\tInc", True), ('"Apple\nInc"', True), ("App\u200ble", True), ("App\ufffdle", True), ("Αθήνα Ἀ. Ε. — 日本", False)],
)
def test_text_with_characters_that_no_field_has_is_a_type_error(name: str, failed: bool, source: Path, tmp_path: Path) -> None:
    text = (source / "assets.csv").read_text(encoding="utf-8").replace("Apple Inc", name)
    (source / "assets.csv").write_text(text, encoding="utf-8")
    landed = pl.read_parquet(land(source, tmp_path / "landed")["assets"].path)
    # Where every field converted, no column says otherwise.
    assert ("_type_errors" in landed.columns) is failed
    assert not failed or landed["_type_errors"].to_list() == [["asset_name"], [], []]
    frame = pl.read_csv(source / "assets.csv", try_parse_dates=True)
    (source / "assets.csv").unlink()
    frame.write_parquet(source / "assets.parquet")
    landed = pl.read_parquet(land(source, tmp_path / "again")["assets"].path)
    # Where every field converted, no column says otherwise.
    assert ("_type_errors" in landed.columns) is failed
    assert not failed or landed["_type_errors"].to_list() == [["asset_name"], [], []]


def test_words_for_nothing_are_no_names(source: Path, tmp_path: Path) -> None:
    text = (source / "customers.csv").read_text(encoding="utf-8").replace("bob,premium", "N/A,NULL")
    (source / "customers.csv").write_text(text, encoding="utf-8")
    landed = pl.read_parquet(land(source, tmp_path / "landed")["customers"].path)
    assert landed["_type_errors"].to_list() == [[], ["customer_id", "customer_type"], []]


def test_the_last_field_of_a_file_without_a_last_line_break_is_not_believed(source: Path, tmp_path: Path) -> None:
    whole = (source / "prices.csv").read_bytes()
    (source / "prices.csv").write_bytes(whole[:-3])  # 5.25 has become 5.
    prices = pl.read_parquet(land(source, tmp_path / "landed")["prices"].path)
    assert prices["close"].to_list() == [100.0, 101.5, None]
    assert prices["_type_errors"].to_list() == [[], [], ["close"]]
    (source / "prices.csv").write_bytes(gzip.compress(whole))
    (source / "prices.csv").rename(source / "prices.csv.gz")
    assert pl.read_parquet(land(source, tmp_path / "again")["prices"].path)["close"].to_list() == [100.0, 101.5, 5.25]


def test_a_folder_or_pipe_under_a_files_name_is_said(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").unlink()
    (source / "prices.csv").mkdir()
    assert "the folder prices.csv/ holds no .parquet file" in fault(source, tmp_path)
    (source / "prices.csv").rmdir()
    os.mkfifo(source / "prices.parquet")
    assert "prices.parquet is not a file" in fault(source, tmp_path)


def test_binary_junk_in_a_header_does_not_reach_the_terminal(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").write_bytes(b"\x1b[31masset_id,date,close\nUS0378331005,2021-06-29,1\n")
    said = fault(source, tmp_path)
    assert "column asset_id missing (found \\x1b[31masset_id, date, close)" in said
    assert printable("a" * 100) == "a" * 60 + "..."
