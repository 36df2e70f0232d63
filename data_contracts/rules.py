"""Rules that several tables share, each with the expectation that must count the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import AS_OF, Before, Example, Expectation, Rule, Severity
from data_contracts.isin import COUNTRIES, valid_isin

EARLIEST = date(1990, 1, 1)


def flag(rule_id: str) -> Expectation:
    """Expect the boolean column of a rule that was worked out in Polars to be true in every row."""
    return Expectation("ExpectColumnValuesToBeInSet", {"column": f"_ok_{rule_id}", "value_set": [True]})


def at_least(column: str, bound: float | date, *, strictly: bool = False) -> Expectation:
    """Expect a column to be at least (or strictly more than) a bound; nulls are not looked at.

    The bound is compared as a column: the library's own expectation for ranges calls a function for every row, which
    took 10 s a million rows.
    """
    constant = f"_bound_of_{column}"
    arguments = {
        "column_A": column,
        "column_B": constant,
        "or_equal": not strictly,
        "ignore_row_if": "either_value_is_missing",
    }
    return Expectation("ExpectColumnPairValuesAToBeGreaterThanB", arguments, {constant: bound})


def type_rule() -> Rule:
    """Rows with a field whose text is not of the column's type."""
    return Rule(
        rule_id="type",
        description="every field has the type of its column",
        columns=(c.TYPE_ERRORS,),
        severity="quarantine",
        complaint="{has} a field that is not of its column's type",
        remedy="correct the fields named in _type_errors in the source export (dates as YYYY-MM-DD, a decimal point)",
        bad=pl.col(c.TYPE_ERRORS).list.len() > 0,
        expectation=flag("type"),
        limit=0.05,
        breaks=({c.TYPE_ERRORS: [c.DATE]},),
        keeps=({c.TYPE_ERRORS: []},),
    )


def not_null(column: str) -> Rule:
    """Rows without a value that the table cannot do without."""
    return Rule(
        rule_id=f"{column}_not_null",
        description=f"{column} is present",
        columns=(column,),
        severity="quarantine",
        complaint=f"{{has}} no {column}",
        remedy=f"export {column} for every row",
        bad=pl.col(column).is_null(),
        expectation=Expectation("ExpectColumnValuesToNotBeNull", {"column": column}),
        breaks=({column: None},),
        keeps=({},),
    )


def one_of(column: str, values: Sequence[str | int], severity: Severity = "quarantine") -> Rule:
    """Rows whose value is none of a closed list."""
    listed = ", ".join(str(value) for value in values)
    return Rule(
        rule_id=f"{column}_in_set",
        description=f"{column} is one of {listed}",
        columns=(column,),
        severity=severity,
        complaint=f"{{has}} an unknown {column} (known: {listed})",
        remedy=f"map the source's {column} to one of: {listed}",
        bad=~pl.col(column).is_in(list(values)),
        expectation=Expectation("ExpectColumnValuesToBeInSet", {"column": column, "value_set": list(values)}),
        breaks=({column: "something else" if isinstance(values[0], str) else max(int(v) for v in values) + 1},),
        keeps=tuple({column: value} for value in values),
    )


def above(
    column: str, least: float, unit: str, severity: Severity = "quarantine", limit: float = 1.0, keeps: Example = ()
) -> Rule:
    """Rows whose number is not strictly greater than ``least``."""
    return Rule(
        rule_id=f"{column}_above_{least:g}",
        description=f"{column} is greater than {least:g} {unit}".rstrip(),
        columns=(column,),
        severity=severity,
        complaint=f"{{has}} a {column} of {least:g} {unit} or less".replace("  ", " "),
        remedy=f"correct {column} in the source; a value that is not known is left empty, never 0",
        bad=pl.col(column) <= least,
        expectation=at_least(column, least, strictly=True),
        limit=limit,
        breaks=({column: least},),
        keeps=keeps,
    )


def between(column: str, least: float, most: float, severity: Severity = "quarantine") -> Rule:
    """Rows whose number lies outside [least, most]."""
    return Rule(
        rule_id=f"{column}_in_range",
        description=f"{column} lies between {least:g} and {most:g}",
        columns=(column,),
        severity=severity,
        complaint=f"{{has}} a {column} outside {least:g} to {most:g}",
        remedy=f"correct {column} in the source, in the unit the contract names",
        bad=~pl.col(column).is_between(least, most),
        expectation=Expectation("ExpectColumnValuesToBeBetween", {"column": column, "min_value": least, "max_value": most}),
        releasable=True,
        breaks=({column: most + (0.01 if isinstance(most, float) else 1)},),
        keeps=({column: least}, {column: most}),
    )


def isin_check_digit() -> Rule:
    """Rows whose asset is not a well-formed ISIN."""
    return Rule(
        rule_id="isin_check_digit",
        description="asset_id is an ISIN with the right check digit (ISO 6166)",
        columns=(c.ASSET_ID,),
        severity="quarantine",
        complaint="{has} no valid ISIN (ISO 6166 form and check digit)",
        remedy="give the asset its ISIN; an identifier that no exchange knows cannot be ordered",
        bad=~valid_isin(c.ASSET_ID),
        expectation=flag("isin_check_digit"),
        releasable=True,
        source="ISO 6166:2021",
        breaks=({c.ASSET_ID: "US0378331006"},),
        keeps=({c.ASSET_ID: "US0378331005"},),
    )


def isin_country() -> Rule:
    """Rows whose ISIN begins with no country: a check digit that happens to fit makes no security."""
    return Rule(
        rule_id="isin_country",
        description="the ISIN begins with a country of ISO 3166-1 or a prefix of the numbering agencies (XS, EU, ...)",
        columns=(c.ASSET_ID,),
        severity="quarantine",
        complaint="{has} an ISIN of no known country or numbering agency",
        remedy="look the ISIN up; no exchange knows an instrument of another prefix",
        bad=~pl.col(c.ASSET_ID).str.slice(0, 2).is_in(COUNTRIES),
        expectation=flag("isin_country"),
        releasable=True,
        source="ISO 6166:2021, ISO 3166-1 alpha-2",
        breaks=({c.ASSET_ID: "ZZ0378331001"},),
        keeps=({c.ASSET_ID: "XS0000000009"},),
    )


def not_after_as_of(column: str) -> Rule:
    """Rows dated after the night: with them in, the past would know its future. Stops the night."""
    return Rule(
        rule_id="date_not_after_as_of",
        description=f"{column} is not after as_of",
        columns=(column,),
        severity="block",
        complaint="{is} dated after as_of {as_of}",
        remedy="run with a later --as-of, deliver a source cut at as_of, or replay with future_rows = 'withhold'",
        bad=pl.col(column) > pl.col(AS_OF),
        expectation=Expectation(
            "ExpectColumnPairValuesAToBeGreaterThanB",
            {
                "column_A": AS_OF,
                "column_B": column,
                "or_equal": True,
                "ignore_row_if": "either_value_is_missing",
            },
        ),
        limit=0.0,
        breaks=({column: Before(-1)},),
        keeps=({column: Before(0)},),
    )


def not_before_1990(column: str) -> Rule:
    """Rows dated before electronic records: a placeholder or a misread year."""
    return Rule(
        rule_id=f"{column}_not_before_1990",
        description=f"{column} is not before {EARLIEST}",
        columns=(column,),
        severity="quarantine",
        complaint=f"{{is}} dated before {EARLIEST}",
        remedy="correct the year; leave an unknown date empty where the column allows it",
        bad=pl.col(column) < EARLIEST,
        expectation=at_least(column, EARLIEST),
        breaks=({column: date(1989, 12, 31)},),
        keeps=({column: EARLIEST},),
    )
