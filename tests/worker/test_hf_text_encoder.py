"""Pooling, dense layers and limits of models that only read. Runs in the environment of the transformers loader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="runs in the environment of a Transformers loader, which has torch")

from modules.protocol.errors import ModelError, PromptError  # noqa: E402
from modules.worker.hf.pooling import DenseLayer, pool  # noqa: E402
from modules.worker.hf.sentence_config import MODES, read_sentence_config  # noqa: E402
from modules.worker.hf.text_encoder import TextEncoder, reader_class  # noqa: E402
from tests.support.tiny_bert import CONTEXT, HIDDEN, write_embedder, write_reranker  # noqa: E402

CPU = torch.device("cpu")
HIDDEN_STATES = torch.tensor([[[1.0, 2.0], [3.0, -4.0], [9.0, 9.0]], [[1.0, 0.0], [2.0, 0.0], [6.0, 3.0]]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("mode", "first", "second"),
    [
        ("cls", [1.0, 2.0], [1.0, 0.0]),
        ("mean", [2.0, -1.0], [3.0, 1.0]),
        ("max", [3.0, 2.0], [6.0, 3.0]),
        ("lasttoken", [3.0, -4.0], [6.0, 3.0]),
        ("mean_sqrt_len_tokens", [4 / 2**0.5, -2 / 2**0.5], [9 / 3**0.5, 3 / 3**0.5]),
        ("weightedmean", [7 / 3, -2.0], [23 / 6, 1.5]),
    ],
)
def test_each_mode_pools_the_tokens_and_not_the_padding(mode: str, first: list[float], second: list[float]) -> None:
    found = pool(HIDDEN_STATES, MASK, (mode,)).tolist()
    assert found[0] == pytest.approx(first) and found[1] == pytest.approx(second)


def test_several_modes_are_put_one_after_another() -> None:
    assert set(MODES) >= {"cls", "mean"}
    assert pool(HIDDEN_STATES, MASK, ("cls", "mean"))[0].tolist() == pytest.approx([1.0, 2.0, 2.0, -1.0])


def _encoder(folder: Path, purpose: str = "embed", context: int = 8192) -> TextEncoder:
    from transformers import AutoConfig, AutoTokenizer

    model = reader_class(AutoConfig.from_pretrained(folder), purpose).from_pretrained(folder).eval()
    return TextEncoder(model, AutoTokenizer.from_pretrained(folder), folder, context, CPU)


def test_the_files_say_pooling_length_and_prompt(tmp_path: Path) -> None:
    folder = write_embedder(tmp_path / "m", "cls")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20}')
    prompts = {"prompts": {"query": "search: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    config = read_sentence_config(folder)
    assert (config.pooling, config.length, config.prompt, config.found) == (("cls",), 20, "search: ", True)
    encoder = _encoder(folder)
    assert encoder.limit == 20
    with_prompt, without = encoder.embed(["abc"]), encoder.embed([encoder.tokenize("abc", True)])
    assert with_prompt != without
    assert with_prompt[0] == pytest.approx(encoder.embed([encoder.tokenize("search: abc", True)])[0])
    with pytest.raises(PromptError, match="has 22 tokens; at most 20 go at once"):
        encoder.embed([[7] * 22])


def test_newer_files_name_the_modes(tmp_path: Path) -> None:
    folder = write_embedder(tmp_path / "m")
    file = folder / "1_Pooling" / "config.json"
    file.write_text('{"pooling_mode": "lasttoken"}')
    assert read_sentence_config(folder).pooling == ("lasttoken",)
    file.write_text('{"pooling_mode": ["cls", "mean"]}')
    assert read_sentence_config(folder).pooling == ("cls", "mean")
    file.write_text('{"pooling_mode": "attention"}')
    with pytest.raises(ModelError, match="pools by 'attention'"):
        read_sentence_config(folder)


def test_a_folder_without_these_files_is_averaged_with_a_note(tmp_path: Path) -> None:
    folder = write_embedder(tmp_path / "m", "cls")
    (folder / "modules.json").unlink()
    assert read_sentence_config(folder).pooling == ("cls",)  # the pooling's folder alone says it
    (folder / "1_Pooling" / "config.json").unlink()
    assert read_sentence_config(folder).pooling == ("mean",)
    assert "their mean is taken" in " ".join(_encoder(folder).describe("embed").notes)


@pytest.mark.parametrize(
    "step", [{"type": "sentence_transformers.models.CNN"}, {"type": "Pooling", "path": "../.."}, 3]
)
def test_a_step_that_is_not_known_is_a_sentence(tmp_path: Path, step: object) -> None:
    folder = write_embedder(tmp_path / "m")
    (folder / "modules.json").write_text(json.dumps([step]))
    with pytest.raises(ModelError, match="Choose another|Download the model again"):
        read_sentence_config(folder)


def test_a_dense_layer_follows_the_pooling(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = write_embedder(tmp_path / "m")
    steps = json.loads((folder / "modules.json").read_text())
    dense = folder / "2_Dense"
    dense.mkdir()
    (dense / "config.json").write_text('{"activation_function": "torch.nn.modules.activation.Tanh"}')
    weight, bias = torch.randn(4, HIDDEN), torch.randn(4)
    save_file({"linear.weight": weight, "linear.bias": bias}, dense / "model.safetensors")
    (folder / "modules.json").write_text(json.dumps([*steps, {"path": "2_Dense", "type": "models.Dense"}]))
    encoder = _encoder(folder)
    plain = write_embedder(tmp_path / "plain")
    expected = torch.tanh(torch.tensor(_encoder(plain).embed(["hello"])) @ weight.T + bias)
    assert encoder.embed(["hello"])[0] == pytest.approx(expected[0].tolist(), abs=1e-5)
    (dense / "config.json").write_text('{"activation_function": "os.system"}')
    with pytest.raises(ModelError, match="activation 'system'"):
        DenseLayer(dense, CPU)


def test_the_vector_of_a_text_does_not_depend_on_those_beside_it(tmp_path: Path) -> None:
    encoder = _encoder(write_embedder(tmp_path / "m"))
    texts = ["a", "some longer text with words", "b " * 60, "mid length", *(["x y"] * 40)]
    together = encoder.embed(texts)
    for text, vector in zip(texts[:4], together, strict=False):
        assert encoder.embed([text])[0] == pytest.approx(vector, abs=1e-5)


def test_the_context_setting_lowers_the_limit(tmp_path: Path) -> None:
    folder = write_reranker(tmp_path / "m")
    assert _encoder(folder, "rerank").limit == CONTEXT
    encoder = _encoder(folder, "rerank", context=16)
    found = encoder.rerank("a b", ["c", "d " * 50])
    assert found.cut == [1] and found.tokens == 16 + len(encoder.tokenize("a b c", True)) + 1
    with pytest.raises(PromptError, match="The query has 32 tokens, and this model reads 16"):
        encoder.rerank("a " * 30, ["c"])


def test_a_reranker_with_several_labels_is_refused(tmp_path: Path) -> None:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(write_reranker(tmp_path / "m"))
    config.num_labels = 3
    with pytest.raises(ModelError, match="has 3 labels"):
        reader_class(config, "rerank")


def test_positions_behind_the_padding_are_not_counted() -> None:
    """RoBERTa's positions begin behind the id of its padding."""
    from transformers import RobertaConfig, RobertaModel

    from modules.worker.hf.text_encoder import _positions

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=16, max_position_embeddings=34, pad_token_id=1, **sizes)
    model = RobertaModel(config, add_pooling_layer=False).eval()
    assert _positions(model) == 32
    with torch.inference_mode():
        model(input_ids=torch.full((1, 32), 5))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, 33), 5))
