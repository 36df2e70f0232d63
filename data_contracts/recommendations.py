"""recommendations: what is published. The output is held to its contract as every input is, by the same engine.

Every rule blocks: a row of our own that breaks its contract is a fault of ours, and setting it aside would hide it. Whether
a row suits its customer is not said here but by the suitability rules, which are asked of the same file besides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from data_contracts import columns as c
from data_contracts.check_context import CheckContext
from data_contracts.contract import AS_OF, ROW, Before, Column, Contract, Example, Rule, Search
from data_contracts.rules import flag, not_null, one_of
from data_contracts.searches import exact_repeats, unknown_reference

# What an explanation may rest on; a measured one says besides whether it was shown to be better than chance.
EXPLANATIONS: Final = (
    "^(none|popularity|profile"
    "|(attention|contribution|partial contribution|leave_one_out), (better|NOT better) than random erasure)$"
)
# How the sentence on eligibility begins, by the profile that the row was held against.
_DECLARED: Final = "Risk profile {} (declared) allows up to risk class "
_PREDICTED: Final = "Risk profile {} (predicted, not declared) allows up to risk class "
_UNLIMITED: Final = "No rule limits the risk class for profile {}; "
_NOT_AVAILABLE: Final = "Risk profile not available: "
_REMEDY: Final = "this is a fault of Nightfolio: do not use the file, keep the run and report it"

COLUMNS = (
    Column(c.RUN_ID, pl.String(), "the run that made it", examples=("2021-06-30-01",)),
    Column(c.AS_OF_NIGHT, pl.Date(), "the day as of which everything was known", "day", examples=(Before(0),)),
    Column(c.CUSTOMER_ID, pl.String(), "to whom", examples=("ann", "bob")),
    Column(c.RANK, pl.Int32(), "place on the customer's list, 1 the first", examples=(1,)),
    Column(c.ASSET_ID, pl.String(), "ISIN", examples=("US0378331005", "GB0002634946")),
    Column(c.ASSET_NAME, pl.String(), "full name", examples=("Apple Inc",)),
    Column(c.ASSET_CLASS, pl.String(), "stock, bond or fund", examples=("stock",)),
    Column(c.SECTOR, pl.String(), "economic sector", nullable=True, examples=(None, "Technology")),
    Column(c.SCORE, pl.Float32(), "the model's score, higher is better; comparable within one list", examples=(1.5,)),
    Column(
        c.LISTED_FOR,
        pl.String(),
        "preference, or profit: in place of what the customer would rather buy",
        examples=("preference",),
    ),
    Column(c.PROFIT_VIEW, pl.Float64(), "expected return a month against the average asset", "fraction", examples=(0.0, -0.01)),
    Column(c.MODEL_ID, pl.String(), "the model that ranked it", examples=("attention_cf",)),
    Column(c.RISK_LEVEL, pl.String(), "the customer's risk profile", examples=("balanced",)),
    Column(c.RISK_PREDICTED, pl.Boolean(), "the profile is a guess of the source", examples=(False,)),
    Column(c.ASSET_RISK, pl.Int8(), "the asset's risk class, 1 conservative to 4 aggressive", examples=(2,)),
    Column(
        c.RISK_SOURCE, pl.String(), "who says so: the source, the firm's policy, the asset's volatility", examples=("declared",)
    ),
    Column(
        c.REASON, pl.String(), "why it is recommended, in sentences", examples=("Customers with similar purchases bought it.",)
    ),
    Column(c.REASON_ASSETS, pl.List(pl.String()), "holdings that the reason names", nullable=True, examples=(["GB0002634946"],)),
    Column(c.REASON_WEIGHTS, pl.List(pl.Float64()), "weight of each", "share, 0 to 1", nullable=True, examples=([0.75],)),
    Column(c.REASON_FEATURES, pl.List(pl.String()), "features that the reason names", nullable=True, examples=(None,)),
    Column(c.REASON_FEATURE_WEIGHTS, pl.List(pl.Float64()), "weight of each", "share, 0 to 1", nullable=True, examples=(None,)),
    Column(
        c.EXPLANATION,
        pl.String(),
        "what the reason rests on, and whether that was shown to be better than chance",
        examples=("attention, better than random erasure",),
    ),
    Column(
        c.ELIGIBILITY,
        pl.String(),
        "why it may be offered, and what its flags mean",
        examples=("Risk profile balanced (declared) allows up to risk class 3; the asset is class 2 as its source declares.",),
    ),
    Column(c.FLAGS, pl.List(pl.String()), "suitability rules that flag the row", examples=([], ["watched"])),
)


def _blocking(rule: Rule) -> Rule:
    return replace(rule, severity="block", limit=0.0, releasable=False, remedy=_REMEDY)


def _rule(
    rule_id: str,
    description: str,
    columns: tuple[str, ...],
    complaint: str,
    breaks: Example,
    keeps: Example,
    *,
    bad: pl.Expr | None = None,
    search: Search | None = None,
) -> Rule:
    return Rule(
        rule_id=rule_id,
        description=description,
        columns=columns,
        severity="block",
        complaint=complaint,
        remedy=_REMEDY,
        bad=bad,
        search=search,
        expectation=flag(rule_id),
        breaks=breaks,
        keeps=keeps,
    )


def _said(column: str) -> Rule:
    """Rows in which a sentence is there but says nothing."""
    return _rule(
        f"{column}_said",
        f"{column} is not blank",
        (column,),
        f"{{has}} a blank {column}",
        ({column: " "},),
        ({},),
        bad=pl.col(column).str.strip_chars() == "",
    )


def _weighed(named: str, weights: str, what: str) -> Rule:
    """Rows whose reason names other things than it weighs, or weighs one outside (0, 1]."""
    outside = (pl.col(weights).list.min() <= 0) | (pl.col(weights).list.max() > 1)
    uneven = pl.col(named).list.len().ne_missing(pl.col(weights).list.len())
    return _rule(
        f"{named}_weighed",
        f"every {what} that the reason names has a weight above 0 and at most 1",
        (named, weights),
        f"{{has}} {what}s and weights in its reason that do not fit",
        ({named: ["one", "two"], weights: [0.5]}, {named: ["one"], weights: [0.0]}),
        ({named: ["one", "two"], weights: [0.6, 0.4]}, {named: None, weights: None}),
        bad=uneven | outside,
    )


def _eligible_for_its_profile() -> pl.Expr:
    """Rows whose eligibility is told for another profile than theirs, or in no known words."""

    def opening(words: str) -> pl.Expr:
        return pl.col(c.ELIGIBILITY).str.starts_with(pl.format(words, c.RISK_LEVEL))

    predicted = pl.col(c.RISK_PREDICTED)
    stated = (opening(_PREDICTED) & predicted) | (opening(_DECLARED) & ~predicted) | opening(_UNLIMITED)
    nameless = pl.col(c.ELIGIBILITY).str.starts_with(_NOT_AVAILABLE)
    return ~pl.when(pl.col(c.RISK_LEVEL) == "not_available").then(nameless).otherwise(stated)


def _ranks_with_gaps() -> Search:
    """Rows whose rank is not their place among the customer's rows."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        ordered = rows.select(ROW, c.CUSTOMER_ID, c.RANK).sort(c.CUSTOMER_ID, c.RANK, ROW, nulls_last=True)
        place = pl.int_range(1, pl.len() + 1).over(c.CUSTOMER_ID)
        return ordered.filter(pl.col(c.RANK).ne_missing(place)).select(ROW).collect()[ROW]

    return search


def _scores_that_rise() -> Search:
    """Rows whose score is higher than that of the row ranked before them."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        ordered = rows.select(ROW, c.CUSTOMER_ID, c.RANK, c.SCORE).sort(c.CUSTOMER_ID, c.RANK, ROW, nulls_last=True)
        before = pl.col(c.SCORE).shift(1).over(c.CUSTOMER_ID)
        return ordered.filter(pl.col(c.SCORE) > before).select(ROW).collect()[ROW]

    return search


def _of_another_run() -> Search:
    """Rows that name another run than the one that makes the table; not asked outside of a run."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series | None:
        if not context.run_id:
            return None
        return rows.filter(pl.col(c.RUN_ID) != context.run_id).select(ROW).collect(engine="streaming")[ROW]

    return search


CONTRACT = Contract(
    table="recommendations",
    version="1",
    description="What is published: per customer a ranked list, each row with its reason and why it may be offered",
    key=(c.CUSTOMER_ID, c.ASSET_ID),
    columns=COLUMNS,
    # A night that offers nobody anything is the gate's business: its check "Customers served" blocks it.
    rows_required=False,
    made=True,
    rules=(
        *(_blocking(not_null(column.name)) for column in COLUMNS if not column.nullable),
        *(_said(name) for name in (c.ASSET_NAME, c.MODEL_ID, c.REASON)),
        _blocking(one_of(c.ASSET_CLASS, c.ASSET_CLASSES)),
        _blocking(one_of(c.RISK_LEVEL, c.RISK_LEVELS)),
        _blocking(one_of(c.ASSET_RISK, (1, 2, 3, 4))),
        _blocking(one_of(c.RISK_SOURCE, c.RISK_SOURCES)),
        _blocking(one_of(c.LISTED_FOR, c.LISTED_FOR_WORDS)),
        _rule(
            "as_of_of_the_night",
            "as_of is the night's, neither later nor earlier",
            (c.AS_OF_NIGHT,),
            "{is} of another day than {as_of}",
            ({c.AS_OF_NIGHT: Before(-1)}, {c.AS_OF_NIGHT: Before(1)}),
            ({},),
            bad=pl.col(c.AS_OF_NIGHT) != pl.col(AS_OF),
        ),
        _rule(
            "run_id_of_the_run",
            "run_id is that of the run that made it",
            (c.RUN_ID,),
            "{is} of another run",
            ({c.RUN_ID: "2021-06-30-02"},),
            ({},),
            search=_of_another_run(),
        ),
        _rule(
            "ranks_without_gap",
            "a customer's ranks are 1, 2, 3, ... each once",
            (c.RANK,),
            "{has} a rank that is not the row's place on the customer's list",
            ({}, {c.RANK: 3, c.ASSET_ID: "GB0002634946", c.SCORE: 1.0}),
            ({c.RANK: 2, c.ASSET_ID: "GB0002634946", c.SCORE: 1.0}, {}, {c.CUSTOMER_ID: "bob"}),
            search=_ranks_with_gaps(),
        ),
        _rule(
            "score_finite",
            "score is a finite number",
            (c.SCORE,),
            "{has} a score that is not a finite number",
            ({c.SCORE: float("nan")}, {c.SCORE: float("inf")}),
            ({c.SCORE: -3e38},),
            bad=~pl.col(c.SCORE).is_finite(),
        ),
        _rule(
            "score_follows_rank",
            "of a customer's rows none has a higher score than the one ranked before it",
            (c.RANK, c.SCORE),
            "{has} a higher score than the row ranked before",
            ({}, {c.RANK: 2, c.SCORE: 1.75}),
            ({}, {c.RANK: 2, c.SCORE: 1.5}, {c.CUSTOMER_ID: "bob", c.SCORE: 9.0}),
            search=_scores_that_rise(),
        ),
        _rule(
            "profit_view_finite",
            "profit_view is a finite number",
            (c.PROFIT_VIEW,),
            "{has} a profit_view that is not a finite number",
            ({c.PROFIT_VIEW: float("nan")},),
            ({c.PROFIT_VIEW: -0.5},),
            bad=~pl.col(c.PROFIT_VIEW).is_finite(),
        ),
        _rule(
            "asset_once",
            "no customer has an asset on the list twice",
            (c.ASSET_ID,),
            "{is} of an asset that is on the customer's list already",
            ({}, {c.RANK: 2}),
            ({}, {c.RANK: 2, c.ASSET_ID: "GB0002634946"}, {c.CUSTOMER_ID: "bob"}),
            search=exact_repeats((c.CUSTOMER_ID, c.ASSET_ID)),
        ),
        _rule(
            "asset_known",
            "asset_id occurs among the accepted assets",
            (c.ASSET_ID,),
            "{is} of an asset that is not among the accepted assets",
            ({c.ASSET_ID: "IE00B66F4759"},),
            ({},),
            search=unknown_reference(c.ASSET_ID, "assets"),
        ),
        _rule(
            "customer_known",
            "customer_id occurs among the accepted customers",
            (c.CUSTOMER_ID,),
            "{is} of a customer who is not among the accepted customers",
            ({c.CUSTOMER_ID: "nobody"},),
            ({},),
            search=unknown_reference(c.CUSTOMER_ID, "customers"),
        ),
        _weighed(c.REASON_ASSETS, c.REASON_WEIGHTS, "holding"),
        _weighed(c.REASON_FEATURES, c.REASON_FEATURE_WEIGHTS, "feature"),
        _rule(
            "explanation_known",
            "explanation is a known method with its verdict, or none, popularity or profile",
            (c.EXPLANATION,),
            "{has} an explanation in unknown words",
            ({c.EXPLANATION: "attention"}, {c.EXPLANATION: "intuition, better than random erasure"}),
            ({c.EXPLANATION: "leave_one_out, NOT better than random erasure"}, {c.EXPLANATION: "popularity"}),
            bad=~pl.col(c.EXPLANATION).str.contains(EXPLANATIONS),
        ),
        _rule(
            "eligibility_of_the_profile",
            "eligibility says in known words what the row's own risk profile allows",
            (c.RISK_LEVEL, c.RISK_PREDICTED),
            "{is} said to be eligible in unknown words, or for another profile",
            ({c.RISK_LEVEL: "income"}, {c.RISK_PREDICTED: True}, {c.ELIGIBILITY: "Fine."}),
            (
                {},
                {
                    c.RISK_LEVEL: "income",
                    c.ELIGIBILITY: "No rule limits the risk class for profile income; the asset is class 4.",
                },
            ),
            bad=_eligible_for_its_profile(),
        ),
    ),
)
