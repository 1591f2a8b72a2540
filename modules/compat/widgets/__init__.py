"""`shared.gradio`: the components of text-generation-webui's page by name, created at first use.

Paddock's chat is not a Gradio component, so these are hidden fields. Their values are read from Paddock when an event
needs them, and values that an event sets go to Paddock. page.js writes values that only the browser has into them: the
shown chat and the typed text.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.compat.bridge import Bridge
from modules.compat.bridge.events import bridged
from modules.compat.widgets.fields import ACTIONS, DELETER, WATCHED, Fields
from modules.compat.widgets.values import Values
from modules.ui.gradio_internals.drawing import draw_into, page_being_built

if TYPE_CHECKING:
    from modules.app import App

_SCRIPT = Path(__file__).with_name("page.js")


class Widgets(MutableMapping[str, Any]):
    """The components by name, of the page that is being built or was built last. Scripts may add their own.

    `draw(state)` returns a state's history as HTML. `delete`: as in `Fields`.
    """

    def __init__(
        self, app: App, bridge: Bridge, draw: Callable[[dict[str, Any]], str], delete: Callable[[str], None]
    ) -> None:
        self.stock = Values(app, draw)
        self.bridge = bridge
        self._fields = Fields(bridge, self.stock, delete)
        self._pages: weakref.WeakKeyDictionary[gr.Blocks, _Page] = weakref.WeakKeyDictionary()
        self._last: weakref.ref[gr.Blocks] | None = None

    def __getitem__(self, name: str) -> Any:
        page = self._page()
        if page is None:
            # No page is being built, and none was. The component can be inspected, but takes part in no event.
            return self._fields.make(self._known(name), render=False)
        if name not in page.made:
            page.made[name] = self._make(page, self._known(name))
        return page.made[name]

    def __setitem__(self, name: str, component: object) -> None:
        if page := self._page():
            page.made[name] = component

    def __delitem__(self, name: str) -> None:
        if page := self._page():
            page.made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        page = self._page()
        return iter(dict.fromkeys([*self._fields.names(), *(page.made if page else ())]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(iter(self))

    def _known(self, name: str) -> str:
        if name not in self._fields.names():
            raise KeyError(f"Paddock's page has no {name!r}. It has: {', '.join(self._fields.names())}.")
        return name

    def _page(self) -> _Page | None:
        root = page_being_built()
        if root is None:
            root = self._last() if self._last else None
            return self._pages.get(root) if root else None
        if root not in self._pages:
            self._pages[root] = _Page()
            self._last = weakref.ref(root)
        return self._pages[root]

    def _make(self, page: _Page, name: str) -> Any:
        root = page_being_built()
        if root is None:
            return self._fields.make(name, render=False)
        if name == "interface":
            return _Interface(root, self.bridge)
        with draw_into(root):
            if page.hidden is None:
                page.hidden = gr.Column(elem_id="script-widgets", visible="hidden")
                root.load(None, None, None, js=_SCRIPT.read_text(encoding="utf-8").replace("IDS", json.dumps(ACTIONS)))
            if name in DELETER:
                page.made |= self._fields.deleter()
                return page.made[name]
        with draw_into(page.hidden):
            made = self._fields.make(name)
            if name in WATCHED:
                made.change(None, made, None, js=f"(value) => globalThis.scriptWidgets?.changed({name!r}, value)")
            if name in ACTIONS:
                made.click(None, None, None, js=f"() => globalThis.scriptWidgets?.pressed({name!r})")
        return made


class _Page:
    """The components of one build of the page. `hidden`: the column with the hidden ones."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}
        self.hidden: gr.Column | None = None


class _Interface:
    """shared.gradio['interface']: the page itself."""

    def __init__(self, root: gr.Blocks, bridge: Bridge) -> None:
        self._root = root
        self.load = bridged(root.load, bridge.notes)
        self.unload = bridged(root.unload, bridge.notes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._root, name)
