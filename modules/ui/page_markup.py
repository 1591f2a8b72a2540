"""The fixed markup of the page, which the scripts in static/ fill. It contains no text from outside."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from modules.settings.accounts import ADMIN_KEY_NAME, OWNER
from modules.system.version import VERSION

if TYPE_CHECKING:
    from modules.app import App

_FOLDER = Path(__file__).parent / "fragments"


def markup(name: str, /, **values: str) -> str:
    """Return the fragment of that name, with Paddock's version and further `values` (HTML) filled in."""
    text = (_FOLDER / f"{name}.html").read_text(encoding="utf-8")
    for key, value in {"version": VERSION, **values}.items():
        text = text.replace(f"{{{{{key}}}}}", value)
    return text


def add_markup(name: str, elem_id: str, /, **values: str) -> gr.HTML:
    """Add a fragment to the Blocks that are being built. `values`: HTML to fill in."""
    return gr.HTML(markup(name, **values), elem_id=elem_id, apply_default_css=False)


def account_markup(app: App) -> str:
    """Return the name of the page's account with a button to log out, or "" where no one logged in."""
    if not app.config.accounts and (app.account is None or app.account.name == ADMIN_KEY_NAME):
        return ""
    return markup("account", name=escape(app.account.name if app.account else OWNER))
