"""What other code draws into the Blocks that are being built.

Leans on `gradio.context.Context`, which holds the container and the Blocks that components are added to, on the tables
`Blocks.blocks` (components by number) and `Blocks.default_config.fns` (functions of events by number), and on
`Block.parent`, `Block.visible` and `BlockContext.children`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.blocks import Block, BlockContext
from gradio.context import Context


def page_being_built() -> gr.Blocks | None:
    """Return the Blocks that are being built, if any."""
    return Context.root_block


@contextmanager
def draw_into(container: BlockContext) -> Iterator[None]:
    """Add what is made in the block to `container`, which belongs to the Blocks that are being built."""
    before, Context.block = Context.block, container
    try:
        yield
    finally:
        Context.block = before


class Drawing:
    """The components and functions that are added to the Blocks after this object was made."""

    def __init__(self) -> None:
        self._container, root = Context.block, Context.root_block
        assert root is not None, "Drawing() needs Blocks that are being built"
        self._root = root
        self._functions = set(root.default_config.fns)
        self._blocks = set(root.blocks)

    def close_containers(self) -> None:
        """Go back to the container that was open at first. Code that failed may have left its own one open."""
        Context.block, Context.root_block = self._container, self._root

    def functions(self) -> list[BlockFunction]:
        """Return the functions of events that were added."""
        return [function for number, function in self._root.default_config.fns.items() if number not in self._functions]

    def visible_ids(self) -> list[str]:
        """Return the ids of the added components that the page shows from the beginning."""
        added = [block for number, block in self._root.blocks.items() if number not in self._blocks]
        return [str(block.elem_id) for block in added if block.elem_id and self._is_visible(block)]

    def _is_visible(self, block: Block | None) -> bool:
        """Return True if nothing around the component, inside the container, hides it."""
        while block is not None and block is not self._container:
            closed = isinstance(block, gr.Accordion) and not block.open
            other_tab = isinstance(block, gr.Tab) and block.parent is not None and block.parent.children[0] is not block
            if block.visible is not True or closed or other_tab:
                return False
            block = block.parent
        return block is self._container
