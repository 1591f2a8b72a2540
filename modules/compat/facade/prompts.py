"""modules.prompts: counts tokens, and reads saved prompts."""

from __future__ import annotations

from modules.compat.facade.base import FacadeModule
from modules.protocol.errors import PaddockError


class Prompts(FacadeModule):
    """Prompts are files in the user's prompts/."""

    def count_tokens(self, text: str) -> str:
        """Return the number of tokens in a text, as text; "0" if no model is loaded."""
        try:
            return str(self._facade.module("modules.text_generation").get_encoded_length(text))
        except PaddockError:
            return "0"

    def load_prompt(self, fname: str) -> str:
        """Return the prompt of that name; "" if there is none."""
        name = self._facade.module("modules.utils").sanitize_filename(fname or "")
        path = self._app.paths.user_data / "prompts" / f"{name}.txt"
        return path.read_text(encoding="utf-8").rstrip() if path.is_file() else ""
