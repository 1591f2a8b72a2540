"""modules.shared: the state that text-generation-webui keeps for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.plugins.compat.facade.base import FacadeModule

if TYPE_CHECKING:
    from modules.plugins.compat.facade import Facade


class Shared(FacadeModule):
    """`gradio`: the page's components by name. `processing_message`: may be written."""

    def __init__(self, name: str, facade: Facade) -> None:
        super().__init__(name, facade)
        self.gradio = facade.widgets
        self.processing_message = ""

    @property
    def model_name(self) -> Any:
        """The loaded model's name, "None" without one."""
        state = self._app.supervisor.state
        return state.model if state.phase == "ready" else "None"
