"""Presets: those that ship, the user's own, text-generation-webui's, and files with faults."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from modules.files.paths import PathError
from modules.generation.presets import Presets
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.sampling import SamplingParams, active_samplers

SHIPPED = Path(__file__).parents[2] / "presets"

# As text-generation-webui writes them today …
TODAY = r"""
temperature: 1.15
dynamic_temperature: true
dynatemp_low: 0.7
dynatemp_high: 1.4
min_p: 0.08
xtc_threshold: 0.1
xtc_probability: 0.5
dry_multiplier: 0.8
dry_sequence_breakers: '"\n", ":", "\"", "*", "<|im_end|>"'
sampler_priority: |-
  dry
  temperature
  dynamic_temperature
  top_k
  min_p
  xtc
adaptive_target: 0.5
adaptive_decay: 0.8
"""
# … and years ago, with what has been retired since.
BEFORE = """
do_sample: true
temperature: 0.7
top_p: 0.9
top_k: 20
typical_p: 1.0
epsilon_cutoff: 1.49
eta_cutoff: 10.42
tfs: 0.95
repetition_penalty: 1.15
additive_repetition_penalty: 0.1
repetition_penalty_range: 1024
encoder_repetition_penalty: 1.0
no_repeat_ngram_size: 0
min_length: 0
num_beams: 1
penalty_alpha: 0
length_penalty: 1
early_stopping: false
guidance_scale: 1
mirostat_mode: 2
mirostat_tau: 8.0
sampler_priority:
  - temperature
  - top_p
"""


@pytest.fixture
def presets(tmp_path: Path) -> Presets:
    return Presets(SHIPPED, tmp_path / "own")


def put(tmp_path: Path, name: str, text: str) -> None:
    folder = tmp_path / "own"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_the_promised_presets_ship_and_each_says_what_it_is_for(presets: Presets) -> None:
    assert {"Deterministic", "Balanced", "Creative", "Precise", "Coding"} <= set(presets.names())
    for name in presets.names():
        assert active_samplers(presets.load(name)), f"{name} changes nothing"
        assert len(presets.summary(name)) > 20
        assert presets.warnings(name) == []


def test_a_shipped_preset_holds_only_what_differs_from_neutral(presets: Presets) -> None:
    neutral = SamplingParams()
    for path in SHIPPED.glob("*.yaml"):
        for key, value in yaml.safe_load(path.read_text()).items():
            assert value != getattr(neutral, key), f"{path.name}: {key} is neutral"


def test_a_saved_preset_comes_back_the_same_and_holds_only_changes(presets: Presets, tmp_path: Path) -> None:
    params = SamplingParams(stop=["\n", "User:"], top_k=7, temperature=0.5, dry_sequence_breakers=["ä", '"'], seed=3)
    presets.save("Mine 1.5", params)
    assert presets.load("Mine 1.5") == params
    written = yaml.safe_load((tmp_path / "own" / "Mine 1.5.yaml").read_text(encoding="utf-8"))
    assert list(written) == ["temperature", "top_k", "dry_sequence_breakers", "seed", "stop"]


def test_a_neutral_preset_can_be_saved(presets: Presets) -> None:
    presets.save("Neutral", SamplingParams())
    assert presets.load("Neutral") == SamplingParams()


def test_saving_over_a_shipped_one_makes_a_copy_and_deleting_that_restores_it(presets: Presets) -> None:
    shipped = presets.load("Balanced")
    text = (SHIPPED / "Balanced.yaml").read_bytes()
    presets.save("Balanced", SamplingParams(temperature=2))
    assert presets.is_own("Balanced") and presets.load("Balanced").temperature == 2
    assert presets.names().count("Balanced") == 1
    presets.delete("Balanced")
    assert not presets.is_own("Balanced") and presets.load("Balanced") == shipped
    assert (SHIPPED / "Balanced.yaml").read_bytes() == text


@pytest.mark.parametrize("name", ["a" * 101, "字" * 90])
def test_a_name_too_long_for_a_file_is_refused_with_a_sentence(presets: Presets, name: str) -> None:
    for act in (lambda: presets.save(name, SamplingParams()), lambda: presets.load(name)):
        with pytest.raises(PathError, match="is too long. Use at most 100 Latin letters"):
            act()
    presets.save("a" * 100, SamplingParams())


def test_a_shipped_one_cannot_be_deleted(presets: Presets) -> None:
    with pytest.raises(PaddockError, match="ships with Paddock"):
        presets.delete("Creative")
    assert "Creative" in presets.names()


def test_a_name_that_does_not_exist_gets_the_list(presets: Presets) -> None:
    for act in (presets.load, presets.delete, presets.summary):
        with pytest.raises(PaddockError, match="no preset named 'Nope'.*Balanced"):
            act("Nope")


@pytest.mark.parametrize("name", ["../evil", "/etc/x", "a/b", "", ".hidden", "..", "a\x00b"])
def test_a_name_cannot_leave_the_folder(presets: Presets, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PathError):
        presets.save(name, SamplingParams(top_k=3))
    assert sorted(tmp_path.rglob("*")) == before


def test_overrides_win_over_the_preset_and_the_rest_stays(presets: Presets) -> None:
    merged = presets.merge("Creative", {"temperature": "0.4", "max_new_tokens": 9})
    assert (merged.temperature, merged.max_new_tokens) == (0.4, 9)
    assert merged.dry_multiplier == presets.load("Creative").dry_multiplier
    assert presets.merge("", {"top_k": 5}) == SamplingParams(top_k=5)
    with pytest.raises(SettingError, match="temperatur"):
        presets.merge("Creative", {"temperatur": 1})


def test_a_preset_of_todays_text_generation_webui_works_unchanged(presets: Presets, tmp_path: Path) -> None:
    put(tmp_path, "Theirs", TODAY)
    params = presets.load("Theirs")
    assert params.dry_sequence_breakers == ["\n", ":", '"', "*", "<|im_end|>"]
    assert params.sampler_priority == ["dry", "temperature", "dynamic_temperature", "top_k", "min_p", "xtc"]
    assert (params.dynatemp_high, params.adaptive_target, params.xtc_probability) == (1.4, 0.5, 0.5)
    assert presets.warnings("Theirs") == []


def test_a_preset_of_an_old_version_works_and_neutral_retired_keys_are_silent(presets: Presets, tmp_path: Path) -> None:
    put(tmp_path, "Old", BEFORE)
    params = presets.load("Old")
    assert (params.presence_penalty, params.epsilon_cutoff, params.mirostat_mode, params.tfs) == (0.1, 1.49, 2, 0.95)
    assert params.sampler_priority == ["temperature", "top_p"]
    assert presets.warnings("Old") == []


def test_a_retired_key_that_would_do_something_is_named(presets: Presets, tmp_path: Path) -> None:
    put(tmp_path, "Beams", "temperature: 0.5\nnum_beams: 4\n")
    assert presets.load("Beams").temperature == 0.5
    (warning,) = presets.warnings("Beams")
    assert "Beams.yaml" in warning and "num_beams = 4" in warning


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("temprature: 0.7", ["Typo.yaml", "'temprature'", "'temperature'"]),
        ("top_p: 3", ["Typo.yaml", "top_p", "from 0 to 1"]),
        ("sampler_priority: [temperature, topk]", ["Typo.yaml", "'topk'", "'top_k'"]),
        ("temperature: [1", ["Typo.yaml", "YAML"]),
        ("- temperature", ["Typo.yaml", "temperature: 0.7"]),
        ("wholly_different_thing: 1", ["Typo.yaml", "wholly_different_thing", "docs/samplers.md"]),
        ("dry_sequence_breakers: 7", ["Typo.yaml", "dry_sequence_breakers"]),
    ],
)
def test_a_fault_in_a_file_is_a_sentence_with_file_key_and_what_is_meant(
    presets: Presets, tmp_path: Path, text: str, words: list[str]
) -> None:
    put(tmp_path, "Typo", text)
    with pytest.raises(SettingError) as caught:
        presets.load("Typo")
    for word in words:
        assert word in caught.value.message


def test_a_failed_save_leaves_the_earlier_preset(presets: Presets, tmp_path: Path) -> None:
    presets.save("Keep", SamplingParams(top_k=4))
    presets.save("Keep", SamplingParams(top_k=5))
    assert presets.load("Keep").top_k == 5
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["Keep.yaml"]
    (tmp_path / "own" / "Broken.yaml").mkdir()
    with pytest.raises(PaddockError, match="could not be saved"):
        presets.save("Broken", SamplingParams())
