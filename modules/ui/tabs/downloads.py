"""Downloads on the Model tab: what a repository has, what of it fits, and the downloads with Stop, Go on and Discard.

The downloads belong to the host: a page that comes back shows them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.library.downloads import DownloadState
from modules.library.machine import inspect_machine
from modules.library.sizes import in_words
from modules.protocol.errors import PaddockError
from modules.ui import model_card
from modules.ui.talk import paragraph, spoken

if TYPE_CHECKING:
    from modules.app import App
    from modules.library.download_choice import Offer
    from modules.library.download_listing import Listing

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# How often a page asks how far its downloads are.
_TICK_SECONDS = 0.7

Found = tuple["Listing", list["Offer"]] | None


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw the list of downloads and the form that begins one; `refresh` is clicked when one began or ended."""
    turns = gr.State(-1)

    @gr.render(inputs=turns, show_progress="hidden")  # type: ignore[untyped-decorator]
    def draw_list(_: int) -> None:
        for state in app.downloads.states():
            _draw_one(app, state)

    with gr.Accordion("Get a model", open=False, elem_classes=["fold"], elem_id="get-model"):
        with gr.Row(elem_classes=["tight"]):
            repository = gr.Textbox(
                label="Repository on the hub",
                placeholder="owner/name, or owner/name:revision",
                max_lines=1,
                elem_id="download-repository",
                scale=4,
            )
            look = gr.Button("Look it up", elem_id="download-look", scale=1, min_width=110)
        told = gr.HTML(elem_id="download-files", apply_default_css=False)
        which = gr.Radio(choices=[], label="What to get", elem_id="download-which", visible=False)
        get = gr.Button("Download", variant="primary", elem_id="download-get", visible=False)
    found: gr.State = gr.State(None)

    gr.on([look.click, repository.submit], spoken(_look), repository, [told, which, get, found], **_QUIET)
    get.click(spoken(partial(_begin, app)), [found, which], None, **_QUIET)
    gr.on([page.load, refresh.click], lambda: app.downloads.turns, None, turns, **_QUIET)


def _look(repository: str) -> list[Any]:
    """What is there, as files, as a choice, and for the button."""
    # huggingface_hub takes most of a second to import: only who downloads waits for it.
    from modules.library.download_choice import offers
    from modules.library.download_listing import list_files, parse_wanted

    listing, machine = list_files(parse_wanted(repository.strip())), inspect_machine()
    offered = offers(listing, machine)
    rows = "".join(
        f"<tr><td>{escape(file.path)}</td><td>{escape(in_words(file.size))}</td></tr>" for file in listing.files
    )
    count = "1 file" if len(listing.files) == 1 else f"{len(listing.files)} files"
    words = f"{listing.wanted}: {count}, {in_words(sum(file.size for file in listing.files))}. "
    words += f"Free here: {model_card.free(machine)}."
    told = f"{paragraph(words)}<details><summary>Files</summary><table>{rows}</table></details>"
    if not offered:
        told += paragraph("It has no weights that a loader could read. Look for another copy of this model.", "warning")
    best = next((place for place, offer in enumerate(offered) if offer.best), None)
    if offered and best is None:
        told += paragraph(offered[0].why_not or offered[0].choice.reason, "warning")
    choices = [(_label(offer), place) for place, offer in enumerate(offered)]
    shown = gr.update(visible=bool(offered))
    return [told, gr.update(choices=choices, value=best, visible=bool(offered)), shown, (listing, offered)]


def _label(offer: Offer) -> str:
    words = [offer.label, in_words(offer.choice.size), "too large for the free memory" if offer.why_not else ""]
    return ", ".join(filter(None, words)) + (" (suggested)" if offer.best and not offer.why_not else "")


def _begin(app: App, found: Found, place: int | None) -> None:
    if found is None or place is None or not 0 <= place < len(found[1]):
        raise PaddockError("Nothing is chosen. Look a repository up, then choose what to get of it.")
    app.downloads.begin(found[0], found[1][place].choice)


def _draw_one(app: App, state: DownloadState) -> None:
    name = state.name

    def button(label: str, kind: str, act: Callable[[str], None], **extra: Any) -> None:
        made = gr.Button(label, elem_id=f"download-{kind}-{name}", min_width=90, **extra)
        made.click(spoken(partial(act, name)), None, None, **_QUIET)

    with gr.Column(elem_id=f"download-{name}", elem_classes=["download"]):
        told = gr.HTML(_words(state), apply_default_css=False)
        with gr.Row(elem_classes=["tight"]):
            if state.phase == "running":
                button("Stop", "stop", app.downloads.stop)
            elif state.phase == "done":
                button("Hide", "drop", app.downloads.drop)
            elif state.ended:
                button("Go on", "resume", app.downloads.resume, variant="primary")
                button("Discard", "drop", app.downloads.drop)
        if not state.ended:
            gr.Timer(_TICK_SECONDS).tick(partial(_now, app, name), None, told, **_QUIET)


def _now(app: App, name: str) -> str:
    return next((_words(state) for state in app.downloads.states() if state.name == name), "")


def _words(state: DownloadState) -> str:
    """How far it is, as HTML."""
    progress, size = state.progress, in_words(state.size)
    done, bar = state.arrived, "progress"
    if progress:
        done = progress.done
    words = {
        "running": str(progress) if progress else f"{size}. Asking the hub.",
        "stopping": f"Stopping. {in_words(done)} of {size} are kept.",
        "stopped": f"Stopped at {in_words(done)} of {size}. What has arrived is kept.",
        "failed": f"Broke off at {in_words(done)} of {size}.",
        "done": f"{size}. It is in models/ now: choose it above.",
    }[state.phase]
    if state.phase == "running" and progress and progress.files > 1:
        words += f". File {progress.number} of {progress.files}"
    share = 100 if state.phase == "done" else min(100, done * 100 / state.size) if state.size else 0
    if state.phase == "running" and progress is None:
        bar, share = "progress unknown", 0
    width = f' style="width:{share:.1f}%"' if share else ""
    fold = ""
    if state.error and state.error.detail:
        fold = f"<details><summary>Details</summary><pre>{escape(state.error.detail)}</pre></details>"
    return (
        f'<div class="loader" data-phase="{state.phase}"><strong>{escape(state.name)}</strong>'
        f'<p class="state">{escape(words)}</p><div class="{bar}"><span{width}></span></div>'
        f"{paragraph(state.error.message, 'warning') if state.error else ''}{fold}</div>"
    )
