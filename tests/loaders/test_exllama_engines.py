"""Replies of the ExLlama loaders with the engines' own Python code, as far as a processor runs it.

The model's forward pass, which needs a card, is a rule for the next token. All else is real: configuration, tokenizer,
cache, generator and jobs of the engine, and the loader from `load_model` on.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("llguidance")

from modules.protocol.commands import Generate  # noqa: E402 (imported after the skips)
from modules.protocol.errors import ModelError, PromptError  # noqa: E402
from modules.protocol.sampling import SamplingParams  # noqa: E402
from modules.worker.hf.folder_tokenizer import FolderTokenizer  # noqa: E402
from modules.worker.hf.grammar import Follower  # noqa: E402
from tests.support.exllama_engines import import_engine  # noqa: E402

DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"
GREEDY = SamplingParams(do_sample=False, max_new_tokens=12)
SCHEMA = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}


class Card:
    """What a card would do: the logits after each token, by a rule. `read`: tokens of each forward pass.

    The rule is for tokens that end no text. Its second choice is nearly as likely.
    """

    size = int(json.loads((DEMO / "config.json").read_text())["vocab_size"])

    def __init__(self) -> None:
        self.padding = 0
        self.read: list[int] = []

    def follows(self, token: int) -> int:
        return 300 + (token * 11 + 7) % 50

    def logits(self, ids: Any) -> Any:
        self.read.append(ids.shape[-1])
        made = torch.zeros((*ids.shape, self.size + self.padding), dtype=torch.float)
        for row in range(ids.shape[0]):
            for place in range(ids.shape[1]):
                follows = self.follows(int(ids[row, place]))
                made[row, place, follows : follows + 3] = torch.tensor([9.0, 8.0, 7.5])
        # What pads the vocabulary is no token, whatever its logit.
        made[:, :, self.size :] = 20.0
        return made


@pytest.fixture
def on_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what torch does for a card."""

    def unpinned(make: Any) -> Any:
        return lambda *size, **options: make(*size, **{**options, "pin_memory": False})

    for name in ("empty", "zeros"):
        monkeypatch.setattr(torch, name, unpinned(getattr(torch, name)))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *device: None)


@pytest.fixture
def card() -> Card:
    return Card()


@pytest.fixture
def third(on_processor: None, card: Card, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a function that loads the demo model with the exllamav3 loader and settings."""
    exl = import_engine("exllamav3")
    if exl is None:
        pytest.skip("The files of exllamav3 are not there.")
    from loaders.exllamav3.loaded_model import load_model
    from loaders.exllamav3.spec import Settings
    from loaders.exllamav3.worker import Engine

    def load(self: Any, **options: Any) -> None:
        assert set(options) <= {
            "use_per_device",
            "reserve_per_device",
            "tensor_p",
            "max_chunk_size",
            "max_batch_size",
            "callback",
            "draft_model",
        }
        self.output_device = torch.device("cpu")
        for cache in [ref() for ref in self.cache_weakrefs.values()]:
            for layer in cache.layers.values():
                layer.alloc(self.output_device)
            cache.initialized = True

    monkeypatch.setattr(exl.Model, "load", load)
    monkeypatch.setattr(exl.Model, "warmup", lambda self, **options: [])
    monkeypatch.setattr(exl.Model, "prefill", lambda self, input_ids, params=None: None)
    monkeypatch.setattr(exl.Model, "forward", lambda self, input_ids, params=None: card.logits(input_ids))
    engine = Engine()

    def loaded(**settings: Any) -> Engine:
        engine._tokens = FolderTokenizer(DEMO)
        engine._exl, engine._torch = exl, torch
        engine.use(load_model(exl, DEMO, Settings(context=512, **settings), lambda text, fraction: None))
        return engine

    yield loaded
    engine.unload()


@pytest.fixture
def second(on_processor: None, card: Card, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a function that loads the demo model with the exllamav2 loader and settings."""
    exl = import_engine("exllamav2")
    if exl is None:
        pytest.skip("The files of exllamav2 are not there.")
    import exllamav2.attn
    import exllamav2.generator.dynamic

    from loaders.exllamav2.loaded_model import load_model
    from loaders.exllamav2.spec import Settings
    from loaders.exllamav2.worker import Engine

    def forward(self: Any, input_ids: Any, **options: Any) -> dict[str, Any]:
        return {} if options.get("preprocess_only") else {"logits": card.logits(input_ids)}

    monkeypatch.setattr(exl.ExLlamaV2, "load_autosplit", lambda self, cache, **options: None)
    monkeypatch.setattr(exl.ExLlamaV2, "forward_chunk", forward)
    monkeypatch.setattr(exl.ExLlamaV2Cache, "all_tensors", lambda self: [])
    monkeypatch.setattr(exllamav2.attn, "has_flash_attn_with_paged", True)
    monkeypatch.setattr(exllamav2.generator.dynamic, "assert_paged_attn", lambda: None)
    engine = Engine()

    def loaded(**settings: Any) -> Engine:
        with ExitStack() as stages:
            wanted = Settings(context=512, **settings)
            engine._tokens = FolderTokenizer(DEMO)
            engine._exl, engine._torch = exl, torch
            engine.use(load_model(exl, DEMO, wanted, lambda text, fraction: None, stages))
        return engine

    yield loaded
    engine.unload()


def reply(engine: Any, prompt: str, params: SamplingParams, logprobs: int = -1) -> tuple[str, Any, list[Any]]:
    """Return the text of a reply, its outcome and its log-probabilities."""
    running = engine.generate(Generate("1", prompt, params, logprobs=logprobs), threading.Event())
    pieces = []
    while True:
        try:
            pieces.append(next(running))
        except StopIteration as end:
            return (
                "".join(piece.text for piece in pieces),
                end.value,
                [one for piece in pieces for one in piece.logprobs],
            )


def text_of(engine: Any, card: Card, prompt: str, count: int) -> str:
    """Return the text that the rule says."""
    tokens = engine.tokenize(prompt, True)
    for _ in range(count):
        tokens.append(card.follows(tokens[-1]))
    reply = engine._tokens.reply(SamplingParams(), tokens[:-count])
    pieces = [reply.take(token) for token in tokens[-count:]] + [reply.end()]
    return "".join(piece.text for piece in pieces if piece)


@pytest.fixture(params=["exllamav2", "exllamav3"])
def load(request: pytest.FixtureRequest) -> Any:
    """Return the function that loads the demo model, for each loader in turn."""
    return request.getfixturevalue({"exllamav2": "second", "exllamav3": "third"}[request.param])


def idle(engine: Any) -> bool:
    """Return True once no job is left in the generator."""
    jobs: int = engine._batcher.call(lambda: engine._loaded.generator.num_remaining_jobs(), when_idle=True)
    return jobs == 0


def test_a_reply_is_what_the_model_says(load: Any, card: Card) -> None:
    engine = load()
    text, outcome, _ = reply(engine, "Hello there", GREEDY)
    assert text == text_of(engine, card, "Hello there", 12) and text
    assert (outcome.reason, outcome.generated_tokens, outcome.drafted_tokens) == ("length", 12, 0)


def test_the_next_turn_reads_only_what_is_new(load: Any, card: Card) -> None:
    engine = load()
    prompt = "Hello there. "
    while len(engine.tokenize(prompt, True)) < 300:
        prompt += f"{len(prompt)} is a number. "
    first = reply(engine, prompt, GREEDY)[1]
    assert first.prompt_tokens >= 300 and first.cached_tokens == 0
    assert reply(engine, f"{prompt}More of it", GREEDY)[1].cached_tokens >= 256


def test_a_stop_text_ends_the_reply_and_its_job(load: Any, card: Card) -> None:
    engine = load()
    whole = text_of(engine, card, "Hello there", 12)
    stop = whole[5:9]
    text, outcome, _ = reply(engine, "Hello there", SamplingParams(do_sample=False, max_new_tokens=300, stop=[stop]))
    assert (text, outcome.reason) == (whole[: whole.index(stop)], "stop_text")
    assert idle(engine)


def test_a_cancelled_reply_leaves_no_job(load: Any) -> None:
    engine = load()
    cancelled = threading.Event()
    running = engine.generate(Generate("1", "Hello", SamplingParams(do_sample=False, max_new_tokens=400)), cancelled)
    next(running)
    cancelled.set()
    with pytest.raises(StopIteration) as ended:
        while True:
            next(running)
    assert ended.value.value.reason == "cancelled"
    assert idle(engine)


def test_log_probabilities_are_the_models_own(load: Any, card: Card) -> None:
    engine = load()
    text, _, noted = reply(engine, "Hello there", GREEDY, logprobs=2)
    assert b"".join(bytes(entry["bytes"]) for entry in noted).decode() == text and len(noted) == 12
    best = math.exp(9) / (sum(math.exp(logit) for logit in (9, 8, 7.5)) + card.size - 3)
    assert noted[0]["logprob"] == pytest.approx(math.log(best), abs=1e-4)
    assert [one["token"] - noted[0]["token"] for one in noted[0]["top"]] == [0, 1]


@pytest.mark.parametrize("drafts", [{}, {"draft_model": "demo", "draft_tokens": 3}])
def test_a_json_schema_is_followed(load: Any, drafts: dict[str, Any]) -> None:
    engine = load(**drafts)
    params = SamplingParams(do_sample=False, max_new_tokens=60, json_schema=json.dumps(SCHEMA))
    text, outcome, _ = reply(engine, "Hello", params)
    assert isinstance(json.loads(text)["size"], int)
    assert outcome.reason == "stop"
    assert idle(engine)


def test_a_grammar_at_its_end_ends_the_reply_although_end_tokens_are_banned(load: Any) -> None:
    engine = load()
    params = SamplingParams(do_sample=False, max_new_tokens=60, grammar_string='root ::= "blue"', ban_eos_token=True)
    text, outcome, _ = reply(engine, "Hello", params)
    assert (text, outcome.reason) == ("blue", "stop")
    assert idle(engine)


def test_an_invalid_grammar_is_refused_and_the_next_reply_comes(load: Any, card: Card) -> None:
    engine = load()
    with pytest.raises(PromptError, match="The grammar cannot be read"):
        reply(engine, "Hello", SamplingParams(grammar_string="root ::= (", max_new_tokens=8))
    assert reply(engine, "Hello", GREEDY)[0] == text_of(engine, card, "Hello", 12)


def test_a_grammar_that_fails_midway_ends_its_own_reply_alone(
    load: Any, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load()
    prepare, steps = Follower.prepare, iter(range(1000))

    def fail(self: Follower) -> None:
        if next(steps) == 3:
            raise PromptError("The grammar cannot be followed: too many items.")
        prepare(self)

    monkeypatch.setattr(Follower, "prepare", fail)
    other = engine.generate(Generate("2", "Hello", replace(GREEDY, max_new_tokens=100)), threading.Event())
    pieces = [next(other).text]
    with pytest.raises(PromptError, match="cannot be followed"):
        reply(engine, "Hello there", SamplingParams(do_sample=False, max_new_tokens=60, json_schema=json.dumps(SCHEMA)))
    pieces += [piece.text for piece in other]
    assert "".join(pieces) == text_of(engine, card, "Hello", 100)


@pytest.mark.parametrize("params", [GREEDY, replace(GREEDY, do_sample=True, temperature=0, presence_penalty=1.5)])
def test_a_draft_model_changes_no_text_and_its_hits_are_counted(load: Any, params: SamplingParams) -> None:
    wanted = replace(params, max_new_tokens=90)
    engine = load(draft_model="demo", draft_tokens=3)
    text, outcome, _ = reply(engine, "Hello there", wanted)
    assert outcome.generated_tokens == 90 and 0 < outcome.accepted_tokens <= outcome.drafted_tokens
    assert reply(load(), "Hello there", wanted)[0] == text


def test_exllamav2_drafts_from_the_text(second: Any, card: Card) -> None:
    engine = second(ngram_draft=True)
    prompt = "Hello there, how are you?"
    text, outcome, _ = reply(engine, prompt, replace(GREEDY, max_new_tokens=90))
    assert text == text_of(engine, card, prompt, 90)
    assert outcome.accepted_tokens > 0


def test_exllamav3_chooses_no_token_that_pads_the_vocabulary(third: Any, card: Card) -> None:
    card.padding = 32
    engine = third()
    assert reply(engine, "Hello there", GREEDY)[0] == text_of(engine, card, "Hello there", 12)


def test_exllamav3_honours_all_samplers_and_seeds(third: Any) -> None:
    engine = third()
    warm = SamplingParams(temperature=3.0, top_n_sigma=0, min_p=0.2, seed=7, max_new_tokens=40, mirostat_mode=1)
    text = reply(engine, "Hello", warm)[0]
    assert reply(engine, "Hello", warm)[0] == text
    assert reply(engine, "Hello", replace(warm, seed=8))[0] != text


def test_exllamav3_tells_the_next_tokens(third: Any, card: Card) -> None:
    engine = third()
    found = engine.next_token_probabilities("Hello", 2)
    first = card.follows(engine.tokenize("Hello", True)[-1])
    assert [one["token"] for one in found] == [first, first + 1]
    assert found[0]["probability"] / found[1]["probability"] == pytest.approx(math.e, rel=1e-3)


def test_exllamav3_has_a_cache_of_the_kind_that_was_asked_for(third: Any) -> None:
    engine = third(cache_type="q8", cache_type_v="q4", slots=3)
    layers = list(engine._loaded.cache.layers.values())
    assert layers and {(layer.k_bits, layer.v_bits) for layer in layers} == {(8, 4)}
    assert engine._loaded.cache.max_num_tokens == 512 + 256
    assert engine._loaded.generator.max_batch_size == 3
    assert engine._loaded.parameters() > 1_000_000


def test_exllamav3_scores_a_window(third: Any, card: Card, tmp_path: Path) -> None:
    engine = third()
    tokens = engine.tokenize("Hello there, how are you?", True)
    found = engine.score(tokens, 2, tmp_path / "logits")
    rows = torch.from_file(str(tmp_path / "logits"), size=found["rows"] * found["vocabulary"]).view(found["rows"], -1)
    assert rows.argmax(-1).tolist() == [card.follows(token) for token in tokens[1:-1]]


def test_a_draft_model_of_another_vocabulary_is_refused(load: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        (other / name).symlink_to(DEMO / name)
    vocabulary = json.loads((DEMO / "tokenizer.json").read_text())
    vocabulary["added_tokens"].append({**vocabulary["added_tokens"][-1], "id": Card.size, "content": "<|another|>"})
    (other / "tokenizer.json").write_text(json.dumps(vocabulary))
    with pytest.raises(ModelError, match="their vocabularies differ"):
        load(draft_model=str(other))
    # As many tokens, of which two have changed places.
    vocabulary["added_tokens"].pop()
    ids = vocabulary["model"]["vocab"]
    one, two = [text for text in ids if text.isalpha()][-2:]
    ids[one], ids[two] = ids[two], ids[one]
    (other / "tokenizer.json").write_text(json.dumps(vocabulary))
    with pytest.raises(ModelError, match="their vocabularies differ"):
        load(draft_model=str(other))


def test_exllamav3_says_that_a_model_has_no_heads_to_draft_from(third: Any) -> None:
    with pytest.raises(ModelError, match="carries no heads"):
        third(mtp_draft=True)
