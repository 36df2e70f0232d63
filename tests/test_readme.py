"""The README says what is true: its commands exist, every command and preset is in it, its table of columns is the contract's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from flows.cli import app
from flows.config import PRESETS, load_config, preset_names

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LOCK = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line and line[0] != "#")
COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)
GROUPS = {
    str(group.typer_instance.info.name): sorted(
        command.name or command.callback.__name__ for command in group.typer_instance.registered_commands if command.callback
    )
    for group in app.registered_groups
    if group.typer_instance is not None
}


def test_every_command_of_the_readme_exists() -> None:
    used = set(re.findall(r"nightfolio ([a-z]+)\b", README))
    assert used <= {*COMMANDS, *GROUPS}


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_command_of_a_group_is_in_the_readme_and_no_other(group: str) -> None:
    assert set(re.findall(rf"nightfolio {group} ([a-z-]+)\b", README)) == set(GROUPS[group])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme_and_explains_itself(command: str) -> None:
    assert f"nightfolio {command}" in README
    (entry,) = [one for one in app.registered_commands if one.callback and (one.name or one.callback.__name__) == command]
    assert entry.callback is not None
    assert len(entry.callback.__doc__ or "") > 30


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"--set ([a-z_.]+)=", README)) | {"schedule.cron", "schedule.time_zone"}))
def test_every_setting_of_the_readme_exists(flag: str) -> None:
    names = {name for name, _ in load_config().facts()}
    assert flag in names


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z-]+) {2,}#", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_says_how_to_run_it(name: str) -> None:
    text = (PRESETS / f"{name}.toml").read_text(encoding="utf-8")
    head = text.split("\n\n")[0]
    assert re.search(rf"# Run it: +nightfolio nightly(.*--preset {name})?", head), head


def test_every_dependency_is_explained_and_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name = re.split(r"[\[<>=]", requirement)[0].lower()
        assert name in locked, name
        if requirement in project["dependencies"]:
            assert name in README, name


def test_the_lock_holds_the_pins_that_matter() -> None:
    lock = dict(
        line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line and line[0] != "#"
    )
    versions = {name.lower(): tuple(int(part) for part in re.findall(r"\d+", version)[:2]) for name, version in lock.items()}
    assert versions["pandas"] < (3, 1)
    assert versions["fastapi"] < (0, 151)
    assert versions["sqlalchemy"] < (2, 1)
    assert LOCK["torch"] == "2.13.0"
