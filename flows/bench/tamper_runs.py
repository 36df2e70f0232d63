"""Attempts on the files and folders of runs, and on CURRENT."""

from __future__ import annotations

import shutil

from flows.bench.tamper_target import CSV, PARQUET, Attempt, Target, edit, exchange, fit_manifest, replace
from flows.records.check import MANIFEST
from flows.records.standing import in_force


def _edited(target: Target) -> str:
    edit(target.folder() / PARQUET)
    return f"{target.run().run_id}/{PARQUET}: altered"


def _truncated(target: Target) -> str:
    path = target.folder() / PARQUET
    replace(path, path.read_bytes()[:-1])
    return f"{PARQUET}: altered"


def _deleted(target: Target) -> str:
    (target.folder() / CSV).unlink()
    return f"{CSV}: deleted"


def _added(target: Target) -> str:
    (target.folder() / "extra.csv").write_text("customer_id\n")
    return "extra.csv: added"


def _renamed(target: Target) -> str:
    (target.folder() / CSV).rename(target.folder() / "old.csv")
    return f"{CSV}: renamed to old.csv"


def _swapped(target: Target) -> str:
    exchange(target.folder() / CSV, target.folder() / PARQUET)
    return f"{CSV}: exchanged with {PARQUET}"


def _linked(target: Target) -> str:
    path = target.folder() / CSV
    outside = target.home / "copy.csv"
    path.rename(outside)
    path.symlink_to(outside)
    return f"{CSV}: a link"


def _held_edited(target: Target) -> str:
    edit(target.folder("held") / CSV)
    return f"held/{target.run('held').run_id}/{CSV}: altered"


def _rehashed_file(target: Target) -> str:
    edit(target.folder() / PARQUET)
    fit_manifest(target.folder(), PARQUET)
    return f"{MANIFEST}: not the one that was recorded"


def _current_moved(target: Target) -> str:
    link = target.home / "published" / "CURRENT"
    if target.run().run_id == in_force(target.links):
        raise IndexError("there is no older run")
    link.unlink()
    link.symlink_to(target.run().run_id)
    return f"CURRENT: points at {target.run().run_id}"


def _current_replaced(target: Target) -> str:
    link = target.home / "published" / "CURRENT"
    shutil.copytree(link.resolve(), target.home / "copy")
    link.unlink()
    (target.home / "copy").rename(link)
    return "CURRENT: replaced"


def _run_deleted(target: Target) -> str:
    shutil.rmtree(target.folder())
    return f"published/{target.run().run_id}: recorded as published (record {target.run().last.number}) and not there"


def _runs_exchanged(target: Target) -> str:
    exchange(target.folder(), target.folder("published", 1))
    return f"published/{target.run().run_id}: holds run {target.run('published', 1).run_id}"


def _run_forged(target: Target) -> str:
    shutil.copytree(target.folder(), target.home / "published" / "2099-12-31-01")
    return "published/2099-12-31-01: no record speaks of this run"


def _held_published(target: Target) -> str:
    run = target.run("held").run_id
    target.folder("held").rename(target.home / "published" / run)
    return f"published/{run}: the records say that it is held"


def _rejected_published(target: Target) -> str:
    run = target.run("rejected").run_id
    target.folder("rejected").rename(target.home / "published" / run)
    return f"published/{run}: the records say that it is rejected"


def _blocked_published(target: Target) -> str:
    run = target.run("blocked").run_id
    target.folder("blocked").rename(target.home / "published" / run)
    return f"published/{run}: the records say that it is blocked"


ATTEMPTS = (
    Attempt("edit one bit of a file", _edited),
    Attempt("cut a byte off a file", _truncated),
    Attempt("delete a file", _deleted),
    Attempt("add a file", _added),
    Attempt("rename a file", _renamed),
    Attempt("exchange two files", _swapped),
    Attempt("put a link in a file's place", _linked),
    Attempt("edit a file of a held run", _held_edited),
    Attempt("edit a file, re-hash it in the manifest", _rehashed_file),
    Attempt("point CURRENT at an older run", _current_moved),
    Attempt("put a folder in CURRENT's place", _current_replaced),
    Attempt("delete a run", _run_deleted),
    Attempt("exchange two runs", _runs_exchanged),
    Attempt("add a run", _run_forged),
    Attempt("publish a held run by hand", _held_published),
    Attempt("publish a rejected run by hand", _rejected_published),
    Attempt("publish a blocked run by hand", _blocked_published),
)
