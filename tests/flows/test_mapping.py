"""Every file and command that the mapping names exists, in a real run and on the real command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli import app
from reports.mapping import named

COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}


@pytest.mark.parametrize("command", sorted(set(named("nightfolio "))))
def test_the_command_exists(command: str) -> None:
    assert command.split()[1] in COMMANDS


def test_every_file_is_in_a_run(run: Path) -> None:
    files = sorted({piece for piece in named("") if not piece.startswith("nightfolio ")})
    assert len(files) > 15
    assert [name for name in files if not (run / name).exists()] == []
