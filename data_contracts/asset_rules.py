"""Rules that trades and positions share about their asset: it is described, and it has a close."""

from __future__ import annotations

import polars as pl

from data_contracts import columns as c
from data_contracts.asset_searches import without_close
from data_contracts.contract import Example, Rule
from data_contracts.rules import flag

# Of the trades, or the positions. Where most are of assets without a close, the closes are not those of this catalogue.
_LIMIT = 0.5


def asset_has_close(among: pl.Expr | None = None, keeps: Example = ({},)) -> Rule:
    """Rows (of those that are ``among``) whose asset has no close at all."""
    return Rule(
        rule_id="asset_has_close",
        description="the asset has a close on some day",
        columns=(c.ASSET_ID,),
        severity="warn",
        complaint="{is} of an asset that has not a single close",
        remedy="deliver closes of the asset; without one it can be neither valued nor recommended",
        search=without_close(among),
        expectation=flag("asset_has_close"),
        among=among,
        limit=_LIMIT,
        breaks=({c.ASSET_ID: "GB0002634946"},),
        keeps=keeps,
    )
