"""The rules file: what it may say, what is refused by name, and that a run's settings hold all of it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from data_contracts.errors import ConfigError
from flows.cli import app
from flows.config import RunConfig, load_config
from flows.sections.suitability import KINDS, SHIPPED, AnyRule, SuitabilityConfig, default_rules, read_rules

DEFAULT = (SHIPPED / "default.toml").read_text(encoding="utf-8")


def test_every_shipped_file_is_accepted_and_names_a_source_for_every_rule() -> None:
    for path in SHIPPED.glob("*.toml"):
        config = SuitabilityConfig.model_validate(read_rules(path.stem))
        assert all("firm policy" in rule.source or "Regulation" in rule.source for rule in config.rules.values())


def test_every_kind_has_its_place_in_the_union() -> None:
    union = get_args(AnyRule)[0]
    assert {get_args(model.model_fields["kind"].annotation)[0] for model in get_args(union)} == set(KINDS)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('kind = "held"', 'kind = "heldd"', "suitability.rules.held: Input tag 'heldd' found using 'kind' does not match any"),
        ("[rules.held]", "[rules.previously_held]", "Cannot declare ('rules', 'previously_held') twice"),
        (
            'source = "firm policy: in doubt an asset counts as held"\n',
            "",
            "suitability.rules.possibly_held.possibly_held.source: Field required",
        ),
        ("price_age_days = 7", "price_age_days = -1", "price_age_days: Input should be greater than or equal to 0"),
        ("share = 0.5\n", "share = 1.5\n", "concentration_sector.concentration.share: Input should be less than or equal to 1"),
        ("most = 4", "most = 0", "list_sector.list_limit.most: Input should be greater than or equal to 1"),
        ("conservative = 1,", "", "highest_class"),
        ("aggressive = 4 }", "aggressive = 5 }", "highest_class.aggressive: Input should be less than or equal to 4"),
        ('by = "issuer"\nshare', 'by = "country"\nshare', "concentration_issuer.concentration.by: Input should be"),
        ('list = "watch"', 'list = "restricted"', "no rule of kind on_list for the watch list"),
        (
            'effect = "flag"\non = true\nlist',
            'effect = "hide"\non = true\nlist',
            "watched.on_list.effect: Input should be 'exclude' or 'flag'",
        ),
        ('[rules.no_profile]\nkind = "no_profile"', '[rules.no_profile]\nkind = "held"', "no rule of kind no_profile"),
        ("[rules.held]", "[rules.Held]", "String should match pattern"),
        ("price_age_days = 7", "price_age_days = 7\nprice_age = 3", "price_age: no such setting"),
        ("[asset_risk]", "[asset_risk", "not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_by_rule_and_field(before: str, after: str, message: str, tmp_path: Path) -> None:
    assert DEFAULT.count(before) >= 1
    path = tmp_path / "firm.toml"
    path.write_text(DEFAULT.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(settings={"recommend.rules": str(path)})
    assert message in caught.value.message
    assert caught.value.remedy


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="suitability rules 'nope' do not exist"):
        load_config(settings={"recommend.rules": "nope"})


def test_the_hash_covers_what_the_file_says_and_not_where_it_is(tmp_path: Path) -> None:
    hashes = []
    for place, text in (("a", DEFAULT), ("b", DEFAULT), ("c", DEFAULT.replace("price_age_days = 7", "price_age_days = 8"))):
        path = tmp_path / place / "firm.toml"
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        config = load_config(settings={"recommend.rules": str(path)})
        assert config.recommend.rules == "firm"
        hashes.append(config.sha256())
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_settings_of_a_run_hold_the_rules_so_that_no_file_is_needed_to_repeat_it() -> None:
    config = load_config("smoke", settings={"suitability.rules.list_sector.most": 3})
    again = RunConfig.model_validate(json.loads(config.model_dump_json()))
    assert again == config
    assert again.suitability.rules["list_sector"].limits()["most"] == 3
    told = dict(config.facts())
    assert told["suitability.rules.list_sector.most"] == "3"
    assert told["suitability.rules.watched.effect"] == "flag"


def test_a_preset_changes_single_limits_and_leaves_the_others() -> None:
    ours, theirs = load_config("far_trans", source=Path("x")).suitability, default_rules()
    changed = {name for name in theirs.rules if ours.rules[name] != theirs.rules[name]}
    assert changed == {"not_tradable", "possibly_held"}


@given(
    words=st.text(st.characters(exclude_categories=["Cs"]), min_size=10, max_size=40),
    band=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
)
def test_what_a_run_keeps_reads_back_as_the_same_rules(words: str, band: str) -> None:
    settings = default_rules().model_dump(mode="json")
    settings["rules"]["held"]["words"] = words
    settings["rules"]["above_capacity"]["bands"][band] = 1e-9
    config = SuitabilityConfig.model_validate(settings)
    assert SuitabilityConfig.model_validate(tomllib.loads(config.as_toml())) == config


def test_the_command_prints_every_rule_with_its_source() -> None:
    printed = CliRunner().invoke(app, ["rules", "--set", "suitability.rules.held.on=false"])
    assert printed.exit_code == 0
    text = re.sub(r"\s+", " ", printed.stdout)
    for name, rule in default_rules().rules.items():
        assert name in text
        assert rule.words in text
        assert f"source: {rule.source}" in text
    assert "held off" in text
    assert "price_age_days = 7" in text
