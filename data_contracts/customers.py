"""customers: who may be recommended to. One row per customer and day on which his record changed."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import AS_OF, Before, Column, Contract, Expectation, Rule
from data_contracts.repairs import blanks_stripped, code_spelt, day_padded
from data_contracts.rules import flag, not_after_as_of, not_before_1990, not_null, one_of, type_rule
from data_contracts.searches import conflicting_key, exact_repeats, unknown_band, wholly_null

COLUMNS = (
    Column(c.CUSTOMER_ID, pl.String(), "the firm's identifier of the customer", examples=("ann", "bob", "cid")),
    Column(c.CUSTOMER_TYPE, pl.String(), "kind of customer, e.g. mass, premium, legal_entity", examples=("mass", "premium")),
    Column(
        c.RISK_LEVEL, pl.String(), "declared or predicted risk tolerance", nullable=True, examples=("income", "aggressive", None)
    ),
    Column(c.RISK_PREDICTED, pl.Boolean(), "the risk level is a guess of the source", required=False, examples=(False, True)),
    Column(
        c.INVESTMENT_CAPACITY,
        pl.String(),
        "band of investable money",
        nullable=True,
        required=False,
        examples=(None, "cap_lt_30k"),
    ),
    Column(c.CAPACITY_PREDICTED, pl.Boolean(), "the capacity is a guess of the source", required=False, examples=(False, True)),
    Column(c.LAST_QUESTIONNAIRE_DATE, pl.Date(), "day of the last questionnaire", "day", True, False, (None, Before(800))),
    Column(c.VALID_FROM, pl.Date(), "first day on which this row holds", "day", examples=(Before(700),)),
)
_KEY = (c.CUSTOMER_ID, c.VALID_FROM)
_VALUES = tuple(column.name for column in COLUMNS if column.name not in _KEY)

CONTRACT = Contract(
    table="customers",
    version="4",
    description="Customers with their declared risk profile, dated",
    key=_KEY,
    columns=COLUMNS,
    date_column=c.VALID_FROM,
    categories=(c.CUSTOMER_TYPE, c.RISK_LEVEL, c.INVESTMENT_CAPACITY),
    repairs=(
        blanks_stripped(c.CUSTOMER_ID, "ann"),
        blanks_stripped(c.CUSTOMER_TYPE, "mass"),
        code_spelt(c.RISK_LEVEL, c.RISK_LEVELS),
        blanks_stripped(c.INVESTMENT_CAPACITY, "cap_lt_30k"),
        day_padded(c.LAST_QUESTIONNAIRE_DATE),
        day_padded(c.VALID_FROM),
    ),
    rules=(
        type_rule(),
        not_null(c.CUSTOMER_ID),
        not_null(c.CUSTOMER_TYPE),
        not_null(c.VALID_FROM),
        one_of(c.RISK_LEVEL, c.RISK_LEVELS),
        Rule(
            rule_id="risk_level_not_lost",
            description="some customer has a risk level",
            columns=(c.RISK_LEVEL,),
            severity="warn",
            complaint="{has} no risk level, and no other row of the table has one",
            remedy="see whether the export lost the column: without it no customer is known to bear any risk",
            search=wholly_null(c.RISK_LEVEL),
            expectation=flag("risk_level_not_lost"),
            breaks=({c.RISK_LEVEL: None}, {c.CUSTOMER_ID: "bob", c.RISK_LEVEL: None}),
            keeps=({c.RISK_LEVEL: None}, {c.CUSTOMER_ID: "bob"}),
        ),
        Rule(
            # The bands are the firm's: those that its suitability rules give an upper end, by default of CAPACITIES.
            rule_id="investment_capacity_known",
            description="investment_capacity is a band that the suitability rules know, or not_available",
            columns=(c.INVESTMENT_CAPACITY,),
            severity="warn",
            complaint="{has} an investment capacity that no suitability rule knows; it counts as the lowest band",
            remedy="map the source's bands to those of the suitability rules, or give the rules the new band (recommend.rules)",
            search=unknown_band(),
            expectation=flag("investment_capacity_known"),
            limit=0.5,
            breaks=({c.INVESTMENT_CAPACITY: "30k to 80k"},),
            keeps=tuple({c.INVESTMENT_CAPACITY: band} for band in (*c.CAPACITIES, None)),
        ),
        not_after_as_of(c.VALID_FROM),
        not_before_1990(c.VALID_FROM),
        # The rest of the row is sound: a placeholder for a day that is not known costs no customer.
        replace(
            not_before_1990(c.LAST_QUESTIONNAIRE_DATE),
            severity="warn",
            complaint="{has} a questionnaire dated before 1990",
            remedy="leave a day that is not known empty; an early one reads as a profile that was asked for long ago",
        ),
        Rule(
            rule_id="questionnaire_not_after_as_of",
            description="last_questionnaire_date is not after as_of",
            columns=(c.LAST_QUESTIONNAIRE_DATE,),
            severity="block",
            complaint="{has} a questionnaire answered after as_of {as_of}",
            remedy="deliver a source cut at as_of, or replay with future_rows = 'withhold', which empties such dates",
            bad=pl.col(c.LAST_QUESTIONNAIRE_DATE) > pl.col(AS_OF),
            breaks=({c.LAST_QUESTIONNAIRE_DATE: Before(-1)},),
            keeps=({c.LAST_QUESTIONNAIRE_DATE: Before(0), c.VALID_FROM: Before(0)},),
            expectation=Expectation(
                "ExpectColumnPairValuesAToBeGreaterThanB",
                {
                    "column_A": AS_OF,
                    "column_B": c.LAST_QUESTIONNAIRE_DATE,
                    "or_equal": True,
                    "ignore_row_if": "either_value_is_missing",
                },
            ),
            limit=0.0,
        ),
        Rule(
            rule_id="questionnaire_not_after_row",
            description="last_questionnaire_date is not after the row's own valid_from",
            columns=(c.LAST_QUESTIONNAIRE_DATE, c.VALID_FROM),
            severity="warn",
            complaint="{has} a questionnaire answered after the row's own valid_from",
            remedy="export a new dated row when a questionnaire is answered, instead of rewriting an older row",
            bad=pl.col(c.LAST_QUESTIONNAIRE_DATE) > pl.col(c.VALID_FROM),
            breaks=({c.LAST_QUESTIONNAIRE_DATE: Before(699)},),
            keeps=({c.LAST_QUESTIONNAIRE_DATE: Before(700)},),
            source="FAR-Trans keeps one date per customer, which looks ahead in more than a quarter of its rows",
            expectation=Expectation(
                "ExpectColumnPairValuesAToBeGreaterThanB",
                {
                    "column_A": c.VALID_FROM,
                    "column_B": c.LAST_QUESTIONNAIRE_DATE,
                    "or_equal": True,
                    "ignore_row_if": "either_value_is_missing",
                },
            ),
        ),
        Rule(
            rule_id="exact_repeat",
            description="no row repeats an earlier one",
            columns=_KEY,
            severity="quarantine",
            complaint="{is} equal to an earlier row",
            remedy="export each dated row of a customer once",
            search=exact_repeats((*_KEY, *_VALUES)),
            expectation=flag("exact_repeat"),
            breaks=({}, {}),
            keeps=({}, {c.VALID_FROM: Before(30)}),
        ),
        Rule(
            rule_id="key_conflict",
            description="one statement per customer and day; of several, the last in the file counts as the correction",
            columns=_KEY,
            severity="quarantine",
            complaint="{is} contradicted by a later row for the same customer and day",
            remedy="export one row per customer and valid_from",
            search=conflicting_key(_KEY, _VALUES, keep="last"),
            expectation=flag("key_conflict"),
            breaks=({}, {c.RISK_LEVEL: "balanced"}),
            keeps=({}, {c.VALID_FROM: Before(30), c.RISK_LEVEL: "balanced"}),
        ),
    ),
)
