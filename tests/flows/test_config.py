"""Settings: typed, bounded, and a message that names the field."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from data_contracts.errors import ConfigError
from flows.config import load_config, parse_setting, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_is_accepted(name: str, tmp_path: Path) -> None:
    needs_source = name in {"far_trans", "firm"}
    config = load_config(name, source=tmp_path if needs_source else None)
    assert config.preset == name
    assert config.model.dim % config.model.heads == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epoch=3", "train.epoch: no such setting"),
        ("train.epochs=0", "train.epochs: Input should be greater than or equal to 1"),
        ("train.epochs=many", "train.epochs: Input should be a valid integer"),
        ("train.loss='hinge'", "train.loss: Input should be 'softmax', 'sampled_softmax', 'gbce' or 'bpr'"),
        ("train.validation_days=0", "train.validation_days"),
        ("train.models=['lstm']", "train.models.0"),
        ("baselines.ease_ridge=0", "baselines.ease_ridge: Input should be greater than 0"),
        ("model.heads=3", "model.dim=64 is not a multiple of model.heads=3"),
        ("schedule.time_zone='Mars/Olympus'", "schedule.time_zone='Mars/Olympus' is not an IANA time zone"),
        ("schedule.cron='daily'", "needs five fields"),
        ("schedule.cron='99 99 * * *'", "schedule.cron='99 99 * * *'"),
        ("histories.momentum_days=[-30]", "histories.momentum_days.0: Input should be greater than or equal to 1"),
        ("contracts.quarantine_limits.asets=0.1", "contracts.quarantine_limits.asets"),
        ("source.path='somewhere'", "source.path conflicts with source.format='simulated'"),
        ("source.format='far_trans'", "source.path is needed for source.format='far_trans'"),
        ("train.models=['transformer']", "recommend.model='attention_cf' is not among train.models"),
        ("as_of=2020-01-01", "conflicts with simulation.as_of"),
        ("seed.deep=1", "'seed' is a value, not a section"),
    ],
)
def test_a_bad_setting_is_refused_by_name(setting: str, message: str) -> None:
    overrides = dict([parse_setting(setting)])
    if setting == "seed.deep=1":
        overrides = {"seed": 1, **overrides}
    with pytest.raises(ConfigError) as caught:
        load_config(settings=overrides)
    assert message in caught.value.message
    assert "nightfolio settings" in caught.value.remedy


def test_flags_override_the_preset() -> None:
    assert load_config(settings=dict([parse_setting("train.epochs=3")])).train.epochs == 3
    assert load_config("far_trans", source=Path("x"), as_of=date(2021, 1, 31)).as_of == date(2021, 1, 31)


def test_as_of_of_the_simulation_is_set_by_the_flag() -> None:
    assert load_config(as_of=date(2023, 3, 31)).resolved_as_of() == date(2023, 3, 31)


def test_without_as_of_a_real_source_means_yesterday_in_the_schedules_zone() -> None:
    config = load_config("firm", source=Path("x"), settings={"schedule.time_zone": "Asia/Tokyo"})
    # 20:00 UTC on the 4th is already the 5th in Tokyo.
    assert config.resolved_as_of(datetime(2026, 5, 4, 20, tzinfo=UTC)) == date(2026, 5, 4)


def test_the_hash_covers_every_setting_but_the_sources_place() -> None:
    one, other = (load_config("firm", source=Path(place)).sha256() for place in ("a", "b"))
    assert one == other
    assert load_config("firm", source=Path("a"), settings={"seed": 43}).sha256() != one


def test_unknown_preset_names_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="preset 'nope' does not exist"):
        load_config("nope")


def test_the_flag_as_of_is_kept_where_a_setting_changes_the_format() -> None:
    config = load_config("smoke", source=Path("x"), as_of=date(2021, 1, 31), settings={"source.format": "far_trans"})
    assert config.resolved_as_of() == date(2021, 1, 31)


def test_a_preset_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"seed = 1 # \xff")
    with pytest.raises(ConfigError, match=r"preset bad.toml: not valid TOML"):
        load_config(str(tmp_path / "bad.toml"))
