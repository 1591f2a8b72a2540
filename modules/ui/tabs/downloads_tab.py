"""Downloads on the Model tab: what a repository offers, what fits this machine, and the downloads.

The downloads run on the host, so a page that reloads shows their present state.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.library.downloads import DownloadState
from modules.library.machine import inspect_machine
from modules.library.sizes import format_size
from modules.protocol.errors import PaddockError
from modules.ui import model_card
from modules.ui.event_feedback import DIRECT, QUEUED, errors_as_toasts, paragraph
from modules.ui.gradio_internals.hidden_state import hidden_state
from modules.ui.number_format import plural

if TYPE_CHECKING:
    from modules.app import App
    from modules.library.download_choice import DownloadOption
    from modules.library.download_listing import RepositoryListing
    from modules.library.hub_search import FoundModel
    from modules.protocol.model_facts import Machine


Found = tuple["RepositoryListing", list["DownloadOption"]]
# How many repositories are remembered between Look it up and Download.
_REMEMBERED = 8


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw the list of downloads and the form for a new one. The page clicks `refresh` when one begins or ends."""
    turns = hidden_state()

    @gr.render(inputs=turns, queue=False, show_progress="hidden")  # type: ignore[untyped-decorator]
    def draw_list(_: str) -> None:
        for state in app.downloads.states():
            _draw_one(app, state)

    with gr.Accordion("Get a model", open=False, elem_classes=["fold"], elem_id="get-model"):
        with gr.Row(elem_classes=["tight"]):
            repository = gr.Textbox(
                label="Name of a model, or its repository",
                placeholder="qwen3",
                info="A part of its name searches Hugging Face. owner/name or owner/name:revision is one repository.",
                max_lines=1,
                elem_id="download-repository",
                scale=4,
            )
            look = gr.Button("Look it up", elem_id="download-look", scale=1, min_width=110)
        hits = gr.Radio(choices=[], label="Repositories", elem_id="download-hits", visible=False)
        listing_html = gr.HTML(elem_id="download-files", apply_default_css=False)
        which = gr.Radio(choices=[], label="What to download", elem_id="download-which", visible=False)
        get = gr.Button("Download", variant="primary", elem_id="download-get", visible=False)
    # Repository as it was entered -> what was found there.
    looked: dict[str, Found] = {}

    def search_or_look_up(text: str) -> list[object]:
        """Return the repositories whose names match, or what one has."""
        if "/" in text:
            return [gr.update(choices=[], visible=False), *look_up(text)]
        choices = _search(text)
        note = "" if choices else paragraph(f"Hugging Face has no model named {escape(text.strip()[:100])}.")
        nothing = gr.update(choices=[], value=None, visible=False)
        found = gr.update(choices=choices, value=None, visible=bool(choices))
        return [found, note, nothing, gr.update(visible=False)]

    def look_up(repository: str) -> list[object]:
        machine = inspect_machine()
        found = looked[repository] = _find(repository, machine)
        for old in list(looked)[:-_REMEMBERED]:
            looked.pop(old, None)
        return _show(*found, machine)

    def begin(repository: str, place: int | None) -> None:
        listing, offered = looked.get(repository, (None, ()))
        if listing is None or place is None or not 0 <= place < len(offered):
            raise PaddockError("Choose what to download first. Enter a repository, press Look it up, then choose.")
        app.downloads.start(listing, offered[place].choice)

    shown = [listing_html, which, get]
    searched = errors_as_toasts(search_or_look_up)
    gr.on([look.click, repository.submit], searched, repository, [hits, *shown], **QUEUED)
    # The name is set at once: the look-up takes a while, and another name may be typed before its end.
    chosen = hits.input(lambda repository: repository, hits, repository, **DIRECT)
    chosen.then(errors_as_toasts(look_up), hits, shown, **QUEUED)
    get.click(errors_as_toasts(begin), [repository, which], None, **DIRECT)
    gr.on([page.load, refresh.click], lambda: str(app.downloads.revision), None, turns, **DIRECT)


def _search(text: str) -> list[tuple[str, str]]:
    """Return the repositories that match a name, each with its label."""
    from modules.library.hub_search import search_models

    return [(_hit_label(found), found.repository) for found in search_models(text)]


def _hit_label(found: FoundModel) -> str:
    words = [found.repository, f"{found.downloads:,} downloads"]
    words += ["GGUF"] if found.gguf else []
    words += ["asks you to accept terms"] if found.gated else []
    return " · ".join(words)


def _find(repository: str, machine: Machine) -> Found:
    # huggingface_hub takes most of a second to import, so it is imported only here.
    from modules.library.download_choice import download_options
    from modules.library.download_listing import list_files, parse_repository_id

    listing = list_files(parse_repository_id(repository.strip()))
    return listing, download_options(listing, machine)


def _show(listing: RepositoryListing, offered: list[DownloadOption], machine: Machine) -> list[object]:
    """Return the list of files, the choices, and whether the button is visible."""
    rows = "".join(
        f"<tr><td>{escape(file.path)}</td><td>{escape(format_size(file.size))}</td></tr>" for file in listing.files
    )
    size = format_size(sum(file.size for file in listing.files))
    words = f"{listing.wanted}: {plural(len(listing.files), 'file')}, {size}. "
    words += f"Free on this machine: {model_card.free(machine)}."
    listing_html = f"{paragraph(words)}<details><summary>Files</summary><table>{rows}</table></details>"
    if not offered:
        listing_html += paragraph(
            "No loader can read these files. Look for another version of this model, such as GGUF or safetensors.",
            "warning",
        )
    best = next((place for place, offer in enumerate(offered) if offer.best), None)
    if offered and best is None:
        listing_html += paragraph(offered[0].why_not or offered[0].choice.reason, "warning")
    choices = [(_label(offer), place) for place, offer in enumerate(offered)]
    shown = gr.update(visible=bool(offered))
    return [listing_html, gr.update(choices=choices, value=best, visible=bool(offered)), shown]


def _label(offer: DownloadOption) -> str:
    words = [offer.label, format_size(offer.choice.size), "too large for the free memory" if offer.why_not else "fits"]
    return ", ".join(words) + (" (suggested)" if offer.best and not offer.why_not else "")


def _draw_one(app: App, state: DownloadState) -> None:
    name = state.name

    def button(label: str, kind: str, act: Callable[[str], None], **extra: Any) -> None:
        made = gr.Button(label, elem_id=f"download-{kind}-{name}", min_width=90, **extra)
        made.click(errors_as_toasts(partial(act, name)), None, None, **DIRECT)

    with gr.Column(elem_id=f"download-{name}", elem_classes=["download"]):
        gr.HTML(_row(state), apply_default_css=False)
        with gr.Row(elem_classes=["tight"]):
            if state.phase == "running":
                button("Stop", "stop", app.downloads.stop)
            elif state.phase == "done":
                button("Hide", "drop", app.downloads.discard)
            elif state.ended:
                button("Resume", "resume", app.downloads.resume, variant="primary")
                button("Discard", "drop", app.downloads.discard)


def _row(state: DownloadState) -> str:
    """Return one download as HTML. While it runs, static/model_state.js updates its text and its bar."""
    percent = state.percent
    kind = "progress unknown" if percent is None else "progress"
    width = "" if percent is None else f' style="width:{percent}%"'
    bar = f'<div class="{kind}"><span{width}></span></div>'
    fold = ""
    if state.error and state.error.detail:
        fold = f"<details><summary>Details</summary><pre>{escape(state.error.detail)}</pre></details>"
    return (
        f'<div class="loader" data-phase="{state.phase}"><strong>{escape(state.name)}</strong>'
        f'<p class="state">{escape(state.status_text)}</p>{"" if state.phase == "done" else bar}'
        f"{paragraph(state.error.message, 'warning') if state.error else ''}{fold}</div>"
    )
