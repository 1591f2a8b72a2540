"""From a prompt with images to what a Transformers model reads: token ids, and tensors of pixels from its processor.

All images have the same token. For the prefix cache, the tokens of an image are negative numbers made from its content,
so two prompts share only images that are the same.
"""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from modules.protocol.errors import PromptError

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import PreTrainedModel, ProcessorMixin

_REMEMBERED = 8
_MOST_COUNTS = 512
# What a processor returns for each token of the prompt, beside the ids.
_TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")
# The engine makes these itself.
_OWN = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class PromptInput:
    """A prompt as tokens. `keys`: the same, with a number for each image's content in place of its tokens. `spans`:
    of each image, the place of its first token and that after its last one. `images`: their paths; `text`: the prompt.
    """

    tokens: list[int]
    keys: list[int]
    spans: tuple[tuple[int, int], ...] = ()
    images: tuple[str, ...] = ()
    text: str = ""


def text_input(tokens: list[int]) -> PromptInput:
    """Return the input for a prompt without images."""
    return PromptInput(tokens, tokens)


class ImageInput:
    """The processor of one model. `mark`: what stands for an image in a prompt; `token`: the id of its tokens.

    AudioInput (audio_input.py) does the same for sounds.
    """

    _what = "images"

    def __init__(self, processor: ProcessorMixin, model: PreTrainedModel, device: torch.device) -> None:
        self._processor, self._model, self._device = processor, model, device
        self.mark = self._find_mark()
        self.token = self._find_token()
        # Models that place images in a grid of positions, and keep the places of the last prompt. They read a prompt
        # with images as a whole.
        inner = getattr(model, "model", model)
        self._grid = inner if hasattr(inner, "get_rope_index") else None
        self._accepted = inspect.signature(model.forward).parameters
        self._known: OrderedDict[tuple[str, tuple[str, ...], int], PromptInput] = OrderedDict()
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self._newest: tuple[PromptInput, dict[str, Any]] | None = None
        # Prompts are counted on other threads than the engine's.
        self._lock = threading.Lock()

    def _find_mark(self) -> str:
        return image_mark(self._processor)

    def _find_token(self) -> int:
        found = token_id((self._model.config, self._processor), ("image_token_id", "image_token_index"))
        return self._named_token(self._processor.image_token) if found is None else found

    def _named_token(self, name: object) -> int:
        return int(self._processor.tokenizer.convert_tokens_to_ids(str(name)))

    def _inputs(self, paths: Sequence[str]) -> dict[str, object]:
        """Return the processor's arguments for these files. Raises PromptError."""
        return {"images": open_images(paths)}

    @property
    def needs_whole_prompts(self) -> bool:
        """True if a prompt with images cannot be read after a cached prefix."""
        return self._grid is not None

    def forget_places(self) -> None:
        """Before a prompt is read: forget where the images of the last prompt were."""
        if self._grid is not None:
            self._grid.rope_deltas = None

    def read(self, text: str, paths: Sequence[str], prefix: list[int]) -> PromptInput:
        """Return the input for a prompt with a mark for each of the images at `paths`.

        `prefix`: tokens that it must begin with. Raises PromptError.
        """
        key = (text, tuple(paths), len(prefix))
        with self._lock:
            if key not in self._known:
                self._known[key] = self._read(text, tuple(paths), prefix)
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
            self._known.move_to_end(key)
            return self._known[key]

    def tensors(self, prompt: PromptInput, begin: int, end: int) -> dict[str, Tensor]:
        """Return what the model's forward takes beside the ids of the prompt's tokens from `begin` to `end`."""
        with self._lock:
            newest = self._newest
        whole = newest[1] if newest and newest[0] is prompt else self._process(prompt.text, prompt.images)
        new = [path for path, (first, _) in zip(prompt.images, prompt.spans, strict=True) if first >= begin]
        if not new:
            return {}
        pixels = whole if len(new) == len(prompt.images) else self._process(self.mark * len(new), new)
        found = {name: value for name, value in pixels.items() if name not in (*_OWN, *_TOKEN_TYPES)}
        for name in _TOKEN_TYPES:
            if isinstance(types := whole.get(name), Tensor):
                added = len(prompt.tokens) - types.shape[1]
                found[name] = torch.nn.functional.pad(types, (added, 0))[:, begin:end]
        return {name: self._moved(value) for name, value in found.items() if name in self._accepted}

    def _read(self, text: str, paths: tuple[str, ...], prefix: list[int]) -> PromptInput:
        digests = [_digest(path) for path in paths]
        values = self._process(text, paths)
        tokens = [int(token) for token in values["input_ids"][0]]
        if tokens[: len(prefix)] != prefix:
            tokens = [*prefix, *tokens]
        places = [place for place, token in enumerate(tokens) if token == self.token]
        if not places:
            raise PromptError(
                f"The model's processor made no tokens of these {self._what}. Choose another loader for it."
            )
        counts = [len(places)] if len(paths) == 1 else [self._count(*pair) for pair in zip(paths, digests, strict=True)]
        if sum(counts) != len(places):  # the processor treats several images differently: they count as one
            together = hashlib.sha256(b"".join(digests)).digest()
            digests, counts = [together] * len(paths), [len(places), *[0] * (len(paths) - 1)]
        keys, spans, begin = list(tokens), list[tuple[int, int]](), 0
        for digest, count in zip(digests, counts, strict=True):
            own = places[begin : begin + count]
            for place in own:
                keys[place] = -1 - int.from_bytes(digest[:7], "big")
            spans.append((own[0], own[-1] + 1) if own else spans[-1] if spans else (0, 0))
            begin += count
        prompt = PromptInput(tokens, keys, tuple(spans), paths, text)
        self._newest = (prompt, values)
        return prompt

    def _count(self, path: str, digest: bytes) -> int:
        """Return how many tokens an image has."""
        if digest not in self._counts:
            ids = self._process(self.mark, [path])["input_ids"][0]
            self._counts[digest] = sum(int(token) == self.token for token in ids)
            while len(self._counts) > _MOST_COUNTS:
                self._counts.popitem(last=False)
        return self._counts[digest]

    def _process(self, text: str, paths: Sequence[str]) -> dict[str, Any]:
        inputs = self._inputs(paths)
        try:
            values = self._processor(text=[text], return_tensors="pt", add_special_tokens=False, **inputs)
        except (ValueError, RuntimeError) as error:
            raise PromptError(
                f"The model's processor cannot read these {self._what} ({error}). Attach other ones, or fewer.",
                detail=repr(error),
            ) from error
        return dict(values)

    def _moved(self, value: object) -> object:
        if not isinstance(value, Tensor):
            return value
        return value.to(self._device, self._model.dtype) if value.is_floating_point() else value.to(self._device)


def image_mark(processor: ProcessorMixin) -> str:
    """Return what stands for an image in a prompt for this processor."""
    mark = getattr(processor, "boi_token", None) or processor.image_token
    return str(getattr(mark, "content", mark))


def open_images(paths: Sequence[str]) -> list[Image]:
    """Return the images as Pillow has them, in RGB. Raises PromptError."""
    from PIL import Image

    images = []
    try:
        for path in paths:
            with Image.open(path) as image:
                images.append(image.convert("RGB"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PromptError(f"An image cannot be read ({reason}). Attach it again.") from None
    return images


def required(images: ImageInput | None) -> ImageInput:
    """Return `images`. Raises PromptError where the model has none."""
    if images is None:
        raise PromptError("This model takes no images and no sound. Leave them out.")
    return images


def token_id(holders: Iterable[object], names: Sequence[str]) -> int | None:
    """Return the id of the token that a file takes several times: the first of `names` that a holder has."""
    found = (getattr(holder, name, None) for holder in holders for name in names)
    return next((id for id in found if isinstance(id, int)), None)


def _digest(path: str) -> bytes:
    try:
        return hashlib.sha256(Path(path).read_bytes()).digest()
    except OSError as error:
        raise PromptError(f"A file cannot be read ({error.strerror}). Attach it again.") from None
