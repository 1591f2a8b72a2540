"""Keeps the prefix of the prompt in the model's cache, so that a new turn reads only new tokens."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel
    from transformers.cache_utils import CacheLayerMixin, DynamicLayer

# The argument of `forward` for a model's state: of attention, Mamba and xLSTM, RWKV.
_STATES = ("past_key_values", "cache_params", "state")
# Models with a recurrent state that read several tokens after others exactly (tests/worker/test_hf_families.py tests
# each). Others give different results, and some forget the beginning.
_EXACT_IN_SLICES = frozenset(("lfm2", "qwen3_next"))
# Tokens. A full cache grows by a quarter, and by at least this many.
_LEAST_ROOM = 256


class PrefixCache:
    """The keys and values of one sequence of tokens, for one model.

    `tokens`: the tokens in the cache. An error in `read` clears it, so that both always agree. A cache that cannot be
    cropped, such as a sliding window or a recurrent state beyond the shared prefix, is cleared instead.

    A state-space model has its state under another name, and accepts more than one token only at the beginning. A model
    that returns no state reads all tokens again for each new one.
    """

    def __init__(self, model: PreTrainedModel, device: torch.device, image_token: int = 0) -> None:
        self._model, self._device = model, device
        # Negative tokens stand for images (image_input.py). The model gets this one in their place.
        self._image_token = image_token
        self._known = sys.maxsize
        accepts = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepts else {}
        self._name = next((name for name in _STATES if name in accepts), _STATES[0])
        # Transformers 4 needs the position in the text for state-space models and for models that accept images.
        parts = self._name != _STATES[0] or model.config is not model.config.get_text_config()
        self._positions = parts and "cache_position" in accepts
        self._appends = self._name == _STATES[0] and _reads_slices(model)
        self.clear()

    def beside(self, model: Any) -> PrefixCache:
        """Return a cache for another model, which moves to the device of this one, and to its data type unless it is
        packed. The other model reads tokens that it does not know as its first one."""
        dtype = {} if getattr(model, "is_quantized", False) else {"dtype": self._model.dtype}
        other = PrefixCache(model.to(device=self._device, **dtype), self._device)
        other._known = len(model.get_input_embeddings().weight)
        return other

    def clear(self) -> None:
        """Discard the tokens and their state."""
        self.tokens: list[int] = []
        self._cache: Any = None
        self._prompt: list[int] = []
        self._prompt_logits: Tensor | None = None

    @property
    def slices(self) -> bool:
        """True if a prompt can be read in several calls without extra cost."""
        return self._appends

    def reuse(self, prompt: list[int], spans: Sequence[tuple[int, int]] = ()) -> int:
        """Crop the cache to the prefix that it shares with `prompt`, and return the number of tokens that need no
        reading. `spans`: places in the prompt that are read as a whole.

        At least one token remains to be read, unless this same prompt was marked. `marked_logits` then has the logits
        after it, bit for bit those of the first time, so that a seed gives the same text again.
        """
        again = self._prompt_logits is not None and prompt == self._prompt
        keep = _common(self.tokens, prompt)
        if not (again and keep == len(prompt)):
            keep = min(keep, len(prompt) - 1)
            keep = next((first for first, end in spans if first < keep < end), keep)
            self._prompt, self._prompt_logits = [], None
        surplus = len(self.tokens) - keep
        restart = surplus and not _can_crop(self._cache)
        if keep == 0 or restart or (not self._appends and len(prompt) - keep > 1):
            self.clear()
            return 0
        if surplus:
            self._cache.crop(-surplus)
            del self.tokens[keep:]
        return keep

    def mark(self, logits: Tensor) -> None:
        """Store that the tokens in the cache are a prompt, and the logits after it."""
        # A copy, because it may be the last row of the tensor of a whole slice.
        self._prompt, self._prompt_logits = list(self.tokens), logits.clone()

    @property
    def marked_logits(self) -> Tensor:
        """The logits after the marked prompt. [vocabulary]"""
        assert self._prompt_logits is not None
        return self._prompt_logits

    def read(self, tokens: list[int], images: dict[str, Tensor] | None = None) -> Tensor:
        """Run the model on `tokens`, which follow those in the cache. Return the logits after the last,
        [vocabulary]. `images`: further input for the images in them."""
        last: Tensor = self._forward(tokens, self._last_only, images)[-1]
        return last

    def read_rows(self, tokens: list[int]) -> Tensor:
        """Run the model on `tokens`, as `read` does. Return the logits after each of them, [tokens, vocabulary]."""
        kept = {name: len(tokens) for name in self._last_only}
        return self._forward(tokens, kept, None)[-len(tokens) :]

    def drop(self, count: int) -> None:
        """Remove the last `count` tokens. `can_drop` says whether it can."""
        if count:
            self._cache.crop(-count)
            del self.tokens[-count:]

    @property
    def can_draft(self) -> bool:
        """True if the model reads several tokens after others, and its cache can drop the last ones again."""
        return self._appends and _can_crop(_new_cache(self._model))

    def can_drop(self, count: int) -> bool:
        """Return True if `count` tokens that are read now can be removed again."""
        return self._appends and self._cache is not None and _can_crop(self._cache, count)

    def _forward(self, tokens: list[int], kept: dict[str, int], images: dict[str, Tensor] | None) -> Tensor:
        begins = self._cache is None or (len(tokens) > 1 and not self._appends)
        read = [*self.tokens, *tokens] if begins else tokens
        if begins:
            self._cache = _new_cache(self._model) if self._name == _STATES[0] else None
        state = {self._name: self._cache}
        if self._positions and not begins:
            at = len(self.tokens)
            state["cache_position"] = torch.arange(at, at + len(read), device=self._device)
        ids = [token if 0 <= token < self._known else self._image_token for token in read]
        try:
            with torch.inference_mode():
                output = self._model(
                    input_ids=torch.tensor([ids], device=self._device),
                    use_cache=True,
                    return_dict=True,
                    **state,
                    **kept,
                    **(images or {}),
                )
        except BaseException:
            self.clear()
            raise
        self._cache = getattr(output, self._name, None)
        if self._cache is None:
            self._appends = False
        self.tokens.extend(tokens)
        logits: Tensor = output.logits[0]
        return logits


def _reads_slices(model: PreTrainedModel) -> bool:
    """Return True if the model can read several tokens after others: it has no recurrent state, or is known to work."""
    layers = getattr(_new_cache(model), "layers", [])
    recurrent = any("LinearAttention" in type(layer).__name__ for layer in layers)
    return not recurrent or getattr(model.config, "model_type", "") in _EXACT_IN_SLICES


def _common(left: list[int], right: list[int]) -> int:
    """Return the length of the common prefix."""
    for at, (one, other) in enumerate(zip(left, right)):  # noqa: B905 (the shorter one ends it)
        if one != other:
            return at
    return min(len(left), len(right))


def _new_cache(model: PreTrainedModel) -> DynamicCache:
    from transformers import DynamicCache

    try:
        cache = DynamicCache(config=model.config)
    except TypeError:  # Before Transformers 4.56.
        return _roomy_cache(DynamicCache)() if hasattr(DynamicCache(), "key_cache") else DynamicCache()
    layers = getattr(cache, "layers", [])
    if layers and all(type(layer).__name__ == "DynamicLayer" for layer in layers):
        roomy = _roomy_layer(type(layers[0]))
        cache.layers = [roomy() for _ in layers]
    return cache


# Layers with spare room for keys and values. Transformers' own caches copy all of them for every token, which takes a
# fifth of the time in a long chat. These append the new ones, and copy only when the room is full.


def _roomy_layer(plain: type[DynamicLayer]) -> type[DynamicLayer]:
    """Return a subclass of Transformers' DynamicLayer with spare room."""

    # Keys and values in Transformers 5, only the keys in 4.
    wanted = len(inspect.signature(plain.lazy_initialization).parameters) - 1

    class RoomyLayer(plain):  # type: ignore[misc]
        keys: Tensor
        values: Tensor

        def lazy_initialization(self, *states: Tensor) -> None:
            super().lazy_initialization(*states[:wanted])
            self.rooms: list[Tensor | None] = [None, None]

        def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            old = self.get_seq_length()
            self.rooms[0], self.keys = _appended(self.rooms[0], self.keys, old, key_states)
            self.rooms[1], self.values = _appended(self.rooms[1], self.values, old, value_states)
            return self.keys, self.values

    return RoomyLayer


def _roomy_cache(plain: type[DynamicCache]) -> type[DynamicCache]:
    """Return the same for DynamicCache before Transformers 4.54, which has lists of keys and values, not layers."""

    class RoomyCache(plain):  # type: ignore[misc]
        key_cache: list[Tensor]
        value_cache: list[Tensor]

        def __init__(self) -> None:
            super().__init__()
            self.rooms: dict[int, list[Tensor | None]] = {}

        def update(
            self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object, **__: object
        ) -> tuple[Tensor, Tensor]:
            old = self.get_seq_length(layer_idx)
            if not old:
                # The original handles the first tokens and skipped layers.
                super().update(key_states, value_states, layer_idx)
                return key_states, value_states
            if layer_idx == 0:
                self._seen_tokens += key_states.shape[-2]
            rooms = self.rooms.setdefault(layer_idx, [None, None])
            for place, (known, states) in enumerate(((self.key_cache, key_states), (self.value_cache, value_states))):
                rooms[place], known[layer_idx] = _appended(rooms[place], known[layer_idx], old, states)
            return self.key_cache[layer_idx], self.value_cache[layer_idx]

    return RoomyCache


def _appended(room: Tensor | None, known: Tensor, count: int, states: Tensor) -> tuple[Tensor, Tensor]:
    """Append `states` to the `count` tokens of `known`, which are in `room` if there is one. Return (room, used part).

    Shapes: [1, heads, tokens, width].
    """
    new = count + states.shape[-2]
    if room is None or new > room.shape[-2]:
        size = new + max(_LEAST_ROOM, new // 4)
        room = states.new_empty((*states.shape[:-2], size, states.shape[-1]))
        if count:
            room[..., :count, :] = known
    room[..., count:new, :] = states
    return room, room[..., :new, :]


def _can_crop(cache: object, ahead: int = 0) -> bool:
    """Return True if the newest tokens can be removed, also after `ahead` more. `crop` with a negative count does this
    in Transformers 4 and 5."""
    layers = getattr(cache, "layers", None)
    if layers is None:
        return type(cache).__name__ in ("DynamicCache", "RoomyCache")
    return all(_can_crop_layer(layer, ahead) for layer in layers)


def _can_crop_layer(layer: CacheLayerMixin, ahead: int) -> bool:
    if type(layer).__name__ == "DynamicSlidingWindowLayer":
        return bool(layer.get_seq_length() + ahead < layer.sliding_window)
    return type(layer).__name__ in ("DynamicLayer", "RoomyLayer")
