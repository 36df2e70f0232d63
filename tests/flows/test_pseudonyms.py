"""Pseudonyms: keyed, the key outside every run, and no customer id where people outside the desk read."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

import polars as pl
import pytest

from data_contracts.errors import RunNotFound, StorageError
from flows.pseudonyms import KEY_VARIABLE, known_key, pseudonym, pseudonyms, resolved


def test_a_pseudonym_is_the_hmac_of_the_id_under_the_homes_key(tmp_path: Path) -> None:
    names = pseudonyms(tmp_path, pl.Series(["C1", "C2", "C1"]))
    key = (tmp_path / "pseudonym.key").read_bytes()
    assert names["C1"] == "c-" + hmac.new(key, b"C1", hashlib.sha256).hexdigest()[:16]
    assert len(set(names.values())) == 2
    assert (tmp_path / "pseudonym.key").stat().st_mode & 0o777 == 0o600
    assert pseudonyms(tmp_path, pl.Series(["C1"])) == {"C1": names["C1"]}


def test_another_place_for_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "elsewhere.key"))
    pseudonyms(tmp_path / "home", pl.Series(["C1"]))
    assert (tmp_path / "elsewhere.key").exists()
    assert not (tmp_path / "home").exists()


def test_without_the_key_nothing_is_mapped_and_a_short_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no pseudonym key"):
        known_key(tmp_path)
    (tmp_path / "pseudonym.key").write_bytes(b"short")
    with pytest.raises(StorageError, match="has 5 bytes, not 32"):
        pseudonyms(tmp_path, pl.Series(["C1"]))


def test_a_customer_is_found_by_id_and_by_pseudonym(home: Path, run: Path) -> None:
    customer = pl.read_parquet(run / "recommendations.parquet")["customer_id"][0]
    name = pseudonym(known_key(home), customer)
    assert resolved(home, run, customer) == resolved(home, run, name) == customer
    for unknown in ("nobody", "c-0000000000000000"):
        with pytest.raises(RunNotFound, match=f"knows no customer '{unknown}'"):
            resolved(home, run, unknown)


def test_no_customer_id_in_evidence_records_manifest_or_log(home: Path, run: Path) -> None:
    ids = set(pl.read_parquet(run / "histories" / "present" / "customers.parquet")["customer_id"])
    shape = re.compile(r"\bC\d{7}\b")
    assert all(shape.fullmatch(one) for one in ids)
    places = [*(run / "evidence").rglob("*"), *(home / "records").iterdir(), run / "manifest.json", run / "gate.json"]
    places += [run / "steps.jsonl", home / "night.log"]
    read = [path for path in places if path.is_file()]
    assert len(read) > 10
    assert (home / "night.log").stat().st_size > 1000
    for path in read:
        found = ids & set(shape.findall(path.read_text(encoding="utf-8", errors="replace")))
        assert not found, f"{path.name} holds {len(found)} customer ids"
    # The search does find them where they are.
    assert ids & set(shape.findall((run / "recommendations.csv").read_text(encoding="utf-8")))
    # No key lies in a run.
    keys = [(home / name).read_bytes() for name in ("pseudonym.key", "record.key")]
    for path in run.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(key in content for key in keys), path
