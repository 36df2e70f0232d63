"""Releases from quarantine as records of the chain: who let which row pass which rules and why, and who took that back.

A release is a record ``released`` whose detail holds the row by the hash of its content, its rules, and where it was seen;
its number is its name. A record ``withdrawn`` names one. Neither is ever changed: what is in force is what the chain says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import ConfigError, DecisionRefused, StorageError
from data_contracts.printable import printable
from data_contracts.releases import Release
from flows.json_files import read_json_if
from flows.keys import read_key
from flows.records.chain import Chain
from flows.records.publication import finish
from flows.records.record import Link, Record, in_words
from flows.run_store import RunStore


@dataclass(frozen=True)
class Standing:
    """A release and, where it was withdrawn, the record by which."""

    release: Release
    withdrawn: Record | None = None


def release(store: RunStore, found: Sequence[Release], by: str, reason: str) -> list[Release]:
    """Records one release a row, by whom and why, and returns them as recorded: ``found`` says which rows from which rules.

    Raises ConfigError where a name or a reason is missing, DecisionRefused where a row is released from its rules already,
    StorageError where the chain is not whole.
    """
    by, reason = in_words(by, "--by"), in_words(reason, "--reason")
    with Chain(store.home).appending() as chain:
        finish(store, chain)
        # A row that two releases let pass would go on passing when one of them is withdrawn.
        known = {_what(one.release): one.release for one in standings(chain.links).values() if one.withdrawn is None}
        for one in found:
            if (before := known.get(_what(one))) is not None:
                raise DecisionRefused(
                    f"{one.file}:{one.row} of {one.table} is released already: release {before.record} by {before.by}",
                    remedy="the next run accepts it; `nightfolio quarantine releases` lists what is in force",
                )
        links = [
            chain.append(
                "released",
                one.run,
                None,
                by=by,
                reason=reason,
                detail={
                    "table": one.table,
                    "content_sha256": one.content_sha256,
                    "rule_ids": list(one.rule_ids),
                    "file": printable(one.file),
                    "row": one.row,
                },
            )
            for one in found
        ]
    return [_release_of(link.record) for link in links]


def withdraw(store: RunStore, numbers: Sequence[int], by: str, reason: str) -> list[Release]:
    """Records that releases hold no longer, and returns them; all of them or none.

    Raises DecisionRefused where a number is no release, or one that was withdrawn already.
    """
    by, reason = in_words(by, "--by"), in_words(reason, "--reason")
    if not numbers:
        raise ConfigError("no release is named", remedy="`nightfolio quarantine releases` lists them with their numbers")
    with Chain(store.home).appending() as chain:
        finish(store, chain)
        known = standings(chain.links)
        for number in numbers:
            if number not in known:
                raise DecisionRefused(
                    f"record {number} is no release", remedy="`nightfolio quarantine releases` lists those in force"
                )
            before = known[number].withdrawn
            if before is not None:
                raise DecisionRefused(
                    f"release {number} was withdrawn on {before.at} by {before.by}: {before.reason}",
                    remedy="it holds no longer; there is nothing to withdraw",
                )
        chosen = [known[number].release for number in dict.fromkeys(numbers)]
        for one in chosen:
            chain.append("withdrawn", one.run, None, by=by, reason=reason, detail={"release": one.record})
    return chosen


def standings(links: Iterable[Link]) -> dict[int, Standing]:
    """Every release of the chain by its record's number, oldest first, and what became of it."""
    found: dict[int, Standing] = {}
    for link in links:
        record = link.record
        if record.kind == "released":
            found[record.number] = Standing(_release_of(record))
        elif record.kind == "withdrawn" and (before := found.get(record.detail["release"])) is not None:
            found[record.detail["release"]] = Standing(before.release, before.withdrawn or record)
    return found


def out_of_place(links: Iterable[Link]) -> list[tuple[Record, str]]:
    """Withdrawals that cannot follow the records before them."""
    in_force: set[int] = set()
    odd = []
    for link in links:
        record = link.record
        if record.kind == "released":
            in_force.add(record.number)
        elif record.kind == "withdrawn":
            number = record.detail["release"]
            if number not in in_force:
                odd.append((record, f"withdraws record {number}, which is no release in force"))
            in_force.discard(number)
    return odd


def releases_in_force(home: Path) -> tuple[Release, ...]:
    """What a night of this home lets pass, oldest first.

    Raises StorageError where there are releases and the chain is not whole: a release that nobody signed lets nothing pass.
    """
    chain = Chain(home)
    with chain.reading():
        links = chain.links()
        if not any(link.record.kind == "released" for link in links):
            return ()
        links, faults = chain.inspect(read_key(chain.key_file))
    if faults:
        raise StorageError(
            f"releases from quarantine cannot be trusted, for the records are not as they were written: {faults[0]}",
            remedy="`nightfolio verify` names everything that was altered; restore the home's records, and the record key",
        )
    return tuple(one.release for one in standings(links).values() if one.withdrawn is None)


def runs_by_release(store: RunStore) -> dict[int, list[str]]:
    """Which runs, of those that still lie in the home, let a row pass by each release."""
    found: dict[int, list[str]] = {}
    for run in store.runs():
        verdicts = read_json_if(run.path / "contracts" / "verdicts.json") or []
        for number in sorted({number for verdict in verdicts for number in verdict.get("releases", ())}):
            found.setdefault(number, []).append(run.run_id)
    return found


def _what(release: Release) -> tuple[str, str, tuple[str, ...]]:
    """What decides whether a release lets a row pass."""
    return release.table, release.content_sha256, tuple(sorted(release.rule_ids))


def _release_of(record: Record) -> Release:
    detail = record.detail
    return Release(
        table=detail["table"],
        content_sha256=detail["content_sha256"],
        rule_ids=tuple(detail["rule_ids"]),
        by=record.by,
        reason=record.reason,
        run=record.run_id,
        file=detail["file"],
        row=detail["row"],
        released_at=record.at,
        record=record.number,
    )
