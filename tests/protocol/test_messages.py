"""Every message round-trips and is handled by the other side."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, get_args

import pytest

from modules.protocol import codec
from modules.protocol.commands import Command
from modules.protocol.errors import ERRORS, ProtocolError, error_from_code
from modules.protocol.events import Event, ModelInfo
from modules.protocol.sampling import SamplingParams
from modules.runtime.worker_client import WorkerClient
from modules.worker import serve

_VALUES: dict[str, Any] = {
    "str": 'ünï\n"\\\u2028🐎',
    "int": 7,
    "float": 0.5,
    "bool": True,
    "float | None": 0.25,
    "list[int]": [1, 2],
    "list[str]": ["a", ""],
    "list[str | list[int]]": ["a", [1, 2]],
    "Sequence[Mapping[str, Any]]": [{"role": "user", "content": "hi"}],
    "list[dict[str, Any]]": [{"kind": "vision"}],
    "list[dict[str, object]]": [{"name": "x", "settings": {}}],
    "list[ReplyLogprob]": [{"token": 1, "bytes": [104], "logprob": -0.5, "top": []}],
    "Mapping[str, Any]": {"a": [1, None]},
    "Mapping[str, object]": {"a": [1, None]},
    "dict[str, Any]": {"a": [1, None]},
    "dict[str, object]": {"a": [1, None]},
    "dict[str, float]": {"a": 0.5},
    "object": {"x": 1},
    "SamplingParams": SamplingParams(top_k=3, stop=["\n"]),
    "ModelInfo": ModelInfo(2048, notes=["A note."]),
}


def _example(kind: type) -> Any:
    return kind(**{field.name: _VALUES[str(field.type)] for field in dataclasses.fields(kind)})


@pytest.mark.parametrize("kind", get_args(Command), ids=lambda kind: kind.__name__)
def test_every_command_round_trips(kind: type) -> None:
    line = codec.encode(_example(kind))
    assert "\n" not in line
    assert codec.decode_command(line) == _example(kind)


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_round_trips(kind: type) -> None:
    line = codec.encode(_example(kind))
    assert "\n" not in line
    assert codec.decode_event(line) == _example(kind)


def test_the_worker_handles_every_command() -> None:
    source = inspect.getsource(serve)
    for kind in get_args(Command):
        assert f"{kind.__name__})" in source or f"{kind.__name__}," in source, kind.__name__


def test_the_host_handles_every_event() -> None:
    source = inspect.getsource(WorkerClient._event)
    for kind in get_args(Event):
        assert f"{kind.__name__})" in source or f"{kind.__name__}," in source, kind.__name__


@pytest.mark.parametrize(
    "line", ["", "nonsense", "[]", '{"type": "Nothing"}', '{"type": "Chunk"}', '{"type":"Chunk","x":1}']
)
def test_what_is_no_message_is_an_error_with_the_line(line: str) -> None:
    with pytest.raises(ProtocolError):
        codec.decode_event(line)


def test_a_lone_surrogate_does_not_break_the_stream() -> None:
    from modules.protocol.events import Chunk

    assert codec.decode_event(codec.encode(Chunk("1", "a\ud800b")).encode()).text == "a?b"  # type: ignore[union-attr]


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_keeps_its_kind_across_the_boundary(code: str) -> None:
    error = error_from_code(code, "A sentence.", detail="d", lower=("context",))
    assert type(error) is ERRORS[code]
    assert (error.message, error.detail, error.lower) == ("A sentence.", "d", ("context",))


def test_a_line_nested_too_deep_is_no_message() -> None:
    with pytest.raises(ProtocolError, match="Not a message"):
        codec.decode_event('{"type": "Log", "level": ' + "[" * 100_000)
