"""What the simulated market's assets are called: coined issuers, and ISINs with their check digits.

Issuers are coined from syllables and meant to name no real firm. The ISINs are valid, but their country codes are
among those that ISO 3166 leaves to private use (QM to QZ), so that none can be the number of a real security.
"""

from __future__ import annotations

import numpy as np

from data_contracts.simulate_draws import Ints
from data_contracts.simulate_sectors import BOND, GOVERNMENT, MARKETS, SECTOR_NAMES, STOCK

# fmt: off
_STARTS = [
    "Vel", "Osma", "Tarq", "Quen", "Brel", "Zor", "Ithra", "Mond", "Kesl", "Ulri", "Fenv", "Galt",
    "Hest", "Jurr", "Larv", "Nemt", "Ovri", "Pelq", "Rhun", "Sarv", "Thal", "Umbr", "Wexl", "Yarr",
    "Dorv", "Elnu", "Corv", "Ambr",
]
_ENDS = [
    "adrin", "imar", "esne", "ovanta", "ostra", "uvel", "ario", "enthal", "ixen", "olde", "urna",
    "evik", "ambra", "onis", "aquel", "iscar", "erro", "ythe",
]
# fmt: on
_TRADES = {
    "Technology": ("Software", "Semiconductors"),
    "Health Care": ("Therapeutics", "Medical Devices"),
    "Financials": ("Banking", "Insurance"),
    "Energy": ("Exploration", "Pipelines"),
    "Utilities": ("Power", "Water"),
    "Consumer Staples": ("Foods", "Household Goods"),
    "Consumer Discretionary": ("Apparel", "Leisure"),
    "Industrials": ("Engineering", "Logistics"),
    "Materials": ("Chemicals", "Metals"),
    "Communication Services": ("Networks", "Media"),
    "Government": ("Treasury", "Treasury"),
    "Diversified": ("Multi-Asset", "Multi-Asset"),
}


def draw_names(
    asset_class: Ints, sector: Ints, risk_class: Ints, rng: np.random.Generator
) -> tuple[list[str], list[str], list[str], list[str]]:
    """Name, short name, subclass and industry of each asset [N]; no two names are the same."""
    coined = [start + end for start in _STARTS for end in _ENDS]
    order = rng.permutation(len(coined))
    names, short_names, subclasses, industries = [], [], [], []
    for index, (kind, theme, risk) in enumerate(zip(asset_class, sector, risk_class, strict=True)):
        issuer = coined[order[index % len(coined)]]
        if index >= len(coined):  # more assets than coined words: two-word issuers, still one per asset
            second = coined[order[(index * 7 + index // len(coined)) % len(coined)]]
            issuer = f"{issuer}-{second}"
        trade = _TRADES[SECTOR_NAMES[theme]][index % 2]
        coupon, year = 1.0 + 0.25 * int(rng.integers(0, 14)), 2027 + int(rng.integers(0, 12))
        if kind == STOCK:
            names.append(f"{issuer} {trade}")
            subclasses.append("Common Stock")
        elif kind == BOND:
            names.append(f"{issuer} {trade} {coupon:.2f}% {year}")
            subclasses.append("Government Bond" if theme == GOVERNMENT else "Corporate Bond")
        else:
            names.append(f"{issuer} {SECTOR_NAMES[theme]} Fund")
            subclasses.append({1: "Money Market", 2: "Balanced", 3: "Equity"}[int(risk)])
        short_names.append(issuer[:3].upper() + f"{index:03d}")
        industries.append(trade)
    return names, short_names, subclasses, industries


def draw_isins(market: Ints, rng: np.random.Generator) -> list[str]:
    """A different, valid ISIN for each asset [N], its prefix that of its market's country."""
    # Twice as many as needed, so that enough are left once doubles are gone.
    numbers = rng.permutation(np.unique(rng.integers(0, 10**9, size=2 * len(market))))[: len(market)]
    bodies = [f"{MARKETS[index][3]}{number:09d}" for index, number in zip(market, numbers, strict=True)]
    return [f"{body}{digit}" for body, digit in zip(bodies, isin_check_digit(bodies), strict=True)]


def isin_check_digit(bodies: list[str]) -> list[int]:
    """The check digit of each 11-character body: letters become numbers (A = 10), then Luhn. Source: ISO 6166."""
    digits = []
    for body in bodies:
        total = 0
        for place, digit in enumerate(reversed("".join(str(int(sign, 36)) for sign in body))):
            doubled = int(digit) * (2 if place % 2 == 0 else 1)
            total += doubled // 10 + doubled % 10
        digits.append(-total % 10)
    return digits
