"""Which rows of a table pass because a steward released them, and who let them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import ROW
from data_contracts.flagged import FlaggedTable, TableCounts
from data_contracts.releases import Release, content_hash
from data_contracts.verdicts import rows


@dataclass(frozen=True)
class Released:
    """Rows (values of ROW) that pass because a steward released them, each with its release."""

    releases: dict[int, Release]

    @property
    def rows(self) -> pl.Series:
        return pl.Series(ROW, list(self.releases), dtype=pl.get_index_type())

    def count(self, rule_id: str) -> int:
        """Rows released for that rule."""
        return sum(rule_id in release.rule_ids for release in self.releases.values())

    @property
    def records(self) -> tuple[int, ...]:
        """The records of the releases that let a row pass."""
        return tuple(sorted({release.record for release in self.releases.values()}))

    @property
    def notes(self) -> tuple[str, ...]:
        """Who let how many rows pass which rules, why, and by which records."""
        cases: dict[tuple[str, str, tuple[str, ...]], list[int]] = {}
        for release in self.releases.values():
            cases.setdefault((release.by, release.reason, release.rule_ids), []).append(release.record)
        return tuple(
            f"released by {by}: {reason} ({rows(len(records))}, {', '.join(rules)}; {_named(records)})"
            for (by, reason, rules), records in cases.items()
        )


def _named(records: list[int]) -> str:
    listed = [str(number) for number in sorted(set(records))]
    shown = ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
    return f"record {shown}" if len(listed) == 1 else f"records {shown}"


def released_rows(table: FlaggedTable, counts: TableCounts, releases: tuple[Release, ...]) -> Released:
    """The rows whose content was released for exactly the rules that set them aside.

    Only rows that broke one of the released sets of rules are looked at, and never one that broke a rule which nobody
    may release. Of several releases of one content the newest counts.
    """
    contract = table.contract
    releasable = {rule.rule_id for rule in contract.rules if rule.releasable and counts.failed[rule.rule_id]}
    mine = {
        (release.content_sha256, tuple(sorted(release.rule_ids))): release
        for release in releases
        if release.table == contract.table and set(release.rule_ids) <= releasable
    }
    if not mine:
        return Released({})
    setting_aside = [rule for rule in contract.rules if rule.severity != "warn" and counts.failed[rule.rule_id]]
    names = [column.name for column in contract.columns]
    broken = pl.concat_list(pl.when(~pl.col(rule.ok_column)).then(pl.lit(rule.rule_id)) for rule in setting_aside)
    listed = broken.list.drop_nulls().list.sort().list.join(",").alias(c.RULE_IDS)
    sets = sorted({",".join(rule_ids) for _, rule_ids in mine})
    possible = table.frame.select(ROW, *names, listed).filter(pl.col(c.RULE_IDS).is_in(sets)).collect(engine="streaming")
    found = {}
    for row in possible.iter_rows(named=True):
        release = mine.get((content_hash(row, names), tuple(row[c.RULE_IDS].split(","))))
        if release is not None:
            found[int(row[ROW])] = release
    return Released(found)
