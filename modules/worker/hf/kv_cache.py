"""The prompt's prefix stays in the model's cache: a turn reads only what is new."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

# What a model calls the state that it keeps, by its forward: attention, Mamba and xLSTM, RWKV.
_STATES = ("past_key_values", "cache_params", "state")
# Models with a recurrent state that take several tokens after others exactly (tests/worker/test_hf_families.py tries
# each); others have their own way with it, and some forget the beginning.
_EXACT_IN_SLICES = frozenset(("lfm2", "qwen3_next"))
# Tokens: a cache that is full grows by a quarter, but by no less.
_LEAST_ROOM = 256


class PrefixCache:
    """The keys and values of one sequence of tokens, for one model.

    `tokens`: those the cache holds; an error in `read` empties it, so that both always agree. Cropping is only done to
    caches that can be cropped: a sliding window or a recurrent state past that place starts again instead.

    A state-space model keeps its state under another name, and takes more than one token at its beginning alone. A
    model that returns no state at all reads everything again for each token.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model, self._device = model, device
        accepts = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepts else {}
        self._name = next((name for name in _STATES if name in accepts), _STATES[0])
        # Transformers 4 wants to hear where in the text a state-space model is, and a model that takes images too.
        parts = self._name != _STATES[0] or model.config is not model.config.get_text_config()
        self._positions = parts and "cache_position" in accepts
        self._appends = self._name == _STATES[0] and _reads_slices(model)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.tokens: list[int] = []
        self._cache: Any = None
        self._prompt: list[int] = []
        self._prompt_logits: Tensor | None = None

    @property
    def slices(self) -> bool:
        """Whether a prompt may be read in several calls at no cost."""
        return self._appends

    def reuse(self, prompt: list[int]) -> int:
        """Crop to what `prompt` shares with the tokens known, and say how many of its tokens need not be read.

        At least one is left to read, unless this very prompt was marked: then `marked_logits` has the logits after it,
        the same bits as the first time, so that one seed gives one text.
        """
        again = self._prompt_logits is not None and prompt == self._prompt
        keep = _common(self.tokens, prompt)
        if not (again and keep == len(prompt)):
            keep = min(keep, len(prompt) - 1)
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
        """The tokens known are a prompt, and these are the logits after it."""
        # A copy: it may be the last row of a tensor that holds all of a slice.
        self._prompt, self._prompt_logits = list(self.tokens), logits.clone()

    @property
    def marked_logits(self) -> Tensor:
        """The logits after the marked prompt. [vocabulary]"""
        assert self._prompt_logits is not None
        return self._prompt_logits

    def read(self, tokens: list[int]) -> Tensor:
        """Run the model over `tokens`, which follow those known. Logits after the last of them, [vocabulary]."""
        begins = self._cache is None or (len(tokens) > 1 and not self._appends)
        read = [*self.tokens, *tokens] if begins else tokens
        if begins:
            self._cache = _new_cache(self._model) if self._name == _STATES[0] else None
        state = {self._name: self._cache}
        if self._positions and not begins:
            at = len(self.tokens)
            state["cache_position"] = torch.arange(at, at + len(read), device=self._device)
        try:
            with torch.inference_mode():
                output = self._model(
                    input_ids=torch.tensor([read], device=self._device),
                    use_cache=True,
                    return_dict=True,
                    **state,
                    **self._last_only,
                )
        except BaseException:
            self.clear()
            raise
        self._cache = getattr(output, self._name, None)
        if self._cache is None:
            self._appends = False
        self.tokens.extend(tokens)
        logits: Tensor = output.logits[0, -1]
        return logits


def _reads_slices(model: Any) -> bool:
    """Whether the model may be given several tokens after others: it has no recurrent state, or is known to."""
    layers = getattr(_new_cache(model), "layers", [])
    recurrent = any("LinearAttention" in type(layer).__name__ for layer in layers)
    return not recurrent or getattr(model.config, "model_type", "") in _EXACT_IN_SLICES


def _common(left: list[int], right: list[int]) -> int:
    """How many tokens both begin with."""
    for at, (one, other) in enumerate(zip(left, right)):  # noqa: B905 (the shorter one ends it)
        if one != other:
            return at
    return min(len(left), len(right))


def _new_cache(model: Any) -> Any:
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


# Keys, and values, of a layer with room to grow: Transformers' own caches copy all of them for every token, which costs
# a fifth of the time in a long chat; these write the new ones behind the others and copy when the room is full.


def _roomy_layer(plain: Any) -> Any:
    """Transformers' DynamicLayer with room to grow."""

    # Keys and values in Transformers 5, the keys alone in 4.
    wanted = len(inspect.signature(plain.lazy_initialization).parameters) - 1

    class RoomyLayer(plain):  # type: ignore[misc]
        keys: Tensor
        values: Tensor

        def lazy_initialization(self, *states: Tensor) -> None:
            super().lazy_initialization(*states[:wanted])
            self.rooms: list[Tensor | None] = [None, None]

        def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            old = self.get_seq_length()
            self.rooms[0], self.keys = _appended(self.rooms[0], self.keys, old, key_states)
            self.rooms[1], self.values = _appended(self.rooms[1], self.values, old, value_states)
            return self.keys, self.values

    return RoomyLayer


def _roomy_cache(plain: Any) -> Any:
    """The same for the DynamicCache of Transformers before 4.54, which has no layers but lists of keys and values."""

    class RoomyCache(plain):  # type: ignore[misc]
        key_cache: list[Tensor]
        value_cache: list[Tensor]

        def __init__(self) -> None:
            super().__init__()
            self.rooms: dict[int, list[Tensor | None]] = {}

        def update(
            self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
        ) -> tuple[Tensor, Tensor]:
            old = self.get_seq_length(layer_idx)
            if not old:
                # The first ones, and layers that are passed over, are as they are there.
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
    """`states` behind the `count` tokens known, which lie in `room` if there is one. (The room, its part in use.)

    [1, heads, tokens, width] each."""
    new = count + states.shape[-2]
    if room is None or new > room.shape[-2]:
        size = new + max(_LEAST_ROOM, new // 4)
        room = states.new_empty((*states.shape[:-2], size, states.shape[-1]))
        if count:
            room[..., :count, :] = known
    room[..., count:new, :] = states
    return room, room[..., :new, :]


def _can_crop(cache: Any) -> bool:
    """Whether the newest tokens can be taken off again. A negative count to `crop` does so in Transformers 4 and 5."""
    layers = getattr(cache, "layers", None)
    if layers is None:
        return type(cache).__name__ in ("DynamicCache", "RoomyCache")
    return all(_can_crop_layer(layer) for layer in layers)


def _can_crop_layer(layer: Any) -> bool:
    if type(layer).__name__ == "DynamicSlidingWindowLayer":
        return bool(layer.get_seq_length() < layer.sliding_window)
    return type(layer).__name__ in ("DynamicLayer", "RoomyLayer")
