"""Bad input: each fault of a source file has its message. And the sound ways to deliver one."""

from __future__ import annotations

import gzip
import hashlib
import resource
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from data_contracts.errors import LandingError
from data_contracts.landing import LandedTable, read_landing

AS_OF = date(2021, 6, 30)


def land(source: Path, into: Path) -> dict[str, LandedTable]:
    return read_landing("nightfolio", source, into, AS_OF, "block")


def fault(source: Path, tmp_path: Path) -> str:
    with pytest.raises(LandingError) as caught:
        land(source, tmp_path / "landed")
    assert not (tmp_path / "landed" / "plain").exists(), "decompressed copies are removed"
    return str(caught.value)


def test_missing_folder(tmp_path: Path) -> None:
    said = fault(tmp_path / "nowhere", tmp_path)
    assert said.startswith(f"the source folder {tmp_path / 'nowhere'} does not exist\n  remedy: give the folder")


def test_a_file_is_no_source_folder(tmp_path: Path) -> None:
    (tmp_path / "source.zip").write_bytes(b"PK")
    assert "source.zip is not a folder" in fault(tmp_path / "source.zip", tmp_path)


def test_unknown_format(source: Path, tmp_path: Path) -> None:
    with pytest.raises(LandingError, match=r"source format 'excel' is not known\n  remedy: choose one of far_trans"):
        read_landing("excel", source, tmp_path / "landed", AS_OF, "block")  # type: ignore[arg-type]


def test_missing_file(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").unlink()
    assert (
        f"prices: no file in {source} (looked for prices.parquet, prices.csv, prices.csv.gz, prices; "
        "the folder holds assets.csv, customers.csv, restricted.csv, transactions.csv)"
    ) in fault(source, tmp_path)


def test_two_files_for_one_table(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv.gz").write_bytes(gzip.compress(b"asset_id,date,close\n"))
    assert "prices.csv and prices.csv.gz both exist" in fault(source, tmp_path)


def test_missing_column(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").write_text("asset_id,date,price\nUS0378331005,2021-06-29,1\n", encoding="utf-8")
    assert "prices.csv: column close missing (found asset_id, date, price)" in fault(source, tmp_path)


@pytest.mark.parametrize("own", ["_source_file", "_source_row", "_type_errors", "_raw", "_respelt"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_column_named_like_the_readers_own(own: str, form: str, source: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(source / "prices.csv", try_parse_dates=True).with_columns(pl.lit("x").alias(own))
    (source / "prices.csv").unlink()
    frame.write_csv(source / "prices.csv") if form == "csv" else frame.write_parquet(source / "prices.parquet")
    said = fault(source, tmp_path)
    assert f"prices.{form}: {own} is a name of the reader's own columns\n  remedy: rename column {own} in the source" in said


def test_semicolons(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").write_text("asset_id;date;close\nUS0378331005;2021-06-29;1\n", encoding="utf-8")
    said = fault(source, tmp_path)
    assert "columns asset_id, date, close missing (found asset_id;date;close; is it separated by semicolons?)" in said


def test_column_twice(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").write_text("asset_id,date,close,close\n", encoding="utf-8")
    assert "prices.csv: column close occurs twice in the header" in fault(source, tmp_path)


def test_file_without_header(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").write_bytes(b"")
    assert "prices.csv: the file is empty (not even a header row)" in fault(source, tmp_path)


@pytest.mark.parametrize(("line", "fields"), [("US0378331005,2021-06-29", 2), ("US0378331005,2021-06-29,1,2", 4), ("", 0)])
def test_ragged_lines(line: str, fields: int, source: Path, tmp_path: Path) -> None:
    with (source / "prices.csv").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    assert f"prices.csv: line 5 has {fields} fields, the header has 3" in fault(source, tmp_path)


def test_unpaired_quote(source: Path, tmp_path: Path) -> None:
    with (source / "assets.csv").open("a", encoding="utf-8") as file:
        file.write('FR0000120271,"Total, S.A.,stock,XPAR,2018-01-02\n')
    assert "assets.csv: line 5 is not well-formed CSV (unexpected end of data)" in fault(source, tmp_path)


@pytest.mark.parametrize("compressed", [False, True])
def test_not_utf8(compressed: bool, source: Path, tmp_path: Path) -> None:
    content = (source / "assets.csv").read_bytes() + "FR0000120271,Société,stock,XPAR,2018-01-02\n".encode("latin-1")
    (source / "assets.csv").unlink()
    name = "assets.csv.gz" if compressed else "assets.csv"
    (source / name).write_bytes(gzip.compress(content) if compressed else content)
    byte = content.index(b"\xe9")
    assert f"{name}: not UTF-8 at line 5, byte {byte} (0xe9)" in fault(source, tmp_path)


def test_not_utf8_far_into_a_large_file(source: Path, tmp_path: Path) -> None:
    lines = "US0378331005,2021-06-29,κλείσιμο\n".encode() * 60_000  # two and a half megabytes: several reads
    content = b"asset_id,date,close\n" + lines + b"US0378331005,2021-06-29,\xff\n"
    (source / "prices.csv").write_bytes(content)
    said = fault(source, tmp_path)
    assert f"prices.csv: not UTF-8 at line 60002, byte {len(content) - 2} (0xff)" in said


def test_truncated_gzip(source: Path, tmp_path: Path) -> None:
    whole = gzip.compress((source / "prices.csv").read_bytes())
    (source / "prices.csv").unlink()
    (source / "prices.csv.gz").write_bytes(whole[:-12])
    assert "prices.csv.gz: the gzip file is truncated (it ends before its end-of-stream marker)" in fault(source, tmp_path)


def test_a_plain_file_called_gzip(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").rename(source / "prices.csv.gz")
    assert "prices.csv.gz: not a sound gzip file (Not a gzipped file" in fault(source, tmp_path)


def test_truncated_parquet(source: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(source / "prices.csv", try_parse_dates=True)
    (source / "prices.csv").unlink()
    frame.write_parquet(source / "prices.parquet")
    whole = (source / "prices.parquet").read_bytes()
    (source / "prices.parquet").write_bytes(whole[:-20])
    assert "prices.parquet: not a whole Parquet file (" in fault(source, tmp_path)


def test_damaged_parquet_page(source: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(source / "prices.csv", try_parse_dates=True)
    (source / "prices.csv").unlink()
    frame.write_parquet(source / "prices.parquet")
    whole = bytearray((source / "prices.parquet").read_bytes())
    whole[4:60] = b"\x00" * 56
    (source / "prices.parquet").write_bytes(bytes(whole))
    assert "prices: prices.parquet cannot be read (" in fault(source, tmp_path)


def test_parquet_column_of_an_impossible_type(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").unlink()
    frame = pl.DataFrame({"asset_id": ["US0378331005"], "date": [20210629], "close": [1.0]})
    frame.write_parquet(source / "prices.parquet")
    said = fault(source, tmp_path)
    assert "prices.parquet: column date is of type Int64, which cannot be read as Date" in said
    assert "remedy: export date as Date (day of the close)" in said


@pytest.mark.parametrize("name", ["prices", "prices.parquet"])  # the second as Spark names it
def test_a_folder_of_parquet(name: str, source: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(source / "prices.csv", try_parse_dates=True)
    (source / "prices.csv").unlink()
    (source / name).mkdir()
    frame.write_parquet(source / name / "2021.parquet")
    prices = land(source, tmp_path / "landed")["prices"]
    assert [(file.name, file.rows) for file in prices.files] == [(f"{name}/2021.parquet", 3)]
    assert prices.read == 3


def test_a_folder_without_parquet(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").unlink()
    (source / "prices").mkdir()
    assert "prices: the folder prices/ holds no .parquet file" in fault(source, tmp_path)


@pytest.mark.parametrize("stray", ["b.csv", "b.PARQUET", "b.parquet.tmp", ".b.parquet", "_SUCCESS", "2020/", "2020.parquet/"])
def test_a_table_folder_holds_plain_parquet_files_only(stray: str, source: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(source / "prices.csv", try_parse_dates=True)
    (source / "prices.csv").unlink()
    (source / "prices").mkdir()
    frame.write_parquet(source / "prices" / "a.parquet")
    entry = source / "prices" / stray
    entry.mkdir() if stray.endswith("/") else frame.write_parquet(entry)
    said = fault(source, tmp_path)
    assert f"prices: prices/{stray.rstrip('/')} is no plain .parquet file" in said
    assert "move everything else out of it" in said


@pytest.mark.parametrize(
    ("entry", "table"),
    [
        ("Restricted.parquet", "restricted"),
        ("restricted_list.parquet", "restricted"),
        ("holdings.parquet.gz", "holdings"),
        ("Prices.csv", "prices"),
        ("transaction.csv", "transactions"),
        (".restricted.csv.part", "restricted"),
        ("restricted list/", "restricted"),
    ],
)
def test_what_looks_like_a_table_under_another_name_is_refused(entry: str, table: str, source: Path, tmp_path: Path) -> None:
    (source / entry).mkdir() if entry.endswith("/") else (source / entry).write_bytes(b"")
    said = fault(source, tmp_path)
    assert f"{table}: {entry.rstrip('/')} looks like this table but is not read" in said
    assert f"remedy: name it {table}.parquet, {table}.csv or {table}.csv.gz" in said


def test_other_entries_of_the_source_folder_are_named(source: Path, tmp_path: Path) -> None:
    (source / "truth").mkdir()
    (source / "market.json").write_text("{}", encoding="utf-8")
    assert land(source, tmp_path / "simulated")["assets"].notes == ()
    for name in ("README.md", "prices.md", "LICENSE", ".DS_Store"):
        (source / name).write_text("", encoding="utf-8")
    (note,) = land(source, tmp_path / "landed")["assets"].notes
    assert note == "entries of the source folder that are not read: .DS_Store, LICENSE, README.md, prices.md"


def test_wrong_types_become_null_and_are_named(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").write_text(
        "asset_id,date,close\nUS0378331005,2021-06-29, 1.5 \nUS0378331005,29.6.2021,nan\nUS0378331005,2021-06-28,\n",
        encoding="utf-8",
    )
    prices = pl.read_parquet(land(source, tmp_path / "landed")["prices"].path)
    assert prices["close"].to_list() == [1.5, None, None]
    assert prices["_type_errors"].to_list() == [[], ["date", "close"], []]
    assert prices["_raw"].is_null().to_list() == [True, False, True]
    assert prices["_source_row"].to_list() == [1, 2, 3]


def test_infinite_and_too_large_numbers_in_parquet_are_type_errors(source: Path, tmp_path: Path) -> None:
    (source / "assets.csv").unlink()
    pl.DataFrame(
        {
            "asset_id": ["US0378331005"] * 3,
            "asset_name": ["a", "b", "c"],
            "asset_class": ["stock"] * 3,
            "dividend_yield": [0.01, float("nan"), float("inf")],
            "risk_class": [2**40 + 1, 3, 4],
            "valid_from": [date(2020, 1, day) for day in (1, 2, 3)],
        }
    ).write_parquet(source / "assets.parquet")
    assets = pl.read_parquet(land(source, tmp_path / "landed")["assets"].path)
    assert assets["_type_errors"].to_list() == [["risk_class"], ["dividend_yield"], ["dividend_yield"]]
    assert assets["risk_class"].to_list() == [None, 3, 4]


def test_every_way_of_delivery_lands_the_same_rows(source: Path, tmp_path: Path) -> None:
    columns = ["asset_id", "date", "close", "_source_row"]
    plain = land(source, tmp_path / "plain")["prices"]
    content = (source / "prices.csv").read_bytes()
    frame = pl.read_csv(source / "prices.csv", try_parse_dates=True)
    expected = pl.read_parquet(plain.path, columns=columns)
    assert plain.files[0].sha256 == hashlib.sha256(content).hexdigest()
    assert (plain.files[0].rows, plain.files[0].bytes) == (3, len(content))

    (source / "prices.csv").write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))  # as a spreadsheet saves it
    assert pl.read_parquet(land(source, tmp_path / "bom")["prices"].path, columns=columns).equals(expected)

    (source / "prices.csv").unlink()
    packed = gzip.compress(content[:40]) + gzip.compress(content[40:])  # two members, as parallel gzip writes
    (source / "prices.csv.gz").write_bytes(packed)
    zipped = land(source, tmp_path / "gz")["prices"]
    assert zipped.files[0].sha256 == hashlib.sha256(packed).hexdigest()
    assert pl.read_parquet(zipped.path, columns=columns).equals(expected)

    (source / "prices.csv.gz").unlink()
    frame.write_parquet(source / "prices.parquet")
    assert pl.read_parquet(land(source, tmp_path / "parquet")["prices"].path, columns=columns).equals(expected)

    (source / "prices.parquet").unlink()
    (source / "prices").mkdir()
    frame[:2].write_parquet(source / "prices" / "2021a.parquet")
    frame[2:].write_parquet(source / "prices" / "2021b.parquet")
    folder = land(source, tmp_path / "folder")["prices"]
    assert [file.name for file in folder.files] == ["prices/2021a.parquet", "prices/2021b.parquet"]
    parts = pl.read_parquet(folder.path)
    assert parts.select(columns[:3]).equals(expected.select(columns[:3]))
    assert parts["_source_row"].to_list() == [1, 2, 1]
    assert folder.read == 3


def test_left_out_columns(source: Path, tmp_path: Path) -> None:
    (source / "transactions.csv").write_text(
        "customer_id,asset_id,side,date,value,units\nann,US0378331005,buy,2021-06-01,10,1\nann,US0378331005,buy,2021-06-02,,\n",
        encoding="utf-8",
    )
    tables = land(source, tmp_path / "landed")
    trades = pl.read_parquet(tables["transactions"].path)
    assert trades["record_kind"].to_list() == ["full", "dated_only"]
    assert tables["transactions"].notes == ("1 of 2 rows have no value or no units and are read as dated_only",)
    assert trades["transaction_id"].is_null().all()
    assert pl.read_parquet(tables["customers"].path)["risk_predicted"].to_list() == [False, False, False]
    assert "markets" not in tables
    assert "delivered_holdings" not in tables


def test_only_the_files_without_record_kind_are_counted(source: Path, tmp_path: Path) -> None:
    (source / "transactions.csv").unlink()
    (source / "transactions").mkdir()
    bare = pl.DataFrame(
        {
            "customer_id": ["ann", "bob"],
            "asset_id": ["US0378331005"] * 2,
            "side": ["buy"] * 2,
            "date": [date(2021, 6, 1)] * 2,
            "value": pl.Series([None, 10.0], dtype=pl.Float64),
            "units": pl.Series([None, 1.0], dtype=pl.Float64),
        }
    )
    bare.write_parquet(source / "transactions" / "a.parquet")
    bare.with_columns(record_kind=pl.Series(["dated_only", "full"])).write_parquet(source / "transactions" / "b.parquet")
    assert "1 of 4 rows" in land(source, tmp_path / "landed")["transactions"].notes[-1]


def test_replay_withholds_rows_and_windows_that_end_later(source: Path, tmp_path: Path) -> None:
    (source / "transactions.csv").write_text(
        "customer_id,asset_id,side,date,value,units,record_kind,date_window_days\n"
        "ann,US0378331005,buy,2021-06-30,10,1,full,\n"
        "ann,US0378331005,buy,2021-07-01,10,1,full,\n"
        "ann,US0378331005,buy,2021-06-27,,,window,6\n"  # 24 to 30 June
        "ann,US0378331005,buy,2021-06-27,,,window,7\n"  # 24 June to 1 July
        "ann,US0378331005,buy,when,,,dated_only,\n",
        encoding="utf-8",
    )
    landed = read_landing("nightfolio", source, tmp_path / "landed", AS_OF, "withhold")["transactions"]
    assert (landed.landed, landed.read, landed.withheld) == (5, 3, 2)
    assert pl.read_parquet(landed.path)["_source_row"].to_list() == [1, 3, 5]


def test_replay_empties_questionnaires_that_look_ahead(source: Path, tmp_path: Path) -> None:
    (source / "customers.csv").write_text(
        "customer_id,customer_type,risk_level,last_questionnaire_date,valid_from\n"
        "ann,mass,income,2021-07-15,2018-01-02\nbob,mass,income,2021-06-15,2018-01-02\n"
        "cid,mass,income,2021-08-01,2021-08-01\n",
        encoding="utf-8",
    )
    landed = read_landing("nightfolio", source, tmp_path / "landed", AS_OF, "withhold")["customers"]
    assert landed.notes == (
        "last_questionnaire_date: 1 date after as_of 2021-06-30 set to null (look-ahead), and the answers too",
    )
    frame = pl.read_parquet(landed.path)
    assert frame["last_questionnaire_date"].to_list() == [None, date(2021, 6, 15)]
    assert frame["risk_level"].to_list() == [None, "income"]  # what that questionnaire answered is not known either


def test_landed_rows_are_conserved() -> None:
    with pytest.raises(ValueError, match="5 rows landed, but 3 were read and 1 withheld"):
        LandedTable("prices", Path("prices.parquet"), 5, 3, 1, ())


def test_a_full_disk_is_not_called_a_bad_file(source: Path, tmp_path: Path) -> None:
    """A file size limit stands in for a full disk: the system refuses the write in the same way."""
    with (source / "prices.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"US0378331005,{date.fromordinal(730000 + n)},{n}.{n * 7919 % 10007}\n" for n in range(6000))
    program = textwrap.dedent(f"""
        import resource
        from datetime import date
        from pathlib import Path
        from data_contracts.errors import StorageError
        from data_contracts.landing import read_landing
        from data_contracts.storage import write_parquet
        import polars as pl
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, {resource.getrlimit(resource.RLIMIT_FSIZE)[1]}))
        try:
            read_landing("nightfolio", Path({str(source)!r}), Path({str(tmp_path / "landed")!r}), date(2021, 6, 30), "block")
        except StorageError as error:
            print(error)
        try:
            write_parquet(pl.LazyFrame({{"x": [n * 7919 % 10007 for n in range(20_000)]}}), Path({str(tmp_path / "t.parquet")!r}))
        except StorageError as error:
            print(error)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert f"prices.csv cannot be written to {tmp_path / 'landed' / 'plain'}: File too large" in done.stdout
    assert f"t.parquet cannot be written to {tmp_path}: File too large" in done.stdout
    assert not (tmp_path / "landed" / "prices.parquet").exists()
    assert not (tmp_path / "t.parquet").exists()
