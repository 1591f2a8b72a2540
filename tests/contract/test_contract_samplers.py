"""Every sampler that a loader declares has the right effect at an extreme value."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from modules.protocol.commands import Tokenize
from modules.protocol.errors import PromptError
from modules.protocol.sampling import ALWAYS_HONOURED
from tests.contract.under_test import QUESTION, UnderTest

pytestmark = pytest.mark.contract
# A test that names a parameter runs for the loaders that declare it (conftest.py).
_HOT = {"temperature": 5.0}

# Parameters that leave only the likeliest token, so that a high temperature after them has no effect.
GREEDY: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.0},
    "do_sample": {**_HOT, "do_sample": False},
    "top_k": {**_HOT, "top_k": 1},
    "top_p": {**_HOT, "top_p": 0.0},
    "min_p": {**_HOT, "min_p": 1.0},
    "top_n_sigma": {**_HOT, "top_n_sigma": 0.01},
    "dynamic_temperature": {"dynamic_temperature": True, "dynatemp_low": 0.01, "dynatemp_high": 0.01},
    "mirostat_mode": {"mirostat_mode": 2, "mirostat_tau": 0.0, "temperature": 0.7},
    "temperature_last": {**_HOT, "min_p": 0.95, "temperature_last": True},
    "sampler_priority": {**_HOT, "min_p": 0.95, "sampler_priority": ["min_p", "temperature"]},
    "smoothing_factor": {"smoothing_factor": 10.0, "smoothing_curve": 10.0},
}

# (with, without): parameters whose texts must differ for at least one of some seeds.
_LOOP = "one two three one two three one two three one two three one two"
DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "typical_p": ({"temperature": 2.0, "typical_p": 0.1}, {"temperature": 2.0}),
    "tfs": ({"temperature": 2.0, "tfs": 0.1}, {"temperature": 2.0}),
    "top_a": ({"temperature": 2.0, "top_a": 1.0}, {"temperature": 2.0}),
    "epsilon_cutoff": ({**_HOT, "epsilon_cutoff": 9.0}, _HOT),
    # No higher temperature: at a high entropy its threshold is below every token.
    "eta_cutoff": ({"temperature": 1.5, "eta_cutoff": 20.0}, {"temperature": 1.5}),
    "xtc_probability": ({"xtc_probability": 1.0, "xtc_threshold": 0.0}, {}),
    "adaptive_target": ({"adaptive_target": 0.2, "temperature": 2.0}, {"temperature": 2.0}),
    "dynatemp_exponent": (
        {"dynamic_temperature": True, "dynatemp_low": 0.01, "dynatemp_high": 5.0, "dynatemp_exponent": 0.01},
        {"dynamic_temperature": True, "dynatemp_low": 0.01, "dynatemp_high": 5.0, "dynatemp_exponent": 5.0},
    ),
    "smoothing_curve": (
        {**_HOT, "smoothing_factor": 0.3, "smoothing_curve": 10.0},
        {**_HOT, "smoothing_factor": 0.3, "smoothing_curve": 1.0},
    ),
    "xtc_threshold": (
        {"temperature": 2.0, "xtc_probability": 1.0, "xtc_threshold": 0.01},
        {"temperature": 2.0, "xtc_probability": 1.0, "xtc_threshold": 0.5},
    ),
    "mirostat_tau": ({"mirostat_mode": 2, "mirostat_tau": 0.1}, {"mirostat_mode": 2, "mirostat_tau": 10.0}),
    "mirostat_eta": (
        {"mirostat_mode": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.0, **_HOT},
        {"mirostat_mode": 2, "mirostat_tau": 3.0, "mirostat_eta": 1.0, **_HOT},
    ),
    "adaptive_decay": (
        {"adaptive_target": 0.3, "adaptive_decay": 0.0, "temperature": 2.0},
        {"adaptive_target": 0.3, "adaptive_decay": 0.99, "temperature": 2.0},
    ),
    "dry_multiplier": ({"temperature": 0.0, "dry_multiplier": 5.0, "dry_allowed_length": 1}, {"temperature": 0.0}),
    "dry_base": (
        {"temperature": 0.0, "dry_multiplier": 0.01, "dry_base": 4.0},
        {"temperature": 0.0, "dry_multiplier": 0.01, "dry_base": 1.0},
    ),
    "dry_allowed_length": (
        {"temperature": 0.0, "dry_multiplier": 5.0, "dry_allowed_length": 1},
        {"temperature": 0.0, "dry_multiplier": 5.0, "dry_allowed_length": 100},
    ),
    "dry_sequence_breakers": (
        {"temperature": 0.0, "dry_multiplier": 5.0, "dry_allowed_length": 1, "dry_sequence_breakers": ["\n"]},
        {
            "temperature": 0.0,
            "dry_multiplier": 5.0,
            "dry_allowed_length": 1,
            "dry_sequence_breakers": [" one", " two", " three", "one", "two", "three", " "],
        },
    ),
    "repetition_penalty": ({"temperature": 0.0, "repetition_penalty": 2.0}, {"temperature": 0.0}),
    "repetition_penalty_range": (
        {"temperature": 0.0, "repetition_penalty": 2.0, "repetition_penalty_range": 1},
        {"temperature": 0.0, "repetition_penalty": 2.0},
    ),
    "frequency_penalty": ({"temperature": 0.0, "frequency_penalty": 2.0}, {"temperature": 0.0}),
    "presence_penalty": ({"temperature": 0.5, "presence_penalty": 2.0}, {"temperature": 0.5}),
    "encoder_repetition_penalty": (
        {"temperature": 2.0, "encoder_repetition_penalty": 1.5},
        {"temperature": 2.0, "encoder_repetition_penalty": 0.8},
    ),
    "no_repeat_ngram_size": ({"temperature": 0.0, "no_repeat_ngram_size": 1}, {"temperature": 0.0}),
    "guidance_scale": ({"temperature": 2.0, "guidance_scale": 3.0, "negative_prompt": "llama"}, {"temperature": 2.0}),
    "negative_prompt": (
        {"temperature": 2.0, "guidance_scale": 5.0, "negative_prompt": "What is GGUF?"},
        {"temperature": 2.0, "guidance_scale": 5.0, "negative_prompt": "Hello there, friend."},
    ),
}


SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["format", "model", "é漢"]},
        "sure": {"type": "boolean"},
        "points": {"type": "integer", "minimum": 1, "maximum": 5},
        "name": {"type": "string", "pattern": "^[a-c]{2,4}-[0-9]$"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 2, "maxItems": 2},
        "place": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
    },
    "required": ["kind", "sure", "points", "name", "tags", "place"],
    "$defs": {
        "place": {
            "type": "object",
            "properties": {"x": {"type": "integer", "maximum": 9, "minimum": 0}},
            "required": ["x"],
        }
    },
}
GRAMMARS = {"grammar_string", "json_schema"}
# Parameters with a separate test below, or part of another sampler.
ELSEWHERE = {"dynatemp_low", "dynatemp_high", "logit_bias", "custom_token_bans", "ban_eos_token", *GRAMMARS}


def test_every_declared_sampler_has_a_case(engine: UnderTest) -> None:
    assert engine.spec.samplers
    assert not engine.spec.samplers & ALWAYS_HONOURED
    assert engine.spec.samplers <= {*GREEDY, *DIFFERENT, *ELSEWHERE}


@pytest.mark.parametrize("name", GREEDY)
def test_at_the_extreme_only_the_likeliest_token_remains(engine: UnderTest, name: str) -> None:
    prompt = engine.chat(QUESTION)
    params = {"sampler_priority": [name, "temperature"], **GREEDY[name]} if name.startswith("top_") else GREEDY[name]
    if name == "min_p":
        params = {**params, "temperature_last": True}
    assert engine.text(prompt, seed=7, **params) == engine.greedy(prompt)


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_sampler_changes_the_text(engine: UnderTest, name: str) -> None:
    with_it, without = DIFFERENT[name]
    echo = engine.chat(QUESTION, engine.greedy(engine.chat(QUESTION), max_new_tokens=60), QUESTION)
    for prompt in (_LOOP, engine.chat(QUESTION), echo):
        for seed in range(1, 4):
            texts = [engine.text(prompt, seed=seed, **params) for params in (with_it, without)]
            if texts[0] != texts[1]:
                return
    pytest.fail(f"{name} changed nothing")


@pytest.mark.declares("sampler_priority")
def test_the_sampler_order_changes_the_text(engine: UnderTest) -> None:
    prompt = engine.chat(QUESTION)
    first, last = (
        [engine.text(prompt, seed=seed, temperature=5.0, min_p=0.05, sampler_priority=order) for seed in range(4)]
        for order in (["temperature", "min_p"], ["min_p", "temperature"])
    )
    assert first != last


@pytest.mark.declares("logit_bias")
def test_a_logit_bias_forces_a_token(engine: UnderTest) -> None:
    token = engine.ask(Tokenize, " model", False)[-1]
    text = engine.greedy(engine.chat(QUESTION), logit_bias=f"{token}:1000", max_new_tokens=4)
    assert text
    assert len(set(engine.ask(Tokenize, text, False)[-3:])) == 1


@pytest.mark.declares("custom_token_bans")
def test_a_banned_token_is_never_generated(engine: UnderTest) -> None:
    prompt = engine.chat(QUESTION)
    usual = engine.greedy(prompt, max_new_tokens=40)
    tokens = sorted(set(engine.ask(Tokenize, usual, False)))
    text = engine.greedy(prompt, custom_token_bans=", ".join(map(str, tokens)), max_new_tokens=40)
    assert text != usual
    assert not set(engine.ask(Tokenize, text, False)[1:]) & set(tokens[1:]) or text[:8] != usual[:8]


@pytest.mark.declares("ban_eos_token")
def test_the_end_token_can_be_banned(engine: UnderTest) -> None:
    _, end = engine.generate(engine.chat(QUESTION), do_sample=False, ban_eos_token=True, max_new_tokens=300)
    assert (end.reason, end.generated_tokens) == ("length", 300)


@pytest.mark.declares("grammar_string")
def test_a_grammar_is_followed_to_its_end(engine: UnderTest) -> None:
    prompt = engine.chat(QUESTION)
    for seed in range(3):
        text, end = engine.generate(prompt, grammar_string='root ::= "No. " [0-9] [0-9] [0-9] "!"', seed=seed)
        assert re.fullmatch(r"No\. \d{3}!", text)
        assert end.reason == "stop"


@pytest.mark.declares("grammar_string")
def test_a_grammar_can_force_characters_of_many_bytes(engine: UnderTest) -> None:
    grammar = "root ::= " + "[🦙é漢] " * 20
    generation = engine.begin(engine.chat(QUESTION), grammar_string=grammar, max_new_tokens=90, seed=1)
    seen = list(generation.follow(gather=0))
    engine.finish(generation)
    # llama.cpp's grammar allows an overlong encoding, which is not a character and not shown.
    assert len(generation.text) > 15
    assert set(generation.text) <= set("🦙é漢")
    assert all(set(piece) <= set("🦙é漢") for piece in seen)


@pytest.mark.declares("json_schema")
def test_a_reply_follows_a_json_schema(engine: UnderTest) -> None:
    text, end = engine.generate(engine.chat(QUESTION), json_schema=json.dumps(SCHEMA), max_new_tokens=200, seed=1)
    assert end.reason == "stop"
    found = json.loads(text)
    assert list(found) == ["kind", "sure", "points", "name", "tags", "place"]
    assert found["kind"] in ("format", "model", "é漢")
    assert isinstance(found["sure"], bool)
    assert found["points"] in range(1, 6)
    assert re.fullmatch("[a-c]{2,4}-[0-9]", found["name"])
    assert len(found["tags"]) == 2
    assert all(len(tag) <= 3 for tag in found["tags"])
    assert found["place"] is None or set(found["place"]) == {"x"}


@pytest.mark.declares("json_schema")
def test_a_json_object_of_any_kind_is_cut_only_by_its_length(engine: UnderTest) -> None:
    text, end = engine.generate(engine.chat(QUESTION), json_schema='{"type": "object"}', max_new_tokens=40, seed=1)
    assert text.startswith("{")
    if end.reason == "stop":
        assert isinstance(json.loads(text), dict)
    else:
        assert end.reason == "length"


@pytest.mark.parametrize(
    "name, value",
    [
        ("grammar_string", "root ::= missing"),
        ("json_schema", '{"type": "text"}'),
        ("logit_bias", "x:y"),
        ("custom_token_bans", "none"),
    ],
)
def test_invalid_sampling_parameters_are_refused_with_a_sentence(engine: UnderTest, name: str, value: str) -> None:
    with pytest.raises(PromptError) as refused:
        engine.generate(engine.chat(QUESTION), **{name: value})
    assert refused.value.message.endswith(".")
    assert engine.greedy(engine.chat(QUESTION))
