"""The data: do the rows add up, what did the contracts say, did anything drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.gate.finding import Finding, Subject
from flows.sections.gate import GateConfig
from reports.drift_columns import DriftVerdict
from reports.evidence import Absent

ROWS = Subject(
    "rows",
    "Rows add up",
    "data",
    "Rows of the data were lost or counted twice.",
    "data steward",
    "Rows were lost or counted twice between the landing files and the snapshot: report it as a fault of the software.",
    "contracts.html",
)
CONTRACTS = Subject(
    "contracts",
    "Data contracts",
    "data",
    "The data broke a rule that warns.",
    "data steward",
    "Read the warned rules on the contracts page.",
    "contracts.html",
)
OUTPUT = Subject(
    "output",
    "Contracts of what the night makes",
    "data",
    "The file of recommendations or the holdings behind it break their contract.",
    "data steward",
    "Do not use this run's file: read the broken rules on the contracts page and report it as a fault of the software.",
    "contracts.html",
)
DRIFT = Subject(
    "drift",
    "Drift",
    "data",
    "The data or the recommendations look different from those of the previous publication.",
    "data scientist",
    "Look at what changed since the previous publication before relying on the recommendations.",
    "#drift",
)


def rows_conserved(verdicts: Sequence[Mapping[str, Any]], settings: GateConfig) -> Finding:
    """landed = read + withheld, read = accepted + quarantined, of every table."""
    if not verdicts:
        return ROWS.not_measured("no table has a verdict (contracts/verdicts.json)")
    odd = [
        str(verdict["table"])
        for verdict in verdicts
        if verdict["landed"] != verdict["read"] + verdict["withheld"]
        or verdict["read"] != verdict["accepted"] + verdict["quarantined"]
    ]
    landed = sum(verdict["landed"] for verdict in verdicts)
    return ROWS.judged(
        not odd,
        settings.rows,
        f"rows of {', '.join(odd)} do not add up"
        if odd
        else f"{landed:,} landed rows of {len(verdicts)} tables, each accounted for",
        "landed = read + withheld, read = accepted + quarantined",
    )


def contract_verdicts(verdicts: Sequence[Mapping[str, Any]], settings: GateConfig) -> Finding:
    """No rule warned. A rule that blocks stops the run before there is a gate."""
    if not verdicts:
        return CONTRACTS.not_measured("no table has a verdict (contracts/verdicts.json)")
    warned = [
        f"{rule['table']}.{rule['rule_id']}"
        for verdict in verdicts
        for rule in verdict["rules"]
        if rule["outcome"] in ("warn", "block")
    ]
    read, kept_out = (sum(verdict[name] for verdict in verdicts) for name in ("read", "quarantined"))
    said = f"{read:,} rows read, {kept_out:,} quarantined"
    return CONTRACTS.judged(
        not warned,
        settings.contracts,
        said + (f"; warnings: {', '.join(warned)}" if warned else ""),
        "no rule warned or blocked",
        warned=warned,
    )


def made_tables(made: Sequence[Mapping[str, Any]], published: int, settings: GateConfig) -> Finding:
    """The recommendations that are about to be published, and the holdings behind them, keep every rule of their contracts.

    A rule that only warns counts as one of a landed table does (``gate.contracts``).
    """
    rows = {str(verdict["table"]): int(verdict["read"]) for verdict in made}
    missing = [table for table in ("holdings", "recommendations") if table not in rows]
    if missing:
        return OUTPUT.not_measured(f"no verdict on {' and '.join(missing)} (contracts/made.json)")
    found = [(rule["outcome"], f"{rule['table']}.{rule['rule_id']}") for table in made for rule in table["rules"]]
    broken, warned = ([name for outcome, name in found if outcome == which] for which in ("block", "warn"))
    said = f"{len(found)} rules asked of {', '.join(f'{number:,} {table}' for table, number in rows.items())}"
    if rows["recommendations"] != published:
        broken.append(f"{published:,} rows are published")
    said += f"; broken: {', '.join(broken)}" if broken else ""
    return OUTPUT.judged(
        not broken and not warned,
        settings.output if broken else settings.contracts,
        said + (f"; warnings: {', '.join(warned)}" if warned else ""),
        "no rule broken, every published row asked",
        broken=broken,
        warned=warned,
    )


def drifted_tables(drift: Sequence[DriftVerdict] | Absent, share: float, settings: GateConfig) -> Finding:
    """No watched table drifted."""
    if isinstance(drift, Absent):
        return DRIFT.not_applicable(drift.reason)
    drifted = [verdict.table for verdict in drift if verdict.outcome == "drift"]
    compared = [verdict for verdict in drift if verdict.outcome != "not_compared"]
    if not compared:
        return DRIFT.not_measured("no table could be compared with the previous publication's")
    return DRIFT.judged(
        not drifted,
        settings.drift,
        f"drifted: {', '.join(drifted)}" if drifted else f"none of {len(compared)} tables drifted",
        f"fewer than {share:.0%} of a table's columns drifted",
        drifted=drifted,
    )
