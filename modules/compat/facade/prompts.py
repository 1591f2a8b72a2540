"""modules.prompts: counting tokens, and texts that are kept as files."""

from __future__ import annotations

from modules.compat.facade.base import FacadeModule
from modules.protocol.errors import PaddockError


class Prompts(FacadeModule):
    """Texts lie in the user's prompts/."""

    def count_tokens(self, text: str) -> str:
        """How many tokens a text has, as text; "0" without a model."""
        try:
            return str(self._facade.module("modules.text_generation").get_encoded_length(text))
        except PaddockError:
            return "0"

    def load_prompt(self, fname: str) -> str:
        """The text of that name, "" where there is none."""
        name = self._facade.module("modules.utils").sanitize_filename(fname or "")
        path = self._app.paths.user_data / "prompts" / f"{name}.txt"
        return path.read_text(encoding="utf-8").rstrip() if path.is_file() else ""
