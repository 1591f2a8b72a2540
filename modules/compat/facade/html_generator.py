"""modules.html_generator: text as the page shows it."""

from __future__ import annotations

import datetime
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.compat.facade.base import FacadeModule
from modules.ui.markdown import Markdown

if TYPE_CHECKING:
    from modules.compat.facade import Facade

# Scripts pass texts that may or may not be escaped for HTML.
_THOUGHT = re.compile(r"\A\s*(?:<|&lt;)think(?:>|&gt;)(.*?)(?:(?:<|&lt;)/think(?:>|&gt;)|\Z)", re.DOTALL)


class HtmlGenerator(FacadeModule):
    """Markdown is rendered by Paddock, which shows HTML in the text as text."""

    def __init__(self, name: str, facade: Facade) -> None:
        super().__init__(name, facade)
        self._markdown = Markdown()
        self.image_cache: dict[Any, Any] = {}

    def convert_to_markdown(self, string: str, message_id: object = None) -> str:
        """Return Markdown as HTML."""
        return self._markdown.render(string)

    def convert_to_markdown_wrapped(self, string: str, message_id: object = None, use_cache: bool = True) -> str:
        """Return Markdown as HTML."""
        return self._markdown.render(string)

    def generate_basic_html(self, string: str) -> str:
        """Return Markdown as HTML in a container."""
        return f'<div class="readable-container">{self._markdown.render(string)}</div>'

    def extract_thinking_block(self, string: str) -> tuple[str | None, str]:
        """Return (the text between <think> and </think> at the beginning, or None; the rest)."""
        found = _THOUGHT.match(string)
        return (found.group(1).strip(), string[found.end() :].strip()) if found else (None, string)

    def fix_newlines(self, string: str) -> str:
        """Return the text with each line break as the end of a paragraph."""
        return "\n\n".join(part.strip() for part in string.split("\n") if part.strip())

    def get_image_cache(self, path: Any) -> str:
        """Return the address of a picture for the page: the file itself, by its path from the working directory."""
        file = Path(path)
        return file.relative_to(Path.cwd()).as_posix() if file.is_relative_to(Path.cwd()) else file.as_posix()

    def time_greeting(self) -> str:
        """Return a greeting for the time of day."""
        hour = datetime.datetime.now().hour
        return "Good morning!" if 5 <= hour < 12 else "Good afternoon!" if 12 <= hour < 18 else "Good evening!"

    def chat_html_wrapper(
        self,
        history: dict[str, Any],
        name1: str,
        name2: str,
        mode: str,
        style: str,
        character: str,
        reset_cache: bool = False,
        last_message_only: bool = False,
    ) -> str:
        """Return a history as HTML, with the classes of the page's own chat."""
        parts = []
        for pair in history["visible"]:
            for role, name, text in (("user", name1, pair[0]), ("assistant", name2, pair[1])):
                if text:
                    body = f'<div class="message-body">{self._markdown.render(str(text))}</div>'
                    who = f'<div class="username">{escape(name)}</div>' if name else ""
                    parts.append(f'<div class="message {role}-message"><div class="text">{who}{body}</div></div>')
        return f'<div class="chat" id="chat"><div class="messages">{"".join(parts)}</div></div>'
