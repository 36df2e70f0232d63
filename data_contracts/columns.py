"""Every column name of the canonical tables, once, with its unit.

Money is in EUR, rates are fractions per year, dates are calendar days without a time zone.
"""

from __future__ import annotations

from typing import Final

# Identity of the things the tables speak about.
CUSTOMER_ID: Final = "customer_id"  # the firm's own identifier, text
ASSET_ID: Final = "asset_id"  # ISIN (ISO 6166), text of 12 characters
TRANSACTION_ID: Final = "transaction_id"  # the source's own number, text; not unique on its own
MARKET_ID: Final = "market_id"  # market identifier code where the source has one, text

# customers: one row per customer and day on which his record changed.
CUSTOMER_TYPE: Final = "customer_type"  # lower-case word, e.g. mass, premium, legal_entity
RISK_LEVEL: Final = "risk_level"  # one of RISK_LEVELS, or null
RISK_PREDICTED: Final = "risk_predicted"  # true: guessed by the source's algorithm, not declared
INVESTMENT_CAPACITY: Final = "investment_capacity"  # band of investable money, lower-case word, or null
CAPACITY_PREDICTED: Final = "capacity_predicted"  # true: guessed by the source's algorithm
LAST_QUESTIONNAIRE_DATE: Final = "last_questionnaire_date"  # day, or null
VALID_FROM: Final = "valid_from"  # first day on which the row holds
VALID_TO: Final = "valid_to"  # last day on which the row holds, null = open

# assets: one row per asset and day on which its record changed.
ASSET_NAME: Final = "asset_name"
ASSET_SHORT_NAME: Final = "asset_short_name"
ASSET_CLASS: Final = "asset_class"  # one of ASSET_CLASSES
ASSET_SUBCLASS: Final = "asset_subclass"
SECTOR: Final = "sector"
ISSUER: Final = "issuer"  # who stands behind the paper, one spelling each; null where the source does not say
INDUSTRY: Final = "industry"
DIVIDEND_YIELD: Final = "dividend_yield"  # fraction per year, 0.031 = 3.1 %
RISK_CLASS: Final = "risk_class"  # 1 (conservative) to 4 (aggressive), null where none is declared

# prices and transactions.
DATE: Final = "date"  # day of the close or of the trade
CLOSE: Final = "close"  # EUR per unit
SIDE: Final = "side"  # buy or sell
VALUE: Final = "value"  # EUR
PRICE: Final = "price"  # EUR per unit, as executed
UNITS: Final = "units"  # number of shares, fractions allowed
CHANNEL: Final = "channel"  # how the order came in, lower-case words
RECORD_KIND: Final = "record_kind"  # one of RECORD_KINDS
DATE_WINDOW_DAYS: Final = "date_window_days"  # days between the first and last possible day of the trade

# holdings, delivered or derived.
AS_OF_DATE: Final = "as_of_date"
STATUS: Final = "status"  # held or closed
N_BUYS: Final = "n_buys"
N_SELLS: Final = "n_sells"
FIRST_DATE: Final = "first_date"
LAST_DATE: Final = "last_date"
LAST_VALUE: Final = "last_value"  # EUR: units x last close
SOURCE: Final = "source"  # derived or delivered

# restricted list.
LIST_KIND: Final = "list_kind"  # restricted (never recommend) or watch
REASON: Final = "reason"

# markets.
NAME: Final = "name"
COUNTRY: Final = "country"
TRADING_DAYS: Final = "trading_days"

# recommendations: what is published.
RUN_ID: Final = "run_id"  # AS_OF-NN
AS_OF_NIGHT: Final = "as_of"  # day
RANK: Final = "rank"  # 1 is the first
SCORE: Final = "score"  # the model's own scale
MODEL_ID: Final = "model_id"
ASSET_RISK: Final = "asset_risk"  # 1 (conservative) to 4 (aggressive), declared or worked out
RISK_SOURCE: Final = "risk_source"  # one of RISK_SOURCES
LISTED_FOR: Final = "listed_for"  # one of LISTED_FOR_WORDS
PROFIT_VIEW: Final = "profit_view"  # expected return a month against the average asset, fraction
REASON_ASSETS: Final = "reason_assets"
REASON_WEIGHTS: Final = "reason_weights"  # share of the explanation, 0 to 1
REASON_FEATURES: Final = "reason_features"
REASON_FEATURE_WEIGHTS: Final = "reason_feature_weights"  # share of the explanation, 0 to 1
EXPLANATION: Final = "explanation"
ELIGIBILITY: Final = "eligibility"
FLAGS: Final = "flags"

# Where a landed row came from; every landed table has these four.
SOURCE_FILE: Final = "_source_file"  # file name inside the source folder
SOURCE_ROW: Final = "_source_row"  # 1-based data row of that file
TYPE_ERRORS: Final = "_type_errors"  # columns whose text could not be converted
RAW: Final = "_raw"  # JSON of the raw row, only where TYPE_ERRORS is not empty
RESPELT: Final = "_respelt"  # JSON of the texts, by column, that were read otherwise than they are spelt (2021-6-3)

# What the quarantine adds.
RULE_IDS: Final = "rule_ids"
REASONS: Final = "reasons"

RISK_LEVELS: Final = ("conservative", "income", "balanced", "aggressive", "not_available")
# Bands of investable money of FAR-Trans and of the default suitability rules, whose upper ends stand there.
CAPACITIES: Final = ("not_available", "cap_lt_30k", "cap_30k_80k", "cap_80k_300k", "cap_gt_300k")
ASSET_CLASSES: Final = ("stock", "bond", "fund")
SIDES: Final = ("buy", "sell")
# full: every field; dated_only: a day but no amount; window: a range of days and no amount.
RECORD_KINDS: Final = ("full", "dated_only", "window")
LIST_KINDS: Final = ("restricted", "watch")
HOLDING_STATUSES: Final = ("held", "closed")
RISK_SOURCES: Final = ("declared", "policy", "volatility")
LISTED_FOR_WORDS: Final = ("preference", "profit")

# Columns that identify a person: never shown in a message, an example or a page.
IDENTIFYING: Final = frozenset({CUSTOMER_ID, TRANSACTION_ID, RAW})
