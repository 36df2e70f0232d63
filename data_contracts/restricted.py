"""restricted: assets that must not be recommended (or are watched), with the days on which that holds.

No rule here sets a row aside: a restriction that went to quarantine would be a restriction not applied. What is said twice
applies as far as either row says.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import Before, Column, Contract, Rule
from data_contracts.repairs import blanks_stripped, code_spelt, day_padded, isin_capitals
from data_contracts.rules import flag, isin_check_digit, not_after_as_of, not_null, one_of, type_rule
from data_contracts.searches import conflicting_key, exact_repeats, unknown_reference

COLUMNS = (
    Column(c.ASSET_ID, pl.String(), "ISIN", examples=("US0378331005",)),
    Column(c.LIST_KIND, pl.String(), "restricted: never recommend; watch: note only", examples=("restricted", "watch")),
    Column(c.VALID_FROM, pl.Date(), "first day of the restriction", "day", examples=(Before(30),)),
    Column(c.VALID_TO, pl.Date(), "last day of the restriction, null = open", "day", True, examples=(None, Before(-30))),
    Column(c.REASON, pl.String(), "why", nullable=True, required=False, examples=(None, "takeover")),
)


_KEY = (c.ASSET_ID, c.LIST_KIND, c.VALID_FROM)


def _blocking(rule: Rule) -> Rule:
    return replace(rule, severity="block", limit=0.0, releasable=False)


CONTRACT = Contract(
    table="restricted",
    version="5",
    description="Restricted and watch lists, dated",
    key=_KEY,
    columns=COLUMNS,
    date_column=c.VALID_FROM,
    rows_required=False,
    without="no asset is restricted or watched this night",
    repairs=(
        isin_capitals(),
        code_spelt(c.LIST_KIND, c.LIST_KINDS),
        blanks_stripped(c.REASON, "takeover"),
        day_padded(c.VALID_FROM),
        day_padded(c.VALID_TO),
    ),
    rules=(
        *(
            _blocking(rule)
            for rule in (
                type_rule(),
                not_null(c.ASSET_ID),
                not_null(c.LIST_KIND),
                not_null(c.VALID_FROM),
                isin_check_digit(),
                one_of(c.LIST_KIND, c.LIST_KINDS),
            )
        ),
        not_after_as_of(c.VALID_FROM),
        Rule(
            rule_id="valid_to_not_before_valid_from",
            description="valid_to is not before valid_from",
            columns=(c.VALID_FROM, c.VALID_TO),
            severity="block",
            complaint="{is} of a restriction that ends before it begins",
            remedy="correct valid_from or valid_to in the restricted list",
            bad=pl.col(c.VALID_TO) < pl.col(c.VALID_FROM),
            expectation=flag("valid_to_not_before_valid_from"),
            breaks=({c.VALID_TO: Before(31)},),
            keeps=({c.VALID_TO: Before(30)},),
            limit=0.0,
        ),
        Rule(
            # An asset that is not in the catalogue cannot be recommended anyway.
            rule_id="asset_known",
            description="asset_id occurs among the accepted assets",
            columns=(c.ASSET_ID,),
            severity="warn",
            complaint="{is} of an asset that is not among the accepted assets",
            remedy="check the ISIN: a restriction on a misspelt asset protects nobody",
            search=unknown_reference(c.ASSET_ID, "assets"),
            expectation=flag("asset_known"),
            breaks=({c.ASSET_ID: "IE00B66F4759"},),
            keeps=({},),
        ),
        Rule(
            rule_id="exact_repeat",
            description="no row repeats an earlier one",
            columns=_KEY,
            severity="warn",
            complaint="{is} equal to an earlier row",
            remedy="export each restriction once",
            search=exact_repeats((*_KEY, c.VALID_TO)),
            expectation=flag("exact_repeat"),
            breaks=({}, {}),
            keeps=({}, {c.VALID_FROM: Before(31)}),
        ),
        Rule(
            rule_id="key_conflict",
            description="one last day per asset, kind and first day; of two that differ both apply",
            columns=(*_KEY, c.VALID_TO),
            severity="warn",
            complaint="{is} contradicted by another last day of the same restriction",
            remedy="leave the row that holds; until then the asset is restricted as long as either says",
            search=conflicting_key(_KEY, (c.VALID_TO,), keep="none"),
            expectation=flag("key_conflict"),
            breaks=({}, {c.VALID_TO: Before(-60)}),
            keeps=({}, {}, {c.VALID_FROM: Before(31), c.VALID_TO: Before(-60)}),
        ),
    ),
)
