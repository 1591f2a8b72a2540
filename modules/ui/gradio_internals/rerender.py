"""Let the parts of a page that `gr.render` draws be drawn again while other requests use them.

Gradio draws such a part straight into the tables of its session, and deletes the functions of the former drawing at
once. Two parts that are drawn at the same time then change a table that the other one reads ("dictionary changed size
during iteration") or take the same number for two functions. And a button that the browser still shows calls a
function that is gone: the click is lost, and the log gets a KeyError.

Here a part is drawn into a copy of the tables, one part of a session at a time. The finished copy is then published,
and the functions of the last few drawings keep their numbers.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.blocks import BlocksConfig
from gradio.context import LocalContext
from gradio.renderable import Renderable
from starlette.exceptions import HTTPException

# Drawings of one part whose buttons still work. A browser shows the last drawing that arrived there.
_KEPT_DRAWINGS = 8
_OLD = "This part of the page was drawn again before your click arrived. Look at it once more, and press again."


Table = dict[int, BlockFunction]


class Functions(Table):
    """The functions of a page by their number. A number that is gone belongs to a page that is out of date."""

    def __missing__(self, number: int) -> BlockFunction:
        raise HTTPException(410, _OLD)


class _Session:
    """What one open page needs besides Gradio's own tables."""

    def __init__(self) -> None:
        self.drawing = threading.Lock()
        self.former: dict[Renderable, deque[list[int]]] = {}


_Sessions = WeakKeyDictionary[BlocksConfig, _Session]


def guard_rerenders(page: gr.Blocks) -> None:
    """Make each `gr.render` of a finished page safe to run at any time, from any thread."""
    config = page.default_config
    config.fns = Functions(config.fns)
    _guard(config.fns, WeakKeyDictionary())


def _guard(functions: Table, sessions: _Sessions) -> None:
    for function in functions.values():
        draw = function.fn
        if function.renderable is not None and draw is not None and not hasattr(draw, "guarded"):
            function.fn = _guarded(function.renderable, draw, sessions)


def _guarded(part: Renderable, draw: Callable[..., None], sessions: _Sessions) -> Callable[..., None]:
    @wraps(draw)
    def drawn(*given: Any, **named: Any) -> None:
        shown = LocalContext.blocks_config.get(None)
        if shown is None:
            return draw(*given, **named)
        session = sessions.setdefault(shown, _Session())
        with session.drawing:
            draft = copy.copy(shown)
            before = copy.copy(draft.blocks)
            LocalContext.blocks_config.set(draft)
            try:
                draw(*given, **named)
            finally:
                LocalContext.blocks_config.set(shown)
            # Another event may have changed other components since: only those of this drawing are written.
            made = {number: block for number, block in draft.blocks.items() if before.get(number) is not block}
            functions = _with_former(part, draft.fns, shown.fns, session)
            _guard(functions, sessions)
            # A reader of the old table of functions reads it to its end.
            shown.blocks.update(made)
            shown.fns, shown.fn_id, shown.renderables = functions, draft.fn_id, draft.renderables
        return None

    vars(drawn)["guarded"] = True
    return drawn


def _with_former(part: Renderable, fresh: Table, shown: Table, session: _Session) -> Functions:
    """The functions of a new drawing, and those of the drawings before it that are kept."""
    former = session.former.setdefault(part, deque())
    replaced = sorted(shown.keys() - fresh.keys())
    functions = Functions(fresh)
    for number in replaced:
        # It belongs to no drawing any more: Gradio neither sends it to the browser nor deletes it.
        shown[number].rendered_in = None
        functions[number] = shown[number]
    former.append(replaced)
    while len(former) > _KEPT_DRAWINGS:
        for number in former.popleft():
            functions.pop(number, None)
    return functions
