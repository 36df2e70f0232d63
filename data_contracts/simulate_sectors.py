"""The fixed words of the simulated market: its sectors, asset classes and market places."""

from __future__ import annotations

import numpy as np

#: Sector, whether it holds up when the market falls, its share of customers' tastes, its beta to the market.
SECTORS: tuple[tuple[str, bool, float, float], ...] = (
    ("Technology", False, 1.5, 1.30),
    ("Health Care", True, 1.1, 0.75),
    ("Financials", False, 1.1, 1.20),
    ("Energy", False, 0.9, 1.10),
    ("Utilities", True, 0.7, 0.55),
    ("Consumer Staples", True, 0.8, 0.60),
    ("Consumer Discretionary", False, 0.9, 1.15),
    ("Industrials", False, 0.8, 1.05),
    ("Materials", False, 0.6, 1.05),
    ("Communication Services", False, 0.7, 0.95),
    ("Government", True, 0.9, 0.30),
    ("Diversified", False, 1.3, 0.85),
)
GOVERNMENT, DIVERSIFIED = 10, 11
SECTOR_NAMES = tuple(name for name, _, _, _ in SECTORS)
SECTOR_DEFENSIVE = np.array([defensive for _, defensive, _, _ in SECTORS])
SECTOR_APPEAL = np.array([appeal for _, _, appeal, _ in SECTORS])
SECTOR_BETA = np.array([beta for _, _, _, beta in SECTORS])

STOCK, BOND, FUND = 0, 1, 2
CLASS_NAMES = ("stock", "bond", "fund")

#: Market, its name, its (fictional) country, the ISIN prefix of what is issued there.
MARKETS: tuple[tuple[str, str, str, str], ...] = (
    ("XNOR", "Norvale Exchange", "Norvale", "QN"),
    ("XQUI", "Quiraz Bourse", "Quiraz", "QR"),
    ("XSEL", "Selmark Market", "Selmark", "QS"),
    ("XTOV", "Tovania Funds Market", "Tovania", "QT"),
)
