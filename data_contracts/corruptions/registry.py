"""Every corruption there is, each with what must come of it.

What a delivery cannot show is not among them: a plausible wrong value (a close off by 2 %, a trade moved to the
neighbouring day, another company's name) passes every contract, here as anywhere.
"""

from __future__ import annotations

from typing import Final

from data_contracts.corruptions.case import Corruption
from data_contracts.corruptions.in_bytes import BYTES, ENCODINGS
from data_contracts.corruptions.in_delivery import CONCURRENT, PARTIAL
from data_contracts.corruptions.in_fields import DATES, NULLS, TYPES
from data_contracts.corruptions.in_form import DELIMITERS, HEADERS
from data_contracts.corruptions.in_own_parts import PART_TYPES, PARTS
from data_contracts.corruptions.in_own_text import TABLES, TEXT
from data_contracts.corruptions.in_tables import DUPLICATES, REFERENCES, REORDERINGS, VOLUMES
from data_contracts.corruptions.in_values import KEYS, PRICES, UNITS

CORRUPTIONS: Final[tuple[Corruption, ...]] = (
    *BYTES,
    *ENCODINGS,
    *DELIMITERS,
    *HEADERS,
    *TYPES,
    *NULLS,
    *KEYS,
    *DATES,
    *PRICES,
    *UNITS,
    *REFERENCES,
    *VOLUMES,
    *DUPLICATES,
    *REORDERINGS,
    *PARTIAL,
    *CONCURRENT,
    *PARTS,
    *PART_TYPES,
    *TEXT,
    *TABLES,
)
