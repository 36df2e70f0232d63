"""delivered_holdings: positions as the source itself states them on a day. Optional in a source."""

from __future__ import annotations

import polars as pl

from data_contracts import columns as c
from data_contracts.asset_rules import asset_has_close
from data_contracts.contract import Before, Column, Contract, Rule
from data_contracts.repairs import RESIDUE, blanks_stripped, day_padded, isin_capitals, residue_cleared
from data_contracts.rules import at_least, flag, not_after_as_of, not_before_1990, not_null, type_rule
from data_contracts.searches import conflicting_key, exact_repeats, unknown_reference

COLUMNS = (
    Column(c.AS_OF_DATE, pl.Date(), "day of the statement, after that day's trades", "day", examples=(Before(1),)),
    Column(c.CUSTOMER_ID, pl.String(), "whose position", examples=("ann", "bob")),
    Column(c.ASSET_ID, pl.String(), "ISIN", examples=("US0378331005", "GB0002634946")),
    Column(c.UNITS, pl.Float64(), "position; 0 says that it is closed", "shares", examples=(1.0,)),
)
_KEY = (c.AS_OF_DATE, c.CUSTOMER_ID, c.ASSET_ID)

CONTRACT = Contract(
    table="delivered_holdings",
    version="3",
    description="Positions delivered by the source",
    key=_KEY,
    columns=COLUMNS,
    date_column=c.AS_OF_DATE,
    rows_required=False,
    repairs=(blanks_stripped(c.CUSTOMER_ID, "ann"), isin_capitals(), residue_cleared(c.UNITS), day_padded(c.AS_OF_DATE)),
    rules=(
        type_rule(),
        not_null(c.AS_OF_DATE),
        not_null(c.CUSTOMER_ID),
        not_null(c.ASSET_ID),
        not_null(c.UNITS),
        not_after_as_of(c.AS_OF_DATE),
        not_before_1990(c.AS_OF_DATE),
        Rule(
            rule_id="holding_not_negative",
            description="a position is not negative",
            columns=(c.UNITS,),
            severity="warn",
            complaint="{has} a negative position",
            remedy="look for purchases that the source does not contain",
            bad=pl.col(c.UNITS) < -RESIDUE,
            expectation=at_least(c.UNITS, -RESIDUE),
            limit=0.05,
            breaks=({c.UNITS: -0.001},),
            keeps=({c.UNITS: 0.0},),
        ),
        Rule(
            rule_id="asset_known",
            description="asset_id occurs among the accepted assets",
            columns=(c.ASSET_ID,),
            severity="quarantine",
            complaint="{is} of an asset that is not among the accepted assets",
            remedy="deliver the asset's row, or see why the assets checkpoint quarantined it",
            search=unknown_reference(c.ASSET_ID, "assets"),
            expectation=flag("asset_known"),
            breaks=({c.ASSET_ID: "IE00B66F4759"},),
            keeps=({},),
        ),
        asset_has_close(among=pl.col(c.UNITS) > RESIDUE, keeps=({}, {c.ASSET_ID: "GB0002634946", c.UNITS: 0.0})),
        Rule(
            rule_id="customer_known",
            description="customer_id occurs among the accepted customers",
            columns=(c.CUSTOMER_ID,),
            severity="warn",
            complaint="{is} of a customer without a row at as_of",
            remedy="deliver the customer's row; until then he is not recommended to",
            search=unknown_reference(c.CUSTOMER_ID, "customers"),
            expectation=flag("customer_known"),
            breaks=({c.CUSTOMER_ID: "nobody"},),
            keeps=({},),
            limit=0.10,
        ),
        Rule(
            rule_id="exact_repeat",
            description="no row repeats an earlier one",
            columns=_KEY,
            severity="quarantine",
            complaint="{is} equal to an earlier row",
            remedy="export each position once",
            search=exact_repeats((*_KEY, c.UNITS)),
            expectation=flag("exact_repeat"),
            breaks=({}, {}),
            keeps=({}, {c.AS_OF_DATE: Before(2)}),
        ),
        Rule(
            rule_id="key_conflict",
            description="one position per day, customer and asset; of two that differ neither is believed",
            columns=(*_KEY, c.UNITS),
            severity="quarantine",
            complaint="{is} contradicted by another position of the same day, customer and asset",
            remedy="add up the accounts of a customer before the export",
            search=conflicting_key(_KEY, (c.UNITS,), keep="none"),
            expectation=flag("key_conflict"),
            breaks=({}, {c.UNITS: 2.0}),
            keeps=({}, {c.AS_OF_DATE: Before(2), c.UNITS: 2.0}),
        ),
    ),
)
