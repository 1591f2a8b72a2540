"""Every loader loads, generates, stops and counts as the contract demands."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from modules.protocol.commands import ChatPrompt, Detokenize, Embed, Generate, NextTokenProbabilities, Score, Tokenize
from modules.protocol.errors import PromptError, Unsupported
from modules.protocol.sampling import SamplingParams
from tests.contract.under_test import QUESTION, SECONDS, UnderTest, wait_for_tokens

pytestmark = pytest.mark.contract
_TEXT = "A model folder in models/ is found at once."
# Longer than any context of the demo model.
_LONG = "The context is the text that a model sees at once. " * 600


def test_a_load_reports_progress_and_model_facts(engine: UnderTest) -> None:
    fractions = [part for _, part in engine.progress if part is not None]
    assert engine.progress
    assert all(text for text, _ in engine.progress)
    assert fractions == sorted(fractions)
    info = engine.info
    assert info.context > 0
    assert info.trained_context == 2048
    assert 4_000_000 < info.parameters < 8_000_000
    # A remote server reports many facts about its model, but not this one.
    assert info.architecture.lower().startswith("llama") or engine.spec.name == "remote"
    assert "<|im_start|>" in info.template
    assert info.template_source
    assert info.eos


def test_greedy_decoding_is_deterministic(engine: UnderTest) -> None:
    prompt = engine.chat(QUESTION)
    first = engine.greedy(prompt)
    assert first.strip()
    assert [engine.greedy(prompt) for _ in range(3)] == [first] * 3


def test_the_same_seed_gives_the_same_text_and_another_seed_another(engine: UnderTest) -> None:
    prompt = engine.chat("Hello!")
    texts = [engine.text(prompt, temperature=3.0, seed=seed) for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_without_a_seed_the_drawn_seed_is_reported_and_repeats_the_text(engine: UnderTest) -> None:
    prompt = engine.chat("Hello!")
    text, end = engine.generate(prompt, temperature=2.0)
    assert end.seed >= 0
    assert engine.text(prompt, temperature=2.0, seed=end.seed) == text


def test_pieces_are_whole_characters_and_make_up_the_text(engine: UnderTest) -> None:
    for seed in range(6):
        generation = engine.begin("🦙", temperature=5.0, seed=seed, max_new_tokens=120, ban_eos_token=True)
        pieces = list(generation.follow(gather=0))
        engine.finish(generation)
        assert "".join(pieces) == generation.text
        assert "\ufffd" not in generation.text
        generation.text.encode("utf-8")


def test_a_reply_ends_at_its_maximum_length(engine: UnderTest) -> None:
    for count in (1, 7):
        text, end = engine.generate(engine.chat(QUESTION), do_sample=False, max_new_tokens=count)
        assert (end.reason, end.generated_tokens) == ("length", count)
        assert text


def test_a_reply_ends_at_the_end_token(engine: UnderTest) -> None:
    text, end = engine.generate(engine.chat(QUESTION), do_sample=False, max_new_tokens=400)
    assert end.reason == "stop"
    assert end.generated_tokens < 400
    assert "<|im_end|>" not in text
    assert end.prompt_tokens > 5
    assert end.prefill_seconds >= 0
    assert end.decode_seconds > 0


def test_special_tokens_are_shown_on_request(engine: UnderTest) -> None:
    prompt = engine.chat(QUESTION)
    (end_token,) = engine.ask(Tokenize, "<|im_end|>", True)[-1:]
    bias = {"logit_bias": f"{end_token}:100", "ban_eos_token": False}
    shown, hidden = (engine.text(prompt, skip_special_tokens=skip, max_new_tokens=3, **bias) for skip in (False, True))
    assert hidden == ""
    assert shown in ("", "<|im_end|>")


@pytest.mark.parametrize("cut", [(3, 6), (1, 2), (5, 14)])
def test_a_stop_text_never_leaks(engine: UnderTest, cut: tuple[int, int]) -> None:
    prompt = engine.chat(QUESTION)
    whole = engine.greedy(prompt, max_new_tokens=60)
    stop = whole[cut[0] : cut[1]]
    generation = engine.begin(prompt, do_sample=False, max_new_tokens=60, stop=["never seen", stop])
    seen = list(generation.follow(gather=0))
    end = engine.finish(generation)
    assert end.reason == "stop_text"
    assert generation.text == "".join(seen) == whole[: whole.index(stop)]


def test_text_held_back_for_an_incomplete_stop_text_is_not_lost(engine: UnderTest) -> None:
    prompt = engine.chat(QUESTION)
    whole = engine.greedy(prompt, max_new_tokens=6)
    text, end = engine.generate(prompt, do_sample=False, max_new_tokens=6, stop=[whole[-3:] + "never seen"])
    assert (text, end.reason) == (whole, "length")


def test_cancel_ends_one_generation_and_the_next_is_correct(engine: UnderTest) -> None:
    prompt = engine.chat(QUESTION)
    expected = engine.greedy(prompt)
    room = engine.info.context - 200
    generation = engine.begin(prompt, ban_eos_token=True, max_new_tokens=room)
    wait_for_tokens(generation, 3)
    generation.cancel()
    end = engine.finish(generation)
    assert end.reason == "cancelled"
    assert 3 <= end.generated_tokens < room // 2
    assert generation.text
    assert engine.greedy(prompt) == expected


def test_a_second_turn_reads_only_what_is_new(engine: UnderTest) -> None:
    first = engine.chat(QUESTION)
    reply, end = engine.generate(first, do_sample=False, max_new_tokens=40)
    again, turn = engine.generate(engine.chat(QUESTION, reply, "And what is a token?"), do_sample=False)
    assert turn.prompt_tokens > end.prompt_tokens
    assert end.prompt_tokens <= turn.cached_tokens < turn.prompt_tokens
    engine.generate("Something else altogether, so that nothing is cached.", do_sample=False)
    fresh, unlike = engine.generate(engine.chat("Hi.", "Hello.", "Who are you?"), do_sample=False)
    assert unlike.cached_tokens < unlike.prompt_tokens
    assert again
    assert fresh


def test_cached_tokens_do_not_change_the_text(engine: UnderTest) -> None:
    prompt = engine.chat(QUESTION)
    engine.greedy("The cache holds something else now. " * 5)
    fresh, first = engine.generate(prompt, do_sample=False, max_new_tokens=40)
    cached, second = engine.generate(prompt, do_sample=False, max_new_tokens=40)
    assert second.cached_tokens >= first.cached_tokens
    assert cached == fresh


def test_parallel_generations_give_the_same_texts_as_separate_ones(engine: UnderTest) -> None:
    if engine.info.slots < 2:
        pytest.skip(f"{engine.spec.name}: takes one request at a time.")
    prompts = [engine.chat(QUESTION), engine.chat("What is a token?")]
    alone = [engine.greedy(prompt, max_new_tokens=40) for prompt in prompts]
    together = [engine.begin(prompt, do_sample=False, max_new_tokens=40) for prompt in prompts]
    for generation in together:
        engine.finish(generation)
    assert [generation.text for generation in together] == alone


def test_requests_above_the_slots_wait(engine: UnderTest) -> None:
    prompt = engine.chat(QUESTION)
    expected = engine.greedy(prompt)
    generations = [engine.begin(prompt, do_sample=False) for _ in range(engine.info.slots + 2)]
    assert all(generation.wait(SECONDS) for generation in generations)
    assert [generation.text for generation in generations] == [expected] * len(generations)


@pytest.mark.parametrize("text", [_TEXT, "Grüße, 漢字 and 🦙.", "two  spaces\n\nand lines"])
def test_tokenize_and_detokenize_restore_the_text(engine: UnderTest, text: str) -> None:
    tokens = engine.ask(Tokenize, text, False)
    assert tokens
    assert all(isinstance(token, int) for token in tokens)
    assert engine.ask(Detokenize, tokens).strip() == text


def test_names_of_special_tokens_are_text_unless_requested(engine: UnderTest) -> None:
    as_text, as_tokens = (engine.ask(Tokenize, "<|im_end|>", special) for special in (False, True))
    assert len(as_tokens) < len(as_text)


def test_a_chat_prompt_comes_from_the_models_template_and_counts_its_tokens(engine: UnderTest) -> None:
    answer = engine.ask(ChatPrompt, [{"role": "user", "content": QUESTION}])
    assert QUESTION in answer["prompt"]
    assert answer["prompt"].endswith("<|im_start|>assistant\n")
    assert answer["template"] == engine.info.template_source
    _, end = engine.generate(answer["prompt"], max_new_tokens=1)
    assert abs(end.prompt_tokens - answer["tokens"]) <= 1


def test_messages_get_the_same_answer_as_their_prompt(engine: UnderTest) -> None:
    expected, end = engine.generate(engine.chat(QUESTION), do_sample=False, max_new_tokens=24)
    params = SamplingParams(do_sample=False, max_new_tokens=24)
    messages = [{"role": "user", "content": QUESTION}]
    generation = engine.client.generate_chat(Generate("", params=params, messages=messages, overflow="cut"))
    assert engine.finish(generation).prompt_tokens == end.prompt_tokens
    assert generation.text == expected
    assert generation.prompted is not None
    assert abs(generation.prompted.tokens - end.prompt_tokens) <= 1


def test_a_prompt_that_is_too_long_is_cut_and_the_cut_is_reported(engine: UnderTest) -> None:
    tokens = len(engine.ask(Tokenize, _LONG, True))
    text, end = engine.generate(_LONG, do_sample=False, max_new_tokens=8)
    assert text
    assert end.cut_tokens > 0
    assert end.prompt_tokens + end.generated_tokens <= engine.info.context
    assert abs(end.prompt_tokens + end.cut_tokens - tokens) <= 2


def test_a_prompt_that_is_too_long_is_refused_on_request(engine: UnderTest) -> None:
    with pytest.raises(PromptError) as refused:
        engine.generate(_LONG, truncate=False)
    assert str(engine.info.context) in refused.value.message
    assert engine.greedy(engine.chat(QUESTION))


def test_a_full_context_ends_the_reply_and_says_so(engine: UnderTest) -> None:
    words = "one two three four five six seven eight nine ten " * 200
    tokens = engine.ask(Tokenize, words, False)[: engine.info.context - 30]
    prompt = engine.ask(Detokenize, tokens)
    _, end = engine.generate(prompt, ban_eos_token=True, max_new_tokens=1000, truncate=False)
    assert end.reason == "context"
    assert end.generated_tokens < 100


def test_next_token_probabilities_are_probabilities_or_unsupported(engine: UnderTest) -> None:
    prompt = engine.chat(QUESTION)
    try:
        likeliest = engine.ask(NextTokenProbabilities, prompt, 5)
    except Unsupported as error:
        pytest.skip(f"{engine.spec.name}: {error.message}")
    chances = [entry["probability"] for entry in likeliest]
    assert len(likeliest) == 5
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0
    assert sum(chances) <= 1.001
    assert engine.greedy(prompt, max_new_tokens=1).strip() == likeliest[0]["text"].strip()


def test_scored_logits_predict_the_next_token_or_are_unsupported(engine: UnderTest, tmp_path: Path) -> None:
    prompt = engine.chat(QUESTION)
    tokens = engine.ask(Tokenize, prompt, True)
    file = tmp_path / "logits.f32"
    try:
        answer = engine.ask(Score, [*tokens, tokens[0]], 3, str(file))
    except Unsupported as error:
        pytest.skip(f"{engine.spec.name}: {error.message}")
    assert answer["rows"] == len(tokens) - 2
    if "log_probabilities" in answer:
        assert len(answer["log_probabilities"]) == answer["rows"] and max(answer["log_probabilities"]) <= 0
        return
    logits = np.fromfile(file, dtype=np.float32).reshape(answer["rows"], answer["vocabulary"])
    # The last row predicts what comes after the prompt. Both sides may compute in another type.
    chances = np.exp(logits[-1] - logits[-1].max())
    chances /= chances.sum()
    likeliest = engine.ask(NextTokenProbabilities, prompt, 3)
    assert int(chances.argmax()) == likeliest[0]["token"]
    for entry in likeliest:
        assert chances[entry["token"]] == pytest.approx(entry["probability"], abs=0.03)
    assert not np.isclose(logits[0], logits[-1]).all()


def _dot(left: list[float], right: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def test_embeddings_have_length_one_and_rank_texts_or_are_unsupported(engine: UnderTest) -> None:
    texts = ["How do I load a model?", "How can I load a model?", "🦙🦙🦙 1234567890"]
    try:
        answer = engine.ask(Embed, texts)
    except Unsupported as error:
        assert "hoose another loader" in error.message or "Load a model" in error.message
        pytest.skip(f"{engine.spec.name}: {error.message}")
    same, near, far = answer["vectors"]
    assert len(same) == len(near) == len(far) > 1
    assert [math.hypot(*vector) for vector in (same, near, far)] == pytest.approx([1.0] * 3)
    assert _dot(same, near) > _dot(same, far)
    ids = [engine.ask(Tokenize, text, True) for text in texts]
    assert answer["tokens"] == sum(map(len, ids))
    by_ids = engine.ask(Embed, [ids[0]])
    assert by_ids["tokens"] == len(ids[0])
    assert _dot(by_ids["vectors"][0], same) > 0.999
    assert engine.greedy(engine.chat(QUESTION))


def test_what_cannot_be_embedded_is_a_sentence(engine: UnderTest) -> None:
    try:
        engine.ask(Embed, ["a"])
    except Unsupported as error:
        pytest.skip(f"{engine.spec.name}: {error.message}")
    with pytest.raises(PromptError, match="Input 1 to embed is empty"):
        engine.ask(Embed, ["a", ""])
    if engine.spec.name == "remote":
        return
    with pytest.raises(PromptError, match="no token with one of these ids"):
        engine.ask(Embed, [[1, 1_000_000]])
    with pytest.raises(PromptError, match="at most .* go at once"):
        engine.ask(Embed, [_LONG])
    assert len(engine.ask(Embed, ["a"])["vectors"]) == 1


def test_replies_come_with_the_log_probabilities_of_their_tokens(engine: UnderTest, tmp_path: Path) -> None:
    prompt = engine.chat(QUESTION)
    params = SamplingParams(max_new_tokens=12, do_sample=False)
    generation = engine.client.generate(prompt, params, top_logprobs=3)
    engine.finish(generation)
    if not engine.spec.logprobs:
        assert not generation.logprobs
        return
    entries = generation.logprobs
    assert b"".join(bytes(entry["bytes"]) for entry in entries).decode().strip() == generation.text.strip()
    for entry in entries:
        assert len(entry["top"]) == 3 and entry["top"][0]["token"] == entry["token"]
        scores = [top["logprob"] for top in entry["top"]]
        assert scores == sorted(scores, reverse=True) and entry["logprob"] == scores[0] <= 0
    if engine.spec.name == "remote":  # llama.cpp's server reports none of a prompt's tokens.
        return
    # The same tokens have the same probabilities in a prompt.
    start, file = engine.ask(Tokenize, prompt, True), tmp_path / "logits"
    tokens = [*start, *(entry["token"] for entry in entries)]
    answer = engine.ask(Score, tokens, len(start), str(file))
    rows = np.fromfile(file, dtype=np.float32).reshape(answer["rows"], answer["vocabulary"]).astype(np.float64)
    known = rows - np.log(np.exp(rows - rows.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
    known -= rows.max(axis=1, keepdims=True)
    picked = [row[entry["token"]] for row, entry in zip(known, entries, strict=True)]
    assert picked == pytest.approx([entry["logprob"] for entry in entries], abs=0.1)


def test_the_bytes_of_tokens_make_up_a_text(engine: UnderTest) -> None:
    if engine.spec.name == "remote":
        pytest.skip("remote: a server sends no bytes of tokens.")
    tokens = engine.ask(Tokenize, _TEXT)
    parts = engine.ask(Detokenize, tokens, True)
    assert b"".join(bytes(part) for part in parts).decode().strip() == _TEXT
    assert len(parts) == len(tokens)
