"""Step: the contracts of what the night makes itself, the holdings that it derives and the file that it is about to publish.

Verdicts go to ``contracts/made.json``, each table's suite and result to ``contracts/TABLE.gx.json``. Broken holdings stop
the night, since everything after is made of them; a broken file of recommendations is for the gate, which publishes none.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from data_contracts.errors import ContractBlocked
from data_contracts.made_tables import check_made
from data_contracts.verdicts import TableVerdict, raise_if_blocked, read_verdicts, write_verdicts
from flows.ingest import context_of
from flows.json_files import read_json_if
from flows.night import Night
from reports.contracts import write_contracts_page

PATH = Path("contracts") / "made.json"
RECOMMENDATIONS = "recommendations.parquet"
_REFERENCES = ("assets", "customers")


def check_holdings(night: Night) -> TableVerdict:
    """Asks the contract of the derived holdings. Raises ContractBlocked where a rule that stops the night is broken."""
    verdict = _check(night, "holdings", night.folder / "snapshot" / "holdings.parquet")
    try:
        raise_if_blocked([verdict], night.folder)
    except ContractBlocked as error:
        error.remedy = (
            "the delivered tables kept their contracts, so this is a fault of Nightfolio: keep the failed run and report it"
        )
        landed = read_json_if(night.folder / "contracts" / "verdicts.json") or []
        write_contracts_page([*landed, verdict.as_dict()], night.folder / "evidence" / "contracts.html")
        raise
    return verdict


def check_recommendations(night: Night) -> TableVerdict:
    """Asks the contract of the file that is about to be published; the gate lets none pass that breaks a rule."""
    return _check(night, "recommendations", night.folder / RECOMMENDATIONS)


def made_verdicts(run: Path) -> list[dict[str, Any]]:
    """What ``contracts/made.json`` of a run says; of a run that has none, nothing."""
    return read_json_if(run / PATH) or []


def _check(night: Night, table: str, path: Path) -> TableVerdict:
    snapshot, told = night.folder / "snapshot", night.folder / PATH
    references = {name: snapshot / f"{name}.parquet" for name in _REFERENCES if (snapshot / f"{name}.parquet").exists()}
    context = context_of(night.config, night.as_of, (), None)
    context = replace(context, references=references, run_id=night.run_id)
    verdict = check_made(table, path, night.folder / "contracts" / f"{table}.gx.json", context)
    before = [one for one in read_verdicts(told) if one.table != table] if told.exists() else []
    write_verdicts(told, [*before, verdict])
    return verdict
