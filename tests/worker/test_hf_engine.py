"""The Transformers engine on tiny models. Runs in a Transformers loader's environment."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="runs in the environment of a Transformers loader")

import torch  # noqa: E402

from loaders.transformers.spec import Settings  # noqa: E402
from loaders.transformers.worker import Engine  # noqa: E402
from modules.protocol.commands import Generate  # noqa: E402
from modules.protocol.errors import ModelError, OutOfMemory, PromptError, SettingError  # noqa: E402
from modules.protocol.sampling import SamplingParams  # noqa: E402
from modules.worker.engine import Outcome, Piece  # noqa: E402
from modules.worker.hf.error_messages import out_of_memory_error  # noqa: E402
from modules.worker.hf.special_tokens import end_tokens  # noqa: E402
from tests.worker.hf_tiny import byte_level, write_model  # noqa: E402

PROMPT = "The quick brown fox"
EXACT: dict[str, Any] = {"dtype": "float32", "threads": 1, "context": 200}
GREEDY: dict[str, Any] = {"do_sample": False, "ban_eos_token": True, "max_new_tokens": 24}


def quiet(text: str, fraction: float | None) -> None: ...


def loaded(folder: Path, **settings: Any) -> Engine:
    engine = Engine()
    engine.load(folder, Settings(**{**EXACT, **settings}), quiet)
    return engine


def reply(engine: Engine, prompt: str = PROMPT, **params: Any) -> tuple[str, Outcome]:
    pieces, outcome = watched(engine, prompt, lambda pieces: False, **params)
    return "".join(piece.text for piece in pieces), outcome


def watched(
    engine: Engine, prompt: str, stop_when: Callable[[list[Piece]], bool], **params: Any
) -> tuple[list[Piece], Outcome]:
    """Return all pieces of a reply that is cancelled once `stop_when` returns True."""
    cancelled = threading.Event()
    running = engine.generate(Generate("1", prompt, SamplingParams(**params)), cancelled)
    pieces: list[Piece] = []
    while True:
        try:
            pieces.append(next(running))
        except StopIteration as end:
            assert isinstance(end.value, Outcome)
            return pieces, end.value
        if stop_when(pieces):
            cancelled.set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return loaded(folder)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the model that a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


# Generation


def test_greedy_text_equals_transformers_generate(engine: Engine) -> None:
    ids = torch.tensor([engine.tokenize(PROMPT, True)])
    with torch.inference_mode():
        made = engine.model.generate(
            ids,
            max_new_tokens=24,
            min_new_tokens=24,
            do_sample=False,
            attention_mask=torch.ones_like(ids),
            pad_token_id=0,
        )
    text, outcome = reply(engine, skip_special_tokens=False, **GREEDY)
    tokens = made[0, ids.shape[1] :].tolist()
    stream = engine._text.stream(skip_special=False, at_start=False)
    assert text == "".join(stream.push(token) for token in tokens) + stream.finish()
    assert (outcome.reason, outcome.generated_tokens, outcome.prompt_tokens) == ("length", 24, ids.shape[1])


def test_pieces_count_all_generated_tokens(engine: Engine) -> None:
    pieces, outcome = watched(engine, PROMPT, lambda pieces: False, **GREEDY)
    assert len(pieces) > 5
    assert sum(piece.tokens for piece in pieces) <= outcome.generated_tokens == 24


def test_a_seed_gives_the_same_text_with_and_without_a_cache(engine: Engine) -> None:
    params: dict[str, Any] = {"seed": 7, "max_new_tokens": 40, "temperature": 1.5}
    engine._cache.clear()
    first, outcome = reply(engine, **params)
    assert outcome.cached_tokens == 0
    again, outcome = reply(engine, **params)
    assert outcome.cached_tokens == outcome.prompt_tokens
    assert first == again
    other, _ = reply(engine, **{**params, "seed": 8})
    assert other != first


def test_the_reported_seed_repeats_the_text(engine: Engine) -> None:
    text, outcome = reply(engine, max_new_tokens=20)
    assert outcome.seed >= 0
    assert reply(engine, max_new_tokens=20, seed=outcome.seed)[0] == text


def test_the_next_turn_reads_only_new_tokens(engine: Engine) -> None:
    engine._cache.clear()
    text, first = reply(engine, **GREEDY)
    tokens = [*engine._cache.tokens, *engine.tokenize(" and then more", False)]
    turn = engine.detokenize(tokens[1:])
    second_text, second = reply(engine, turn, **GREEDY)
    assert 0 < second.cached_tokens < second.prompt_tokens
    assert second.cached_tokens > first.prompt_tokens
    engine._cache.clear()
    assert reply(engine, turn, **GREEDY)[0] == second_text


def test_after_an_edit_only_the_text_from_there_is_read(engine: Engine) -> None:
    reply(engine, "one two three four five", **GREEDY)
    text, outcome = reply(engine, "one two three six seven", **GREEDY)
    assert 0 < outcome.cached_tokens < outcome.prompt_tokens
    engine._cache.clear()
    assert reply(engine, "one two three six seven", **GREEDY)[0] == text


@pytest.mark.parametrize("window", [8, 100])
def test_a_sliding_window_gives_the_same_text_over_turns(tmp_path: Path, window: int) -> None:
    engine = loaded(write_model(tmp_path / "sliding", sliding_window=window))
    reply(engine, "one two three four five six", **GREEDY)
    text, outcome = reply(engine, "one two three nine ten", **GREEDY)
    assert (outcome.cached_tokens > 0) == (window == 100)
    engine._cache.clear()
    assert reply(engine, "one two three nine ten", **GREEDY)[0] == text


def test_a_prompt_read_in_slices_gives_the_same_text(folder: Path, engine: Engine) -> None:
    engine._cache.clear()
    prompt = "The lazy dog " * 10
    assert reply(loaded(folder, prefill=7), prompt, **GREEDY)[0] == reply(engine, prompt, **GREEDY)[0]


def test_cancel_takes_effect_within_a_token(engine: Engine) -> None:
    params = {**GREEDY, "max_new_tokens": 150}
    pieces, outcome = watched(engine, PROMPT, lambda pieces: len(pieces) == 3, **params)
    assert outcome.reason == "cancelled"
    assert outcome.generated_tokens <= sum(piece.tokens for piece in pieces[:3]) + 1


def test_cancel_takes_effect_between_prompt_slices_and_the_cache_stays(folder: Path) -> None:
    engine = loaded(folder, prefill=4)
    cancelled = threading.Event()
    read = engine._cache.read

    def read_and_cancel(tokens: list[int], images: Any = None) -> Any:
        logits = read(tokens, images)
        cancelled.set()
        return logits

    engine._cache.read = read_and_cancel  # type: ignore[method-assign]
    running = engine.generate(Generate("1", PROMPT * 3, SamplingParams(**GREEDY)), cancelled)
    with pytest.raises(StopIteration) as end:
        next(running)
    assert (end.value.value.reason, end.value.value.generated_tokens) == ("cancelled", 0)
    del engine._cache.read  # type: ignore[method-assign]
    _, outcome = reply(engine, PROMPT * 3, **GREEDY)
    assert (outcome.reason, outcome.cached_tokens) == ("length", 4)


def test_a_dropped_generation_leaves_the_engine_usable(engine: Engine) -> None:
    expected, _ = reply(engine, **GREEDY)
    running = engine.generate(Generate("1", PROMPT, SamplingParams(**GREEDY)), threading.Event())
    next(running)
    running.close()
    assert reply(engine, **GREEDY)[0] == expected


def test_a_stop_text_ends_the_reply_and_never_leaks(engine: Engine) -> None:
    text, _ = reply(engine, **GREEDY)
    stop = text[6:10]
    pieces, outcome = watched(engine, PROMPT, lambda pieces: False, stop=[stop], **GREEDY)
    assert outcome.reason == "stop_text"
    assert "".join(piece.text for piece in pieces) == text[: text.index(stop)]


def test_the_end_token_ends_the_reply_unless_banned(engine: Engine) -> None:
    end = engine._vocabulary.ends[0]
    text, outcome = reply(engine, logit_bias=f"{end}:1000", max_new_tokens=20)
    assert (text, outcome.reason, outcome.generated_tokens) == ("", "stop", 0)
    _, outcome = reply(engine, logit_bias=f"{end}:1000", ban_eos_token=True, max_new_tokens=20)
    assert (outcome.reason, outcome.generated_tokens) == ("length", 20)


def test_end_tokens_by_name_count_only_without_a_template(engine: Engine) -> None:
    named = engine.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert named not in engine._vocabulary.ends, "the template writes none behind a reply"
    assert engine.tokenizer.eos_token_id in engine._vocabulary.ends
    assert set(end_tokens(engine.model, engine.tokenizer, "", "")) == {named, engine.tokenizer.eos_token_id}


def test_the_reply_ends_at_the_end_of_the_context(engine: Engine) -> None:
    params = {**GREEDY, "max_new_tokens": 10_000}
    _, outcome = reply(engine, **params)
    assert outcome.reason == "context"
    assert outcome.prompt_tokens + outcome.generated_tokens == 200


def test_a_prompt_that_is_too_long_is_cut_after_bos(engine: Engine) -> None:
    prompt = "The lazy dog jumps " * 60
    whole = len(engine.tokenize(prompt, True))
    _, outcome = reply(engine, prompt, **GREEDY)
    assert outcome.prompt_tokens == 200 - 24
    assert outcome.cut_tokens == whole - outcome.prompt_tokens
    assert engine._cache.tokens[0] == engine.tokenizer.bos_token_id


def test_without_truncate_a_prompt_that_is_too_long_is_refused(engine: Engine) -> None:
    with pytest.raises(PromptError, match="context takes 200"):
        reply(engine, "The lazy dog jumps " * 60, truncate=False)


def test_an_empty_prompt_becomes_bos(engine: Engine) -> None:
    _, outcome = reply(engine, "", add_bos_token=False, **GREEDY)
    assert (outcome.prompt_tokens, outcome.generated_tokens) == (1, 24)


def test_bos_of_the_template_is_not_doubled(engine: Engine) -> None:
    bos = engine.tokenizer.bos_token_id
    assert engine.tokenize("<s>hello", True).count(bos) == 1
    assert engine.tokenize("hello", True).count(bos) == 1
    assert engine.tokenize("hello", False).count(bos) == 0


def test_guidance_depends_on_the_negative_prompt(engine: Engine) -> None:
    plain, _ = reply(engine, **GREEDY)
    assert reply(engine, guidance_scale=2.0, negative_prompt=PROMPT, **GREEDY)[0] == plain
    assert reply(engine, guidance_scale=5.0, negative_prompt="def main() -> None:", **GREEDY)[0] != plain


@pytest.mark.parametrize("kind", ["pieces", "bytes"])
def test_a_grammar_is_followed_to_its_end(engine: Engine, tmp_path: Path, kind: str) -> None:
    if kind == "bytes":
        engine = loaded(write_model(tmp_path / "bytes", byte_level()))
    text, outcome = reply(engine, grammar_string='root ::= ("yes" | "no") "." [0-9] [0-9]', max_new_tokens=50)
    assert text[:-2] in ("yes.", "no.")
    assert text[-2:].isdigit()
    assert outcome.reason == "stop"


def test_a_grammar_beyond_the_matchers_limits_is_an_error(engine: Engine) -> None:
    rules = "".join(f"x{level} ::= (x{level + 1} x{level + 1})?\n" for level in range(90))
    with pytest.raises(PromptError, match=r"grammar cannot be followed: .*too many.* Write it"):
        # The empty text fits the grammar too, so a reply could end before the matcher reaches its limit.
        grammar = f'root ::= x0\n{rules}x90 ::= "a"\n'
        reply(engine, grammar_string=grammar, ban_eos_token=True, max_new_tokens=50)


def test_an_invalid_grammar_is_refused(engine: Engine) -> None:
    with pytest.raises(PromptError, match="grammar cannot be read"):
        reply(engine, grammar_string="root ::= (")


# Other methods


def test_next_token_probabilities_equal_the_models(engine: Engine) -> None:
    likeliest = engine.next_token_probabilities(PROMPT, 5)
    with torch.inference_mode():
        logits = engine.model(torch.tensor([engine.tokenize(PROMPT, True)])).logits[0, -1]
    expected = logits.softmax(0).topk(5)
    assert [entry["token"] for entry in likeliest] == expected.indices.tolist()
    assert [entry["probability"] for entry in likeliest] == pytest.approx(expected.values.tolist(), abs=1e-5)
    assert all(isinstance(entry["text"], str) for entry in likeliest)


def test_embeddings_are_the_mean_of_the_last_layer(engine: Engine) -> None:
    [vector, other] = engine.embed(["hello", "world"])
    with torch.inference_mode():
        output = engine.model(torch.tensor([engine.tokenize("hello", True)]), output_hidden_states=True)
    assert vector == pytest.approx(output.hidden_states[-1][0].mean(0).tolist(), abs=1e-5)
    assert vector != other


def test_hf_tokens_decode_to_the_text(engine: Engine) -> None:
    assert engine.detokenize(engine.tokenize("Grüße, 你好 🙂", False)).strip() == "Grüße, 你好 🙂"


# Loading


def test_model_facts_after_loading(folder: Path) -> None:
    steps: list[tuple[str, float | None]] = []
    engine = Engine()
    info = engine.load(folder, Settings(**EXACT), lambda text, fraction: steps.append((text, fraction)))
    assert (info.context, info.trained_context, info.slots) == (200, 256, 1)
    assert (info.device, info.dtype, info.architecture) == ("cpu", "float32", "LlamaForCausalLM")
    assert info.parameters == sum(part.numel() for part in engine.model.parameters())
    assert (info.bos, info.eos) == ("<s>", "</s>")
    assert info.template and info.template_source in ("chat_template.jinja", "tokenizer_config.json")
    assert steps[-2] == ("Loading the weights", 1.0)


@pytest.mark.parametrize(("quantization", "double"), [("int8", False), ("nf4", True), ("nf4", False), ("fp4", True)])
def test_bitsandbytes_packs_the_weights_and_prints_nothing(
    folder: Path, quantization: str, double: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engine = loaded(folder, quantization=quantization, double_quantization=double, dtype="bfloat16")
    whole = loaded(folder).model.get_memory_footprint()
    assert engine.model.get_memory_footprint() < 0.5 * whole
    assert reply(engine, **GREEDY)[1].generated_tokens == 24
    assert not caplog.records


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits_halve_the_memory(folder: Path, dtype: str) -> None:
    engine = loaded(folder, dtype=dtype)
    assert str(engine.model.dtype) == f"torch.{dtype}"
    assert engine.model.get_memory_footprint() < 0.6 * loaded(folder).model.get_memory_footprint()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_chosen_attention_is_used(folder: Path, engine: Engine, attention: str) -> None:
    chosen = loaded(folder, attention=attention)
    assert chosen.model.config._attn_implementation == attention
    assert reply(chosen, **GREEDY)[0] == reply(engine, **GREEDY)[0]


def test_a_context_above_the_trained_one_is_lowered_with_a_note(folder: Path) -> None:
    info = Engine().load(folder, Settings(**{**EXACT, "context": 1000}), quiet)
    assert info.context == 256
    assert "trained for 256" in info.notes[0]


@pytest.mark.parametrize("scaling", ["linear", "dynamic", "yarn"])
def test_rope_scaling_extends_the_context_with_a_note(folder: Path, scaling: str) -> None:
    engine = Engine()
    info = engine.load(
        folder, Settings(**{**EXACT, "context": 400, "rope_scaling": scaling, "rope_factor": 2.0}), quiet
    )
    assert (info.context, info.trained_context) == (400, 256)
    assert "stretched" in info.notes[0]
    _, outcome = reply(engine, **{**GREEDY, "max_new_tokens": 1000})
    assert outcome.prompt_tokens + outcome.generated_tokens == 400


def test_rope_base_changes_the_text(folder: Path, engine: Engine) -> None:
    assert reply(loaded(folder, rope_base=100.0), **GREEDY)[0] != reply(engine, **GREEDY)[0]


# Bad input


def expect(folder: Path, *words: str, **settings: Any) -> None:
    with pytest.raises(ModelError) as raised:
        loaded(folder, **settings)
    for word in words:
        assert word in raised.value.message
    assert raised.value.message.endswith(".")


def test_a_missing_config_is_an_error(copy: Path) -> None:
    (copy / "config.json").unlink()
    expect(copy, "config.json")


def test_an_invalid_config_is_an_error(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    expect(copy, "config.json", "Download")


def test_missing_weights_are_an_error(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    expect(copy, "no weights")


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_truncated_weights_are_an_error(copy: Path, size: int) -> None:
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[:size])
    expect(copy, "model.safetensors", "Download")


def test_weights_with_a_damaged_header(copy: Path) -> None:
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[8:40] = b"\xff" * 32
    (copy / "model.safetensors").write_bytes(bytes(data))
    expect(copy, "model.safetensors", "damaged")


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    expect(copy, "lacks 2 of 2", "model-00001-of-00002.safetensors")


def test_weights_that_do_not_match_the_config(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 96}))
    expect(copy, "config.json")


def test_weights_that_lack_a_layer(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    expect(copy, "lack", "model.layers.2.")


def test_an_unknown_architecture(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    changed = {**config, "model_type": "nobody_knows", "architectures": ["NobodyKnows"]}
    (copy / "config.json").write_text(json.dumps(changed))
    expect(copy, "does not know the architecture", "newer")


def test_the_models_code_needs_consent(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PADDOCK_TRUST_REMOTE_CODE", raising=False)
    config = json.loads((copy / "config.json").read_text())
    changed = {**config, "model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (copy / "config.json").write_text(json.dumps(changed))
    (copy / "own.py").write_text(f"open({str(copy / 'it ran')!r}, 'w')")
    expect(copy, "--trust-remote-code")
    assert not (copy / "it ran").exists()


def test_pickles_need_trust(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PADDOCK_TRUST_PICKLE", raising=False)
    whole = loaded(copy)
    torch.save(whole.model.state_dict(), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    expect(copy, "pickles", "--trust-pickle")
    monkeypatch.setenv("PADDOCK_TRUST_PICKLE", "1")
    assert reply(loaded(copy), **GREEDY)[0] == reply(whole, **GREEDY)[0]


def test_a_missing_tokenizer_is_an_error(copy: Path) -> None:
    for file in (*copy.glob("tokenizer*"), *copy.glob("special_tokens*")):
        file.unlink()
    expect(copy, "no tokenizer")


def test_a_damaged_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    expect(copy, "tokenizer", "Download")


@pytest.mark.parametrize("name", ["TokenizersBackend", "PreTrainedTokenizerFast", "NobodyKnowsTokenizer"])
def test_a_tokenizer_class_of_another_transformers_version_is_read(copy: Path, engine: Engine, name: str) -> None:
    config = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": name}))
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    assert loaded(copy).tokenize("hello<|im_end|>", True) == engine.tokenize("hello<|im_end|>", True)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_cuda_without_a_card_is_an_error(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    with pytest.raises(SettingError, match="no CUDA GPU"):
        loaded(folder, device_map="cuda")


def test_a_quantized_model_is_not_quantized_again(folder: Path, tmp_path: Path) -> None:
    loaded(folder, quantization="nf4").model.save_pretrained(tmp_path / "packed")
    for file in folder.glob("tokenizer*"):
        shutil.copy(file, tmp_path / "packed")
    with pytest.raises(SettingError, match="already quantized"):
        loaded(tmp_path / "packed", quantization="int8")
    assert reply(loaded(tmp_path / "packed"), **GREEDY)[1].generated_tokens == 24


def test_running_out_of_memory_names_what_to_lower() -> None:
    with pytest.raises(OutOfMemory) as raised, out_of_memory_error("this reply", ("context", "dtype"), Settings):
        torch.empty(2**50)
    assert raised.value.lower == ("context", "dtype")
    assert "Lower Context length or Data type" in raised.value.message


def test_spare_room_changes_no_text_and_is_rarely_reallocated(tmp_path: Path) -> None:
    engine = loaded(write_model(tmp_path / "long", max_position_embeddings=2048), context=2000)
    text, outcome = reply(engine, **{**GREEDY, "max_new_tokens": 900})
    assert outcome.generated_tokens == 900
    ids = torch.tensor([engine.tokenize(PROMPT, True)])
    with torch.inference_mode():
        made = engine.model.generate(
            ids, max_new_tokens=900, min_new_tokens=900, do_sample=False, attention_mask=torch.ones_like(ids)
        )
    stream = engine._text.stream(skip_special=True, at_start=False)
    assert text == "".join(stream.push(token) for token in made[0, ids.shape[1] :].tolist()) + stream.finish()
    layer = engine._cache._cache.layers[0]
    room = layer.rooms[0].data_ptr()
    assert layer.keys.data_ptr() == room
    engine._cache.read([5])
    assert layer.rooms[0].data_ptr() == room
