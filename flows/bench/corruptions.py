"""``nightfolio bench corruptions``: every corruption through the real ingest and contracts, and what became of each."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_contracts.corruptions.case import OUTCOMES, Corruption
from data_contracts.corruptions.complaints import complaints, told
from data_contracts.corruptions.registry import CORRUPTIONS
from data_contracts.corruptions.trial import Found, attempt, clean_run

_FAULTS = ("silent", "bare errors", "rows not conserved", "not as expected")


def bench_corruptions(console: Console, *, kind: str | None = None, every: bool = False) -> bool:
    """Tries every corruption (of ``kind``, where it is given), prints outcomes by class; True where all went as expected.

    ``every`` prints what each of them was answered with. Each trial asks every rule of every table.
    """
    chosen = [one for one in CORRUPTIONS if kind in (None, one.kind)]
    folder = Path(tempfile.mkdtemp(prefix="nightfolio-corruptions-"))
    outcomes: dict[str, Counter[str]] = {one.kind: Counter() for one in chosen}
    wrong: list[str] = []
    try:
        layouts = dict.fromkeys(one.layout for one in chosen)
        sound = {layout: clean_run(folder / layout, layout) for layout in layouts}
        for corruption in chosen:
            clean = sound[corruption.layout]
            found = attempt(corruption, clean, folder / "trial", every_table=True)
            shutil.rmtree(folder / "trial")
            said = complaints(corruption, found, clean)
            _count(outcomes[corruption.kind], found, said)
            wrong += [f"{corruption.kind}: {corruption.name}: {one}" for one in said]
            if every:
                _tell(console.print, corruption, found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    console.print(_table(outcomes))
    for one in wrong:
        console.print(one, style="red", markup=False)
    return not wrong


def _count(counter: Counter[str], found: Found, said: list[str]) -> None:
    counter["tried"] += 1
    counter["bare errors" if found.crash else found.outcome] += 1
    counter["silent"] += not found.crash and found.outcome == "identical" and not found.same_rows
    counter["rows not conserved"] += not found.crash and not found.conserved
    counter["not as expected"] += bool(said)


def _tell(say: Callable[..., None], corruption: Corruption, found: Found) -> None:
    say(f"{corruption.kind}: {corruption.name}: {found.outcome}", style="bold", markup=False)
    for line in told(found):
        say(f"    {line}", markup=False)


def _table(outcomes: dict[str, Counter[str]]) -> Table:
    table = Table(title="corruptions tried, by class and outcome", title_justify="left", box=None, pad_edge=False)
    names = ("tried", *OUTCOMES, *_FAULTS)
    table.add_column("class")
    for name in names:
        table.add_column(name, justify="right")
    for kind, counter in outcomes.items():
        table.add_row(kind, *(str(counter[name]) for name in names))
    total = sum(outcomes.values(), Counter[str]())
    table.add_row("all", *(str(total[name]) for name in names), style="bold")
    return table
