"""Make it safe to draw a part of the page again, with `gr.render`, while other requests use it.

Leans on the tables of a session (`BlocksConfig`: `blocks`, `fns`, `fn_id`, `renderables`), on
`LocalContext.blocks_config`, which names the tables to draw into, and on `BlockFunction.renderable` and `rendered_in`.

Gradio draws such a part into the tables of its session, and deletes the functions of the drawing before at once. Two
parts that are drawn at the same time change a table while the other one reads it ("dictionary changed size during
iteration"), or use the same number for two functions. And a button that the browser still shows calls a function that
was deleted: the click is lost, and the log gets a KeyError.

Here a part is drawn into a copy of the tables, one part of a session at a time. The complete copy is then published,
and the functions of the last drawings keep their numbers.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable
from functools import wraps
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.blocks import BlocksConfig
from gradio.context import LocalContext
from gradio.renderable import Renderable
from starlette.exceptions import HTTPException

from modules.ui.gradio_internals.hidden_progress import name_no_component

# How many drawings of one part keep working buttons. A browser shows the last drawing that it received.
_KEPT_DRAWINGS = 8
_OUTDATED = "This part of the page changed before your click arrived. Check it, then press the button again."


Table = dict[int, BlockFunction]


class Functions(Table):
    """The functions of a page by their number. An unknown number comes from a page that is out of date."""

    def __missing__(self, number: int) -> BlockFunction:
        raise HTTPException(410, _OUTDATED)


class _Session:
    """What one open page needs in addition to Gradio's tables."""

    def __init__(self) -> None:
        self.drawing = threading.Lock()
        self.former: dict[Renderable, deque[list[int]]] = {}


_Sessions = WeakKeyDictionary[BlocksConfig, _Session]


def guard_rerenders(page: gr.Blocks) -> None:
    """Make each `gr.render` of a finished page safe to run at any time and from any thread. The progress of hidden
    events costs nothing, on the page and in what is drawn later."""
    config = page.default_config
    config.fns = Functions(config.fns)
    _guard(config.fns, WeakKeyDictionary())


def _guard(functions: Table, sessions: _Sessions) -> None:
    name_no_component(functions.values())
    for function in functions.values():
        draw = function.fn
        if function.renderable is not None and draw is not None and not hasattr(draw, "guarded"):
            function.fn = _guarded(function.renderable, draw, sessions)


def _guarded(part: Renderable, draw: Callable[..., None], sessions: _Sessions) -> Callable[..., None]:
    @wraps(draw)
    def drawn(*args: object, **kwargs: object) -> None:
        shown = LocalContext.blocks_config.get(None)
        if shown is None:
            return draw(*args, **kwargs)
        session = sessions.setdefault(shown, _Session())
        with session.drawing:
            draft = copy.copy(shown)
            before = copy.copy(draft.blocks)
            LocalContext.blocks_config.set(draft)
            try:
                draw(*args, **kwargs)
            finally:
                LocalContext.blocks_config.set(shown)
            # Write only the components of this drawing, because another event may have changed others since.
            made = {number: block for number, block in draft.blocks.items() if before.get(number) is not block}
            functions = _with_former(part, draft.fns, shown.fns, session)
            _guard(functions, sessions)
            # Replace the table of functions, because another request may be reading the old one.
            shown.blocks.update(made)
            shown.fns, shown.fn_id, shown.renderables = functions, draft.fn_id, draft.renderables
        return None

    vars(drawn)["guarded"] = True
    return drawn


def _with_former(part: Renderable, fresh: Table, shown: Table, session: _Session) -> Functions:
    """Return the functions of a new drawing together with those of the last drawings."""
    former = session.former.setdefault(part, deque())
    replaced = sorted(shown.keys() - fresh.keys())
    functions = Functions(fresh)
    for number in replaced:
        # It no longer belongs to a drawing, so Gradio neither sends it to the browser nor deletes it.
        shown[number].rendered_in = None
        functions[number] = shown[number]
    former.append(replaced)
    while len(former) > _KEPT_DRAWINGS:
        for number in former.popleft():
            functions.pop(number, None)
    return functions
