"""Attempts on releases from quarantine: who let which row pass, and what was taken back."""

from __future__ import annotations

import json
from typing import Any

from data_contracts.releases import Release
from flows.bench.tamper_target import Attempt, Target, lost_head, replace
from flows.records import releases
from flows.records.record import Record
from flows.run_store import RunStore


def _of_kind(target: Target, kind: str) -> int:
    """Number of the first record of that kind. Raises StopIteration where there is none."""
    return next(link.record.number for link in target.links if link.record.kind == kind)


def _changed(target: Target, number: int, **values: Any) -> str:
    content = json.loads(target.record(number).read_bytes())
    detail = {**content["detail"], **values.pop("detail", {})}
    replace(target.record(number), Record.model_validate({**content, **values, "detail": detail}).content())
    return f"{number:06d}.json: its signature does not fit"


def _who(target: Target) -> str:
    return _changed(target, _of_kind(target, "released"), by="someone else")


def _row(target: Target) -> str:
    return _changed(target, _of_kind(target, "released"), detail={"content_sha256": "f" * 64})


def _rules(target: Target) -> str:
    return _changed(target, _of_kind(target, "released"), detail={"rule_ids": ["isin_check_digit", "price_outlier"]})


def _other_withdrawn(target: Target) -> str:
    released = [link.record.number for link in target.links if link.record.kind == "released"]
    number = _of_kind(target, "withdrawn")
    before = target.links[number - 1].record.detail["release"]
    return _changed(target, number, detail={"release": next(one for one in released if one != before)})


def _row_rehashed(target: Target) -> str:
    number = _of_kind(target, "released")
    target.write_anew(number, None, lambda record: record["detail"].update(content_sha256="f" * 64))
    return f"{number:06d}.json: its signature does not fit"


def _withdrawal_turned(target: Target) -> str:
    number = _of_kind(target, "withdrawn")
    detail = target.links[_of_kind(target, "released") - 1].record.detail
    target.write_anew(number, None, lambda record: record.update(kind="released", detail={**detail, "row": 99}))
    return f"{number:06d}.json: its signature does not fit"


def _deleted(target: Target, kind: str) -> str:
    number = _of_kind(target, kind)
    target.old_record(number).unlink()
    return f"record {number} before it: deleted"


def _release_deleted(target: Target) -> str:
    return _deleted(target, "released")


def _withdrawal_deleted(target: Target) -> str:
    return _deleted(target, "withdrawn")


def _forged(target: Target, kind: str, detail: dict[str, Any]) -> str:
    last = target.links[-1]
    number = last.record.number + 1
    content = last.record.model_dump() | {
        "number": number,
        "previous": last.sha256,
        "kind": kind,
        "manifest_sha256": None,
        "detail": detail,
    }
    target.record(number).write_bytes(Record.model_validate(content).content())
    return f"{number:06d}.json: its signature does not fit"


def _release_forged(target: Target) -> str:
    return _forged(
        target, "released", target.links[_of_kind(target, "released") - 1].record.detail | {"content_sha256": "f" * 64}
    )


def _withdrawal_forged(target: Target) -> str:
    gone = {link.record.detail["release"] for link in target.links if link.record.kind == "withdrawn"}
    held = next(link.record.number for link in target.links if link.record.kind == "released" and link.record.number not in gone)
    return _forged(target, "withdrawn", {"release": held})


def _last_release_cut_off(target: Target) -> str:
    """A steward releases a row, and the record of it is taken away before anything follows it."""
    row = Release("prices", "e" * 64, ("price_outlier",), "", "", target.run().run_id, "prices.csv", 3, "")
    (made,) = releases.release(RunStore(target.home), [row], "A. Steward", "an auction")
    target.record(made.record).unlink()
    return lost_head(target)


ATTEMPTS = (
    Attempt("edit who released a row", _who),
    Attempt("release another row by an old release", _row),
    Attempt("the same, re-hash every record after it", _row_rehashed),
    Attempt("release a row from one rule more", _rules),
    Attempt("delete a release", _release_deleted),
    Attempt("add a release", _release_forged),
    Attempt("cut off a release that was the last record", _last_release_cut_off),
    Attempt("delete a withdrawal", _withdrawal_deleted),
    Attempt("add a withdrawal", _withdrawal_forged),
    Attempt("withdraw another release instead", _other_withdrawn),
    Attempt("turn a withdrawal into a release, re-hash", _withdrawal_turned),
)
