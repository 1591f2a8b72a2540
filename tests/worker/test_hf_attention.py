"""Attention for bf16 prompts on the CPU, compared with torch's own. Runs in the Transformers environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="runs in the environment of a Transformers loader")
pytest.importorskip("transformers")

from modules.worker.hf.bf16_attention import attend, forward, install  # noqa: E402
from tests.worker.hf_tiny import write_model  # noqa: E402

READ, ALL, SIZE = 70, 300, 16


def _given(heads: int, groups: int) -> tuple[Any, Any, Any]:
    random = torch.Generator().manual_seed(0)
    made = [
        torch.randn(1, n, rows, SIZE, generator=random) for n, rows in ((heads, READ), (groups, ALL), (groups, ALL))
    ]
    return made[0].bfloat16(), made[1].bfloat16(), made[2].bfloat16()


def _mask(window: int | None = None) -> Any:
    places = torch.arange(ALL - READ, ALL)[:, None] - torch.arange(ALL)[None]
    return ((places >= 0) & (places < (window or ALL)))[None, None]


@pytest.mark.parametrize("heads, groups", [(4, 4), (8, 2)])
@pytest.mark.parametrize("window", [None, 100])
def test_the_error_is_that_of_bf16(heads: int, groups: int, window: int | None) -> None:
    query, key, value = _given(heads, groups)
    found = attend(query, key, value, _mask(window), SIZE**-0.5)
    many = [part.float().repeat_interleave(heads // groups, 1) for part in (key, value)]
    exact = torch.nn.functional.scaled_dot_product_attention(query.float(), *many, attn_mask=_mask(window))
    assert found.shape == (1, READ, heads, SIZE)
    assert torch.allclose(found.float(), exact.transpose(1, 2), atol=0.02)


def test_many_rows_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = _given(4, 4)
    whole = attend(query, key, value, _mask(), 0.25)
    monkeypatch.setattr("modules.worker.hf.bf16_attention._SCORES", 0)
    assert torch.allclose(attend(query, key, value, _mask(), 0.25).float(), whole.float(), atol=0.01)


def test_an_additive_mask_is_converted_to_bool() -> None:
    query, key, value = _given(4, 4)
    added = torch.zeros(1, 1, READ, ALL + 1, dtype=torch.bfloat16)
    added[..., :ALL].masked_fill_(~_mask(), torch.finfo(torch.bfloat16).min)
    read = forward(lambda *given, **more: ("usual", None))
    assert torch.equal(read(None, query, key, value, added)[0], attend(query, key, value, _mask(), SIZE**-0.5))
    added[..., 0] = 0.5
    assert read(None, query, key, value, added)[0] == "usual"


@pytest.mark.parametrize(
    "change",
    [{"mask": None}, {"more": {"softcap": 30.0}}, {"more": {"s_aux": 1}}, {"rows": 1}, {"type": "float32"}],
)
def test_unsupported_inputs_use_the_usual_attention(change: dict[str, Any]) -> None:
    query, key, value = _given(4, 4)
    if "type" in change:
        query, key, value = query.float(), key.float(), value.float()
    rows = change.get("rows", READ)
    mask = None if "mask" in change else _mask()[:, :, -rows:]
    usual = forward(lambda *given, **more: ("usual", given[4]))
    assert usual(None, query[:, :, -rows:], key, value, mask, **change.get("more", {}))[0] == "usual"


def test_a_model_with_it_is_as_exact_as_with_sdpa(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    write_model(tmp_path)
    tokens = torch.randint(5, 60, (1, 330), generator=torch.Generator().manual_seed(1))

    def logits(model: Any) -> Any:
        with torch.inference_mode():
            past = model(tokens[:, :260], use_cache=True).past_key_values
            return model(tokens[:, 260:], past_key_values=past).logits[0].float()

    model = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    exact = logits(model)
    usual = logits(model.bfloat16())
    install(model, torch.device("cpu"))
    ours = logits(model)
    assert not torch.equal(ours, usual)
    assert (ours - exact).abs().mean() < 1.2 * (usual - exact).abs().mean()
