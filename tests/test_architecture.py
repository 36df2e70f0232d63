"""The arrows between the rooms, read from the imports themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("data_contracts", "lightning_modules", "reports", "flows")
FORBIDDEN = {
    "data_contracts": {
        "torch",
        "prefect",
        "evidently",
        "pytorch_lightning",
        "lightning_modules",
        "reports",
        "flows",
    },
    "lightning_modules": {"prefect", "great_expectations", "evidently", "reports", "flows"},
    "reports": {"torch", "pytorch_lightning", "prefect", "great_expectations", "lightning_modules", "flows"},
    "flows": set[str](),
}


def imported(source: str) -> set[str]:
    """Top-level names of every import in a module, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_only_what_it_may(room: str) -> None:
    for file in sorted((ROOT / room).rglob("*.py")):
        trespass = imported(file.read_text(encoding="utf-8")) & FORBIDDEN[room]
        assert not trespass, f"{file.relative_to(ROOT)} imports {sorted(trespass)}"


def test_the_reader_of_imports_sees_a_trespass() -> None:
    assert "torch" in imported("def f():\n    from torch.nn import Linear\n") & FORBIDDEN["reports"]


@pytest.mark.parametrize("room", ROOMS)
def test_no_pickle_and_no_misc_modules(room: str) -> None:
    for file in sorted((ROOT / room).rglob("*.py")):
        assert not imported(file.read_text(encoding="utf-8")) & {"pickle", "joblib", "cloudpickle", "dill"}, file
        assert not {"utils", "helpers", "manager", "processor", "misc"} & set(file.stem.split("_")), file
