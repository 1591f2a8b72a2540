"""Models of Transformers that see images: tiny, with random weights. Runs in a Transformers loader's environment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("PIL", reason="runs in the environment of the Transformers loader")
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from loaders.transformers.spec import Settings  # noqa: E402
from loaders.transformers.worker import Engine  # noqa: E402
from modules.protocol.commands import Generate  # noqa: E402
from modules.protocol.errors import PromptError  # noqa: E402
from modules.protocol.events import ModelInfo, Prompted  # noqa: E402
from modules.protocol.sampling import SamplingParams  # noqa: E402
from modules.worker.chat_prompts import ChatPrompts  # noqa: E402
from modules.worker.engine import Outcome  # noqa: E402
from modules.worker.hf.auto_class import text_only_note  # noqa: E402
from modules.worker.hf.image_processor import IMAGES  # noqa: E402
from modules.worker.template_process import TemplateProcess  # noqa: E402
from tests.support.llava_maker import TOKENS, make  # noqa: E402
from tests.support.pictures import BLUE, RED, png  # noqa: E402
from tests.worker.hf_tiny import byte_level, wrapped, write_model  # noqa: E402

EXACT: dict[str, Any] = {"dtype": "float32", "threads": 1, "context": 200}
PARAMS = SamplingParams(do_sample=False, ban_eos_token=True, max_new_tokens=8)


class Seeing:
    """A loaded engine, asked as a worker asks it. `kind`: the type of the parts that are files."""

    kind = "image"

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.engine = Engine()
        self.templates = TemplateProcess()
        self.info: ModelInfo = self.engine.load(folder, Settings(**{**EXACT, **settings}), lambda text, part: None)

    def prepare(self, *turns: Any, params: SamplingParams = PARAMS, **more: Any) -> tuple[Generate, Prompted]:
        """Return the request for a chat: each turn a text, or a list of texts and paths of images."""
        roles = ("user", "assistant")
        messages = [
            {
                "role": roles[place % 2],
                "content": turn if isinstance(turn, str) else [self._part(one) for one in turn],
            }
            for place, turn in enumerate(turns)
        ]
        chat = Generate("1", params=params, messages=messages, logprobs=0, **more)
        return ChatPrompts(self.engine, self.templates).prepare(chat, self.info)

    def _part(self, part: str | Path) -> dict[str, str]:
        return {"type": self.kind, "path": str(part)} if isinstance(part, Path) else {"type": "text", "text": part}

    def reply(self, *turns: Any, **more: Any) -> tuple[str, list[float], Outcome]:
        """Return the text of a reply, the log-probabilities of its tokens, and how it ended."""
        request, _ = self.prepare(*turns, **more)
        running = self.engine.generate(request, threading.Event())
        text, chances = "", list[float]()
        while True:
            try:
                piece = next(running)
            except StopIteration as end:
                return text, chances, end.value
            text += piece.text
            chances += [entry["logprob"] for entry in piece.logprobs]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a red and a blue picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in (("red", RED), ("blue", BLUE)):
        (folder / f"{name}.png").write_bytes(png(colour, 40, 30))
    return folder / "red.png", folder / "blue.png"


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llava")
    make(str(write_model(folder / "llama", byte_level())), str(folder / "llava"))
    return folder / "llava"


@pytest.fixture(scope="module")
def sees(llava: Path) -> Seeing:
    return Seeing(llava)


def test_different_pictures_give_different_logits_and_the_same_one_the_same(
    sees: Seeing, pictures: tuple[Path, Path]
) -> None:
    assert sees.info.sees_images and sees.info.notes == []
    red, blue, again = (sees.reply([path, "What is this?"]) for path in (*pictures, pictures[0]))
    assert red[1] != blue[1]
    assert again[0] == red[0]
    assert again[1] == pytest.approx(red[1], abs=1e-3)  # read in other slices, as the beginning was cached


def test_logits_are_those_of_transformers(sees: Seeing, pictures: tuple[Path, Path]) -> None:
    from PIL import Image
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(sees.engine.tokenizer.name_or_path)
    request, _ = sees.prepare([pictures[1], "What is this?"])
    inputs = processor(
        text=[request.prompt], images=[Image.open(pictures[1])], return_tensors="pt", add_special_tokens=False
    )
    with torch.inference_mode():
        logits = sees.engine.model(**inputs).logits[0, -1]
    token = int(logits.argmax())
    _, chances, outcome = sees.reply([pictures[1], "What is this?"])
    assert outcome.prompt_tokens == inputs["input_ids"].shape[1]
    if token != sees.engine.tokenizer.eos_token_id:
        assert chances[0] == pytest.approx(float(logits.log_softmax(-1)[token]), abs=1e-4)


def test_its_tokens_are_counted_before_and_after(sees: Seeing, pictures: tuple[Path, Path]) -> None:
    _, text = sees.prepare("\nWhat is this?")
    _, prompted = sees.prepare([pictures[0], "What is this?"])
    assert prompted.tokens == text.tokens + TOKENS
    assert sees.reply([pictures[0], "What is this?"])[2].prompt_tokens == prompted.tokens


def test_the_next_turn_reads_no_picture_again(sees: Seeing, pictures: tuple[Path, Path]) -> None:
    text, _, first = sees.reply([pictures[1], "What is this?"])
    second = sees.reply([pictures[1], "What is this?"], text, "And why?")
    assert second[2].cached_tokens >= first.prompt_tokens
    fresh = Seeing(Path(sees.engine.tokenizer.name_or_path))
    assert fresh.reply([pictures[1], "What is this?"], text, "And why?")[1] == pytest.approx(second[1], abs=1e-3)


def test_another_picture_in_the_same_place_is_read(sees: Seeing, pictures: tuple[Path, Path]) -> None:
    sees.reply([pictures[1], "What is this?"])
    begin = sees.prepare([pictures[0], "What is this?"])[0].prompt.index("<image>")
    other = sees.reply([pictures[0], "What is this?"])
    assert other[2].cached_tokens <= begin


def test_a_later_picture_is_read_after_a_cached_one(sees: Seeing, pictures: tuple[Path, Path]) -> None:
    turns = [[pictures[0], "One"], "Yes", [pictures[1], "Two"]]
    sees.reply(turns[0])
    second = sees.reply(*turns)
    assert second[2].cached_tokens > TOKENS
    fresh = Seeing(Path(sees.engine.tokenizer.name_or_path)).reply(*turns)
    assert fresh[1] == pytest.approx(second[1], abs=1e-3)
    swapped = sees.reply([pictures[1], "One"], "Yes", [pictures[0], "Two"])
    assert swapped[1] != second[1]


def test_text_alone_is_read_as_by_the_llama(sees: Seeing, tmp_path: Path) -> None:
    plain = Seeing(write_model(tmp_path / "llama", byte_level()))
    params = SamplingParams(do_sample=False, max_new_tokens=6)
    prompts = [Generate("1", "The quick brown", params, logprobs=0)] * 2
    texts = []
    for one, request in zip((sees, plain), prompts, strict=True):
        texts.append("".join(piece.text for piece in one.engine.generate(request, threading.Event())))
    assert texts[0] == texts[1]


def test_prompts_in_slices_with_pictures_agree(llava: Path, sees: Seeing, pictures: tuple[Path, Path]) -> None:
    turns = ["Hello", "Yes", [pictures[0], "What is this, and why is it so long a question?"]]
    sliced = Seeing(llava, prefill=8).reply(*turns)
    assert sliced[1] == pytest.approx(sees.reply(*turns)[1], abs=1e-3)


def test_a_prompt_with_a_picture_is_never_cut(llava: Path, pictures: tuple[Path, Path]) -> None:
    small = Seeing(llava, context=64)
    with pytest.raises(PromptError, match="and the context takes 64"):
        small.reply([pictures[0], "word " * 80])


def test_a_damaged_picture_gets_a_sentence(sees: Seeing, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(RED)[:60])
    with pytest.raises(PromptError, match="An image cannot be read"):
        sees.prepare([tmp_path / "a.png", "What is this?"])
    with pytest.raises(PromptError, match="cannot be read"):
        sees.prepare([tmp_path / "gone.png", "What is this?"])


def test_images_can_be_switched_off(llava: Path, pictures: tuple[Path, Path]) -> None:
    blind = Seeing(llava, images=False)
    assert not blind.info.sees_images and blind.info.notes == [text_only_note(IMAGES)]
    assert blind.info.parameters < Seeing(llava).info.parameters
    with pytest.raises(PromptError, match="does not see images"):
        blind.prepare([pictures[0], "What is this?"])


def test_a_model_without_a_processor_answers_text_and_says_why(llava: Path, tmp_path: Path) -> None:
    check_without_processor(llava, tmp_path, IMAGES)


def check_without_processor(model: Path, folder: Path, takes: str) -> None:
    """Check that the model without its processor, in a `folder` of links, answers text and says why."""
    for file in model.iterdir():
        if "processor" not in file.name:
            (folder / file.name).symlink_to(file)
    info = Seeing(folder).info
    assert not info.sees_images and not info.audio_formats
    why = f"Its folder has no preprocessor_config.json, so {takes} cannot be prepared for it."
    assert info.notes == [f"{text_only_note(takes)} {why}"]


_TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
_VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "initializer_range": 0.3,
}


def _write(
    folder: Path, config: Any, tokenizer: Any, image: str, processor: dict[str, Any], own: dict[str, Any]
) -> Path:
    """Write a model with random weights. `image`: what its template writes for an image; `processor`, `own`: the
    contents of preprocessor_config.json and processor_config.json."""
    import transformers

    torch.manual_seed(0)
    model = transformers.AutoModelForImageTextToText.from_config(config)
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and ("vision" in name or "visual" in name or "projector" in name or "connector" in name):
            weight.data = 0.3 * torch.randn_like(weight)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    if own:
        (folder / "processor_config.json").write_text(json.dumps(own))
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
        "{% else %}{% for part in m['content'] %}{% if part['type'] == 'image' %}" + image + "{% else %}"
        "{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return folder


def _tokenizer(*names: str, **attributes: str) -> tuple[Any, dict[str, int]]:
    """Return a tokenizer with these special tokens, and their ids. `attributes`: names that it has for some of them."""
    tokenizer = wrapped(byte_level())
    tokenizer.add_tokens(list(names), special_tokens=True)
    if attributes:
        tokenizer._set_model_specific_special_tokens(special_tokens=attributes)
    return tokenizer, dict(zip(names, tokenizer.convert_tokens_to_ids(list(names)), strict=True))


def _write_qwen(folder: Path) -> Path:
    """Write a tiny Qwen2-VL: positions in a grid, and a processor that also reads videos."""
    import transformers

    tokenizer, ids = _tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    config = transformers.Qwen2VLConfig(
        text_config={**_TEXT, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "num_heads": 2,
            "hidden_size": 64,
            "patch_size": 14,
            "mlp_ratio": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        bos_token_id=0,
        eos_token_id=1,
    )
    sizes = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2, "min_pixels": 784, "max_pixels": 50176}
    values = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor", **sizes}
    return _write(folder, config, tokenizer, "<|vision_start|><|image_pad|><|vision_end|>", values, {})


def _write_smolvlm(folder: Path) -> Path:
    """Write a tiny SmolVLM: an image is cut into tiles with names between them, and videos want two packages."""
    import transformers

    tokenizer, ids = _tokenizer("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    config = transformers.SmolVLMConfig(
        text_config={"model_type": "llama", **_TEXT, "vocab_size": len(tokenizer)},
        vision_config=_VISION,
        scale_factor=1,
        image_token_id=ids["<image>"],
        pad_token_id=0,
    )
    sizes = {"size": {"longest_edge": 56}, "max_image_size": {"longest_edge": 28}, "do_image_splitting": True}
    values = {"image_processor_type": "SmolVLMImageProcessor", "processor_class": "SmolVLMProcessor", **sizes}
    own = {"processor_class": "SmolVLMProcessor", "image_seq_len": 4}
    return _write(folder, config, tokenizer, "<image>", values, own)


def _write_gemma(folder: Path) -> Path:
    """Write a tiny Gemma 3: the mark of an image is another token than those that the image takes."""
    import transformers

    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer, ids = _tokenizer(*names.values(), **names)
    config = transformers.Gemma3Config(
        text_config={**_TEXT, "head_dim": 16, "vocab_size": len(tokenizer), "sliding_window": 256},
        vision_config={**_VISION, "model_type": "siglip_vision_model"},
        mm_tokens_per_image=4,
        boi_token_index=ids["<start_of_image>"],
        eoi_token_index=ids["<end_of_image>"],
        image_token_index=ids["<image_soft_token>"],
    )
    values = {
        "image_processor_type": "Gemma3ImageProcessor",
        "processor_class": "Gemma3Processor",
        "size": {"height": 28, "width": 28},
    }
    own = {"processor_class": "Gemma3Processor", "image_seq_length": 4}
    return _write(folder, config, tokenizer, "<start_of_image>", values, own)


_FAMILIES: dict[str, Callable[[Path], Path]] = {
    "qwen2_vl": _write_qwen,
    "smolvlm": _write_smolvlm,
    "gemma3": _write_gemma,
}


@pytest.mark.parametrize("family", _FAMILIES)
def test_other_families_see_without_packages_for_videos(
    family: str, tmp_path: Path, pictures: tuple[Path, Path]
) -> None:
    folder = _FAMILIES[family](tmp_path / family)
    sees = Seeing(folder)
    assert sees.info.sees_images, sees.info.notes
    red, blue = (sees.reply([path, "What is this?"]) for path in pictures)
    assert red[1] != blue[1]
    turns = [[pictures[1], "What is this?"], blue[0], "And why?"]
    second = sees.reply(*turns)
    text = sees.reply("Text alone", params=PARAMS)
    assert sees.reply(*turns)[1] == pytest.approx(second[1], abs=1e-3)
    assert sees.reply("Text alone", params=PARAMS)[1] == pytest.approx(text[1], abs=1e-3)
    fresh = Seeing(folder)
    assert fresh.reply("Text alone", params=PARAMS)[1] == pytest.approx(text[1], abs=1e-3)
    assert fresh.reply(*turns)[1] == pytest.approx(second[1], abs=1e-3)
