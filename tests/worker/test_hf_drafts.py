"""Drafts of the Transformers engine change no text, and the right ones are counted."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="runs in the environment of a Transformers loader")
pytest.importorskip("transformers")

from loaders.transformers.spec import SPEC, Settings  # noqa: E402
from loaders.transformers.worker import Engine  # noqa: E402
from modules.library.detect import detect  # noqa: E402
from modules.library.memory_plan import memory_demand, plan_memory  # noqa: E402
from modules.protocol.commands import Generate  # noqa: E402
from modules.protocol.errors import ModelError  # noqa: E402
from modules.protocol.model_facts import Machine  # noqa: E402
from modules.protocol.sampling import SamplingParams  # noqa: E402
from modules.worker.engine import Outcome  # noqa: E402
from tests.worker.hf_tiny import byte_level, sentence_pieces, wrapped, write_model  # noqa: E402

PROMPT = "The quick brown fox jumps. The quick brown fox jumps. The quick"
GREEDY: dict[str, Any] = {"do_sample": False, "ban_eos_token": True, "max_new_tokens": 60}
DRAWN: dict[str, Any] = {"temperature": 1.3, "seed": 5, "ban_eos_token": True, "max_new_tokens": 60}


def loaded(folder: Path, **settings: Any) -> Engine:
    engine = Engine()
    engine.load(folder, Settings(dtype="float32", threads=1, context=200, **settings), lambda text, fraction: None)
    return engine


def reply(engine: Engine, stop_after: int = 0, prompt: str = PROMPT, **params: Any) -> tuple[str, Outcome]:
    """Return the text. `stop_after`: cancel after so many pieces; 0 never."""
    cancelled = threading.Event()
    running = engine.generate(Generate("1", prompt, SamplingParams(**params)), cancelled)
    text, pieces = "", 0
    while True:
        try:
            text += next(running).text
        except StopIteration as end:
            outcome: Outcome = end.value
            return text, outcome
        pieces += 1
        if pieces == stop_after:
            cancelled.set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize("params", [GREEDY, DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize(
    "settings",
    [{"ngram_draft": True}, {"draft_model": "tiny"}, {"ngram_draft": True, "draft_model": "tiny", "draft_tokens": 3}],
    ids=["text", "model", "both"],
)
def test_drafts_do_not_change_the_text(folder: Path, settings: dict[str, Any], params: dict[str, Any]) -> None:
    plain, drafted = loaded(folder), loaded(folder, **settings)
    expected, without = reply(plain, **params)
    text, outcome = reply(drafted, **params)
    assert text == expected
    assert (without.drafted_tokens, without.accepted_tokens) == (0, 0)
    assert (outcome.generated_tokens, outcome.reason) == (without.generated_tokens, without.reason)
    # Only tokens of the text stay in the cache.
    assert drafted._cache.tokens == plain._cache.tokens
    assert drafted._cache._cache.get_seq_length() == len(drafted._cache.tokens)
    if params is GREEDY and "draft_model" in settings:
        assert outcome.accepted_tokens == outcome.drafted_tokens > 0


def test_text_that_repeats_itself_is_guessed(folder: Path) -> None:
    engine = loaded(folder, ngram_draft=True)
    (token,) = engine.tokenize("x", False)[-1:]
    params = {**GREEDY, "max_new_tokens": 120, "logit_bias": f"{token}:1000"}
    text, outcome = reply(engine, **params)
    assert text == reply(loaded(folder), **params)[0]
    assert outcome.accepted_tokens > 90


@pytest.mark.parametrize("room", [1, 2, 3, 7])
def test_no_draft_exceeds_the_reply_or_the_context(folder: Path, room: int) -> None:
    plain, drafted = loaded(folder), loaded(folder, draft_model="tiny", draft_tokens=8)
    for engine in (plain, drafted):
        engine._context = len(engine.tokenize(PROMPT, True)) + room
    expected, _ = reply(plain, **{**GREEDY, "truncate": False, "max_new_tokens": room})
    text, outcome = reply(drafted, **{**GREEDY, "truncate": False, "max_new_tokens": room})
    assert (text, outcome.generated_tokens) == (expected, room)


def test_a_cancelled_reply_leaves_a_cache_that_the_next_can_use(folder: Path) -> None:
    engine = loaded(folder, draft_model="tiny")
    reply(engine, stop_after=3, **GREEDY)
    text, outcome = reply(engine, **GREEDY)
    assert outcome.cached_tokens > 0
    assert text == reply(loaded(folder), **GREEDY)[0]


def test_log_probabilities_and_guidance_are_the_same_with_drafts(folder: Path) -> None:
    params = {**GREEDY, "guidance_scale": 1.5, "negative_prompt": "A slow dog"}
    assert reply(loaded(folder, ngram_draft=True), **params)[0] == reply(loaded(folder), **params)[0]
    _, outcome = reply(loaded(folder, draft_model="tiny"), **params)
    assert outcome.drafted_tokens == 0


def test_a_sliding_window_is_drafted_until_it_is_full(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "sliding", sliding_window=64)
    text, outcome = reply(loaded(folder, draft_model="sliding"), **GREEDY)
    assert text == reply(loaded(folder), **GREEDY)[0]
    assert outcome.drafted_tokens > 0


def _more_tokens(count: int) -> Any:
    tokenizer = sentence_pieces()
    tokenizer.add_tokens([f"<extra_{number}>" for number in range(count)])
    return tokenizer


@pytest.mark.parametrize("wider", ["model", "draft"])
@pytest.mark.parametrize("kind", ["padded", "tokens"])
def test_tokens_that_one_model_has_alone_end_no_reply(tmp_path: Path, wider: str, kind: str) -> None:
    usual = len(wrapped(sentence_pieces()))
    sizes = dict.fromkeys(("model", "draft"), usual) | {wider: usual + 100}
    for name, size in sizes.items():
        tokenizer = _more_tokens(size - usual) if kind == "tokens" else sentence_pieces()
        write_model(tmp_path / name, tokenizer, vocab_size=size)
    # The model chooses the last of its tokens now and then, and reads it again.
    params = {**DRAWN, "logit_bias": f"{sizes['model'] - 1}:6", "skip_special_tokens": False}
    plain, drafted = (loaded(tmp_path / "model", draft_model=draft, prefill=16) for draft in ("", "draft"))
    for prompt in (PROMPT, f"{PROMPT} <extra_99> brown"):
        for chosen in (GREEDY, params):
            expected, _ = reply(plain, prompt=prompt, **chosen)
            assert reply(drafted, prompt=prompt, **chosen)[0] == expected
    assert drafted._drafts is not None and drafted._drafts._shared == usual


def test_vocabularies_that_differ_by_many_tokens_do_not_fit(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    write_model(tmp_path / "wide", _more_tokens(129))
    with pytest.raises(ModelError, match="their vocabularies differ"):
        loaded(tmp_path / "model", draft_model="wide")


def test_a_draft_model_reads_a_prompt_in_slices_and_hears_stop(folder: Path) -> None:
    engine = loaded(folder, draft_model="tiny", prefill=8)
    assert engine._drafts is not None and (cache := engine._drafts._cache) is not None
    text, _ = reply(engine, **GREEDY)
    assert text == reply(loaded(folder), **GREEDY)[0]
    tokens = engine.tokenize(PROMPT, True)
    cancelled, sizes, read = threading.Event(), list[int](), cache.read

    def reading(part: list[int]) -> Any:
        sizes.append(len(part))
        if len(sizes) == 2:
            cancelled.set()
        return read(part)

    cache.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "read", reading)
        assert engine._drafts.start(tokens, cancelled).propose(8) == []
    assert sizes == [8, 8]


def test_the_plan_of_a_draft_model_is_what_the_engine_allocates(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    write_model(tmp_path / "small", num_hidden_layers=1, hidden_size=32, num_key_value_heads=1)
    engine = loaded(tmp_path / "model", draft_model="small")
    reply(engine, **{**GREEDY, "max_new_tokens": 200})
    assert engine._drafts is not None and (cache := engine._drafts._cache) is not None
    machine = Machine("linux", "x86_64", 2, 8 << 30, 8 << 30)
    plans = [
        plan_memory(facts, memory_demand(facts, SPEC, settings, machine), machine).shares[0]
        for facts in [detect(tmp_path / "model", "model")]
        for settings in (Settings(dtype="float32", context=200, draft_model=name) for name in ("", "small"))
    ]
    weights, room = (getattr(plans[1], part) - getattr(plans[0], part) for part in ("weights", "cache"))
    assert weights == pytest.approx(cache._model.get_memory_footprint(), rel=0.1)
    allocated = sum(room.nbytes for layer in cache._cache.layers for room in layer.rooms if room is not None)
    # The cache grows by a quarter at a time. The plan has it at its largest.
    assert 0.5 * room < allocated <= room


def test_a_packed_draft_model_keeps_its_own_types(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    shutil.copytree(folder, tmp_path / "model")
    packing = BitsAndBytesConfig(load_in_4bit=True)
    packed = AutoModelForCausalLM.from_pretrained(str(folder), quantization_config=packing)
    for part in (packed, AutoTokenizer.from_pretrained(str(folder))):
        part.save_pretrained(tmp_path / "packed")
    engine = loaded(tmp_path / "model", draft_model="packed")
    text, outcome = reply(engine, **GREEDY)
    assert text == reply(loaded(folder), **GREEDY)[0]
    assert outcome.drafted_tokens > 0


def test_a_draft_model_that_cannot_be_read_says_so(folder: Path, tmp_path: Path) -> None:
    for name in ("model", "damaged", "unknown"):
        shutil.copytree(folder, tmp_path / name)
    weights = tmp_path / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    config = tmp_path / "unknown" / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"llamb"'))
    for name, words in (("damaged", "model.safetensors"), ("unknown", "unknown")):
        with pytest.raises(ModelError, match=words) as caught:
            loaded(tmp_path / "model", draft_model=name)
        assert caught.value.message.endswith(".")


def test_a_draft_model_with_other_tokens_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    write_model(tmp_path / "other", byte_level())
    with pytest.raises(ModelError, match=r"other cannot be the draft model of model: their vocabularies differ"):
        loaded(tmp_path / "model", draft_model="other")
    with pytest.raises(ModelError, match="There is no draft model gone beside model"):
        loaded(tmp_path / "model", draft_model="gone")
