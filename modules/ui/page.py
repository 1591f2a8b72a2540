"""The page: one Gradio Blocks app. Chat, Notebook and Workshop fill the window, the settings are in a drawer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.ui import extension_components as extensions
from modules.ui.page_markup import account_markup, add_markup, markup
from modules.ui.tabs import extensions_tab
from modules.ui.tabs import model_tab as model
from modules.ui.tabs import parameters_tab as parameters
from modules.ui.tabs import session_tab as session
from modules.ui.theme import paddock_theme

if TYPE_CHECKING:
    from modules.app import App


_TABS = (
    ("Parameters", parameters.draw),
    ("Model", model.draw),
    ("Session", session.draw),
    ("Extensions", extensions_tab.draw),
)
# Of accounts without the role admin. What is not drawn has no function on the host that could be called.
_USERS_TABS = tuple(tab for tab in _TABS if tab[0] in ("Parameters", "Session"))


def build_page(app: App) -> gr.Blocks:
    """Return the page. Mount it with `page_options()`."""
    page: gr.Blocks
    with gr.Blocks(title="Paddock", analytics_enabled=False, fill_width=True, fill_height=True) as page:
        add_markup("header", "header", workshop=markup("workshop_button") if app.may_manage else "")
        add_markup("sidebar", "sidebar", account=account_markup(app))
        with gr.Column(elem_id="chat-tab"):
            add_markup("chat", "chat-frame")
            with gr.Column(elem_id="chat-input-container"):
                add_markup("hover_menu", "gr-hover")
                with gr.Row(elem_id="composer"):
                    gr.Textbox(
                        elem_id="chat-input",
                        placeholder="Write a message",
                        lines=1,
                        max_lines=10,
                        show_label=False,
                        container=False,
                        autofocus=False,
                    )
                    add_markup("composer", "composer-buttons")
            with gr.Column(elem_id="extensions"):
                if app.may_manage:
                    extensions.below_chat(app)
        add_markup("notebook", "notebook-tab")
        add_markup("workshop", "workshop-tab")
        with gr.Column(elem_id="drawer"):
            add_markup("drawer_head", "drawer-head")
            # The page's script clicks it when something changed elsewhere, so that the forms show the present values.
            refresh = gr.Button("Refresh", visible="hidden", elem_id="refresh-all")
            with gr.Tabs(elem_id="drawer-tabs", overflow_behavior="wrap"):
                for name, draw in _TABS if app.may_manage else _USERS_TABS:
                    with gr.Tab(name, id=name.lower(), elem_id=f"tab-{name.lower()}", render_children=True):
                        draw(app, page, refresh)
        extensions.views(app)
    return page


# The largest file that may be uploaded.
MAX_FILE_SIZE = "500mb"


def page_options() -> dict[str, Any]:
    """Return the options for `gr.mount_gradio_app`: no footer, no server-side rendering, Paddock's own theme."""
    return {
        "theme": paddock_theme(),
        "head": markup("head"),
        "footer_links": [],
        "ssr_mode": False,
        "show_error": True,
        "max_file_size": MAX_FILE_SIZE,
    }
