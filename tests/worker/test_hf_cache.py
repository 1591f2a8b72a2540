"""The prefix cache gives the same logits after appends and crops as after one full read."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="runs in the environment of a Transformers loader")
pytest.importorskip("transformers")

from modules.worker.hf.kv_cache import PrefixCache  # noqa: E402
from tests.worker.hf_tiny import write_model  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a tiny Llama in 32 bits."""
    from transformers import AutoModelForCausalLM

    folder = write_model(tmp_path_factory.mktemp("tiny"), max_position_embeddings=1024)
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def test_a_grown_and_cropped_cache_gives_the_logits_of_a_full_read(model: Any) -> None:
    tokens = torch.randint(5, 60, (800,), generator=torch.Generator().manual_seed(0)).tolist()
    cache = PrefixCache(model, torch.device("cpu"))

    def as_exact(logits: Any) -> bool:
        with torch.inference_mode():
            whole = model(torch.tensor([cache.tokens])).logits[0, -1]
        return bool(torch.allclose(whole, logits, atol=1e-3))

    assert as_exact(cache.read(tokens[:100]))
    # Beyond the allocated room: token by token, and with a slice that is longer than the room.
    for token in tokens[100:420]:
        logits = cache.read([token])
    assert as_exact(logits)
    assert as_exact(cache.read(tokens[420:780]))
    other = [*tokens[:250], *tokens[780:]]
    assert cache.reuse(other) == 250
    assert as_exact(cache.read(other[250:]))
    assert cache.tokens == other


def test_rows_of_a_draft_are_the_logits_of_single_reads_and_can_be_dropped(model: Any) -> None:
    tokens = torch.randint(5, 60, (60,), generator=torch.Generator().manual_seed(1)).tolist()
    one, several = PrefixCache(model, torch.device("cpu")), PrefixCache(model, torch.device("cpu"))
    for cache in (one, several):
        cache.read(tokens[:50])
    assert several.can_draft and several.can_drop(8)
    rows = several.read_rows([*tokens[50:54], 7, 8])
    expected = torch.stack([one.read([token]) for token in tokens[50:54]])
    assert torch.allclose(rows[:4], expected, atol=1e-3)
    several.drop(2)
    assert several.tokens == one.tokens
    assert torch.allclose(several.read(tokens[54:]), one.read(tokens[54:]), atol=1e-3)


def test_memory_is_not_reallocated_for_each_token(model: Any) -> None:
    cache = PrefixCache(model, torch.device("cpu"))
    cache.read(list(range(5, 55)))
    cache.read([5])

    def where() -> int:
        held = cache._cache
        keys = held.key_cache[0] if hasattr(held, "key_cache") else held.layers[0].keys
        return int(keys.data_ptr())

    before = where()
    for token in range(5, 55):
        cache.read([token])
    assert where() == before
