"""The cost of twenty enabled extensions: for a turn with string hooks, a streamed token, and switching one on."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Figure, median
from modules.chat.hook_state import Preamble
from modules.chat.messages import ChatOptions
from modules.chat.reply import Reply
from modules.chat.reply_saver import ReplySaver
from modules.chat.turn_hooks import TurnHooks
from modules.generation.generation import Generation
from modules.plugins.extension_settings import ExtensionSettings
from modules.plugins.manager import ExtensionManager
from modules.protocol.sampling import SamplingParams
from modules.runtime.model_state import ModelState
from modules.settings.user_settings import YamlStore

COUNT = 20
TURNS = 300
TOKENS = 20_000
ROUNDS = 9
CODE = """
def state_modifier(state):
    state["name1"] = state["name1"]

def input_modifier(string, state):
    return string + "."

def bot_prefix_modifier(string):
    return string

def output_modifier(string, state, is_chat):
    return string.strip()
"""


def run() -> Iterator[Figure]:
    """Measure ms per turn, µs per token more than without extensions, and ms to switch one on."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manager = _manager(folder)
        try:
            enabling = [_enable(manager, folder, number) for number in range(COUNT)]
            yield Figure("extensions", f"enable one of {COUNT}", max(enabling) * 1e3, "ms (worst)")
            _turn(manager)
            yield Figure(
                "extensions", f"turn, {COUNT} enabled", median([_turn(manager) for _ in range(TURNS)]) * 1e3, "ms"
            )
            pairs = [(_token_seconds(manager), _token_seconds(None)) for _ in range(ROUNDS)]
            added = median([with_them - without for with_them, without in pairs])
            yield Figure("extensions", "streamed token, added", added * 1e6, "us")
        finally:
            manager.close()


def _manager(folder: Path) -> ExtensionManager:
    saved = ExtensionSettings(YamlStore(folder / "extensions.yaml"))
    return ExtensionManager([folder / "extensions"], folder / "packages", folder / "data", saved, None)


def _enable(manager: ExtensionManager, folder: Path, number: int) -> float:
    """Return the seconds from an allowed folder to running hooks."""
    name = f"number{number}"
    place = folder / "extensions" / name
    place.mkdir(parents=True)
    (place / "extension.py").write_text(CODE)
    agreed = manager.find(name).sha256
    begin = time.perf_counter()
    manager.enable(name, agreed)
    return time.perf_counter() - begin


def _turn(manager: ExtensionManager) -> float:
    """Return the seconds of all hooks of one turn, from the typed message to the shown text."""
    begin = time.perf_counter()
    turn = TurnHooks(manager, "chat", [], SamplingParams(), ChatOptions(), Preamble(), ModelState())
    turn.user_message("What is quantization?")
    turn.prompt("What is quantization?", [], False)
    turn.pipeline.bot_prefix(turn.state)
    turn.final_text("It makes weights smaller.")
    return time.perf_counter() - begin


def _token_seconds(manager: ExtensionManager | None) -> float:
    """Return the host's seconds for one token of a stored reply, with the enabled extensions or without any."""
    saver = ReplySaver(lambda reply, last: True, 1.0, 1.0)
    generation = Generation("bench", "", SamplingParams(), lambda id: None)
    reply = Reply("chat", "message", generation=generation)
    if manager is not None:
        turn = TurnHooks(manager, "chat", [], SamplingParams(), ChatOptions(), Preamble(), ModelState())
        assert not turn.pipeline.stream_modifiers()

        def run_hooks(ended: Reply) -> bool:
            turn.final_text(generation.text)
            return False

        reply.on_end = run_hooks
    saver.follow(reply)
    try:
        begin = time.perf_counter()
        for _ in range(TOKENS):
            generation.feed(" token", 1)
        return (time.perf_counter() - begin) / TOKENS
    finally:
        saver.close()
