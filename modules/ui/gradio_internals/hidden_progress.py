"""Let Gradio's page do nothing for the progress of an event that does not show it.

Leans on `show_progress` and `show_progress_on` of `BlockFunction`. Whenever an event begins or ends, the page gives the
progress to all outputs of all events so far, also where it is hidden. It searches for each in the tree of all
components, which took a second. An event that names no component for its progress has none to search for.
"""

from __future__ import annotations

from collections.abc import Iterable

from gradio.block_function import BlockFunction


def name_no_component(functions: Iterable[BlockFunction]) -> None:
    """Take the components from the progress of those functions that hide it."""
    for function in functions:
        if function.show_progress == "hidden":
            function.show_progress_on = []
