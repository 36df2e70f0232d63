"""Rules on a table as a whole: how many rows, how fresh, how different from last time, how much set aside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from data_contracts.check_context import CheckContext
from data_contracts.contents import COMMON, FEWER, Contents
from data_contracts.contract import Contract, Expectation, Severity
from data_contracts.expectations import Later, at_once, count_failures
from data_contracts.landing.drift import compare
from data_contracts.landing.landed import LandedTable
from data_contracts.printable import printable
from data_contracts.verdicts import RuleVerdict, rows

# Share of quarantined rows that stops the night where the settings name no other.
DEFAULT_QUARANTINE_LIMIT = 0.05
# Share of trades that may lack their amount in a source that otherwise has it: transfers, subscriptions not yet priced.
WITHOUT_AMOUNT = 0.05


@dataclass(frozen=True)
class TableFacts:
    """Counts of one table: rows read and quarantined, and the age in days of its newest row (None: no dated row).

    ``contents``: how its columns differ from those of the last publication (None: nothing to compare with).
    """

    read: int
    quarantined: int
    newest_age_days: int | None
    contents: Contents | None = None


@dataclass(frozen=True)
class _TableRule:
    rule_id: str
    description: str
    severity: Severity
    value: float | None
    least: float | None
    most: float | None
    message: str
    remedy: str

    @property
    def broken(self) -> bool:
        low = self.value is not None and self.least is not None and self.value < self.least
        return low or (self.value is not None and self.most is not None and self.value > self.most)


def check_facts(
    contract: Contract, landed: LandedTable, facts: TableFacts, context: CheckContext, later: Later = at_once
) -> tuple[RuleVerdict, ...]:
    """The verdicts on the table's facts. Great Expectations counts each too, ``later``, on a frame of one row."""
    listed = _rules(contract, landed, facts, context)
    if listed and context.ask_library:
        later(lambda: _count_too(contract.table, listed))
    return tuple(_verdict(contract.table, rule) for rule in listed)


def _count_too(table: str, listed: Sequence[_TableRule]) -> None:
    """Raises RuntimeError where Great Expectations comes to another outcome."""
    frame = pa.table({rule.rule_id: pa.array([rule.value], pa.float64()) for rule in listed})
    suite = {
        rule.rule_id: Expectation(
            "ExpectColumnValuesToBeBetween",
            {"column": rule.rule_id, "min_value": rule.least, "max_value": rule.most},
        )
        for rule in listed
    }
    counted = count_failures(f"{table}.facts", suite, [frame])
    for rule in listed:
        if counted[rule.rule_id].failed != int(rule.broken):
            raise RuntimeError(f"{table}: two engines disagree on {rule.rule_id} of {rule.value}")


def _verdict(table: str, rule: _TableRule) -> RuleVerdict:
    return RuleVerdict(
        table=table,
        rule_id=rule.rule_id,
        description=rule.description,
        columns=(),
        severity=rule.severity,
        outcome=rule.severity if rule.broken else "pass",
        failed=int(rule.broken),
        checked=1,
        limit=0.0,
        remedy=rule.remedy,
        examples=(),
        message=rule.message if rule.broken else "",
    )


def _rules(contract: Contract, landed: LandedTable, facts: TableFacts, context: CheckContext) -> list[_TableRule]:
    table, read = landed.said, facts.read
    listed = []
    if contract.rows_required:
        why = f" ({rows(landed.withheld)} of the source lie after as_of {context.as_of})" if landed.withheld else ""
        listed.append(
            _TableRule(
                "row_count",
                "the table is not empty",
                "block",
                float(read),
                1.0,
                None,
                f"{table}: no row to read{why}",
                "choose an --as-of that the source covers" if landed.withheld else "deliver the table with its rows",
            )
        )
    previous = context.previous_rows.get(contract.table, 0)
    if contract.without and not previous:  # a table that was there before is missed by volume_change
        listed.append(
            _TableRule(
                "table_delivered",
                "the source delivers the table, be it without rows",
                "warn",
                float(bool(landed.files)),
                1.0,
                None,
                f"{table}: the source does not deliver this table: {contract.without}",
                "deliver the table; one that has a header and no row says that nothing is on it",
            )
        )
    if contract.freshness is not None:
        age = facts.newest_age_days
        listed.append(
            _TableRule(
                "freshness",
                f"the newest row is at most {context.freshness_days} days old at as_of",
                contract.freshness,
                None if age is None else float(age),
                None,
                float(context.freshness_days),
                f"{table}: the newest row is {age} days older than as_of {context.as_of} (allowed: {context.freshness_days})",
                "deliver the missing days, run with an earlier --as-of, or raise freshness_days knowingly",
            )
        )
    if previous > 0:
        change = read / previous - 1.0
        limit = context.volume_change_limit
        listed.append(
            _TableRule(
                "volume_change",
                f"rows changed by at most {limit:.0%} since the last publication",
                "block",
                change,
                -limit,
                limit,
                f"{table}: {rows(read)}, {change:+.1%} against {previous:,} at the last publication"
                f" (allowed: {limit:.0%} either way)",
                "see whether the export is whole; if the change is real, raise volume_change_limit for this night",
            )
        )
        listed.append(
            _TableRule(
                "rows_not_fewer",
                "no fewer rows than at the last publication",
                "warn",
                float(read),
                float(previous),
                None,
                f"{table}: {rows(previous - read)} fewer than at the last publication ({read:,} against {previous:,})",
                "see whether a day or a part of the export is missing; rows that were known do not go away by themselves",
            )
        )
    listed += _column_rules(landed, context)
    if facts.contents is not None:
        listed += _content_rules(contract, landed, facts.contents)
    if landed.without_amount is not None and landed.without_amount < read:  # a source without any amount has lost none
        listed.append(
            _TableRule(
                "amounts_not_lost",
                f"at most {WITHOUT_AMOUNT:.0%} of the trades have no value or no units, where others have both",
                "warn",
                landed.without_amount / read,
                None,
                WITHOUT_AMOUNT,
                f"{table}: {landed.without_amount:,} of {rows(read)} ({landed.without_amount / read:.1%}) have no value or no "
                f"units and count as dated_only (allowed: {WITHOUT_AMOUNT:.0%})",
                "see whether the export lost the amounts: holdings of such trades are not known; where they are not known to the"
                " source either, say so in record_kind",
            )
        )
    if read > 0:
        share, most = facts.quarantined / read, context.quarantine_limits.get(contract.table, DEFAULT_QUARANTINE_LIMIT)
        listed.append(
            _TableRule(
                "quarantine_share",
                f"at most {most:.1%} of the rows are quarantined",
                "block",
                share,
                None,
                most,
                f"{table}: {facts.quarantined:,} of {rows(read)} ({share:.1%}) quarantined (allowed: {most:.1%})",
                "see the reasons in the quarantine file and correct the source",
            )
        )
    return listed


def _column_rules(landed: LandedTable, context: CheckContext) -> list[_TableRule]:
    """What changed in the source's columns: reported, and tolerated where nothing that is read has gone."""
    change = compare(landed.columns, context.previous_columns.get(landed.table, {}), landed.left_out)
    asked = (
        (
            "schema_new_column",
            "the source has no column that it did not have at the last publication",
            change.new,
            "since the last publication the source has",
            "nothing, if the sender announced it: a column that the contract does not name is not read",
        ),
        (
            "schema_missing_column",
            "the source has every column that it had at the last publication",
            change.missing,
            "since the last publication the source no longer has",
            "ask the sender; a column that may be left out is now empty in every row",
        ),
        (
            "schema_renamed_column",
            "no column that is not read looks like one that the contract names",
            change.renamed,
            "perhaps under another name:",
            "name the column as the contract does: under another name it is not read, and empty in every row",
        ),
        (
            "schema_retyped_column",
            "every column holds the kind of value that it held at the last publication",
            change.retyped,
            "since the last publication other values in",
            "ask the sender what changed: unit, format, decimal comma or identifier",
        ),
        (
            "schema_unlike_files",
            "every file of the table has the same columns, of the same types, with values, and numbers in double precision",
            landed.unlike,
            "its files are not alike:",
            "export every file in the same way; what one of them lacks is empty in its rows",
        ),
    )
    return _none_found(landed, asked)


def _content_rules(contract: Contract, landed: LandedTable, found: Contents) -> list[_TableRule]:
    """What the accepted rows no longer hold, or hold for the first time."""
    asked = [
        (
            "values_not_lost",
            f"no column has less than {FEWER:.0%} of the values that it had at the last publication, of as many rows",
            found.lost,
            "since the last publication values were lost:",
            "see whether the export lost the column or most of it; what is empty is unknown to every later step",
        )
    ]
    if contract.categories:
        names = ", ".join(contract.categories)
        asked += [
            (
                "no_new_words",
                f"{names}: no word that no row had at the last publication",
                found.new,
                "since the last publication new words:",
                "nothing, if the sender announced them; else see whether a known word is spelt otherwise",
            ),
            (
                "no_words_gone",
                f"{names}: no word that {COMMON:.0%} of the rows had at the last publication is gone",
                found.gone,
                "since the last publication no row has any more:",
                "see whether a part of the export is missing, or the column has been given one value throughout",
            ),
        ]
    return _none_found(landed, asked)


def _none_found(landed: LandedTable, asked: Iterable[tuple[str, str, tuple[str, ...], str, str]]) -> list[_TableRule]:
    """Rules that warn where something was found: rule, description, what was found, the words before it, and the remedy."""
    return [
        _TableRule(rule_id, description, "warn", float(len(found)), None, 0.0, f"{landed.said}: {lead} {_named(found)}", remedy)
        for rule_id, description, found, lead, remedy in asked
    ]


def _named(columns: tuple[str, ...]) -> str:
    shown = ", ".join(printable(one, 120) for one in columns[:6])
    return shown + (f" and {len(columns) - 6} more" if len(columns) > 6 else "")
