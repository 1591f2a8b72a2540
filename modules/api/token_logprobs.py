"""Log-probabilities of tokens in the two shapes of OpenAI's API: that of chats, and that of completions."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterable, Mapping
from typing import Any

from modules.api.body_fields import whole_field
from modules.protocol.errors import SettingError, Unsupported
from modules.protocol.loader_spec import LoaderSpec

MOST_TOP = 100
# What OpenAI's API sends for a probability of 0, since JSON has no infinity.
_NEVER = -9999.0
LOGPROB_FIELDS = frozenset({"logprobs", "top_logprobs", "best_of"})


def read_logprobs(body: Mapping[str, object], spec: LoaderSpec) -> int:
    """Return how many of the likeliest tokens a client wants for each token, 0 for none of them, or -1 without
    log-probabilities. Raises SettingError or Unsupported."""
    wanted = _wanted(body)
    if (wanted >= 0 or ranks_answers(body)) and not spec.logprobs:
        raise Unsupported(
            f"{spec.title} does not report the probabilities of tokens here. Leave 'logprobs' and 'best_of' out, or "
            "load the model with another loader."
        )
    return wanted


def ranks_answers(body: Mapping[str, object]) -> bool:
    """Return True if a client wants the best of several answers, which their log-probabilities show."""
    best = body.get("best_of")
    return isinstance(best, int) and best > 1


def _wanted(body: Mapping[str, object]) -> int:
    if "messages" not in body:
        return whole_field(body, "logprobs", -1, 0, MOST_TOP) if body.get("logprobs") is not False else -1
    asked = body.get("logprobs")
    if not isinstance(asked, (bool, type(None))):
        raise SettingError("'logprobs' of a chat must be true or false. 'top_logprobs' is the number of tokens.")
    top = whole_field(body, "top_logprobs", 0, 0, MOST_TOP)
    if top and not asked:
        raise SettingError("'top_logprobs' needs 'logprobs': true. Send it too.")
    return top if asked else -1


class TokenLogprobs:
    """Turns the entries of events.Chunk.logprobs into OpenAI's, a part at a time.

    The first entry of a prompt has the logprob None, because nothing predicts it.
    """

    def __init__(self, is_chat: bool) -> None:
        self._is_chat = is_chat
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def format(self, entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the field `logprobs` of a choice."""
        if self._is_chat:
            content = [{**_chat(one), "top_logprobs": [_chat(top) for top in one["top"]]} for one in entries]
            return {"content": content, "refusal": None}
        found: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for one in entries:
            found["tokens"].append(_text(one["bytes"]))
            known = one["logprob"] is not None
            found["token_logprobs"].append(_number(one["logprob"]) if known else None)
            found["top_logprobs"].append(_by_text(one["top"]) if known else None)
            found["text_offset"].append(self._offset)
            self._offset += len(self._decoder.decode(bytes(one["bytes"])))
        return found


def _chat(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": _text(entry["bytes"]), "logprob": _number(entry["logprob"]), "bytes": entry["bytes"]}


def _by_text(top: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return text -> ln p. Of several tokens with one text, the likeliest counts."""
    found: dict[str, float] = {}
    for entry in top:
        found.setdefault(_text(entry["bytes"]), _number(entry["logprob"]))
    return found


def _text(data: Iterable[int]) -> str:
    """Return the text of a token, or as in OpenAI's API its bytes where it is a part of a character."""
    raw = bytes(data)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def _number(logprob: float) -> float:
    return float(logprob) if math.isfinite(logprob) else _NEVER
