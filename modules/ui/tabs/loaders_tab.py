"""The list of loaders on the Model tab: what each reads, whether it runs here, its size on disk, and Install."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.library.sizes import format_size
from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.variants import AUTOMATIC
from modules.runtime.variants import check_name, variants_of
from modules.system.threads import host_thread
from modules.ui.event_feedback import DIRECT, QUEUED, errors_as_toasts, paragraph

if TYPE_CHECKING:
    from modules.app import App


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw one row for each loader."""
    specs = app.loaders.offered()
    rows: list[Any] = []
    with gr.Accordion("Loaders", open=False, elem_classes=["fold"], elem_id="loaders"):
        for spec in specs:
            with gr.Row(elem_classes=["tight"], elem_id=f"loader-{spec.name}"):
                status = gr.HTML(apply_default_css=False, scale=4)
                variant = gr.Dropdown(
                    _choices(app, spec), label="Variant", scale=1, min_width=120, elem_id=f"variant-{spec.name}"
                )
                button = gr.Button("Install", scale=1, min_width=80, elem_id=f"install-{spec.name}", visible=False)
            rows += [status, variant, button]
            button.click(partial(_install, app, spec), None, [status, button], **QUEUED)
            choose = errors_as_toasts(partial(_choose, app, spec))
            variant.input(choose, variant, [status, variant, button], **DIRECT)
        for name, fault in app.registry.faults.items():
            gr.HTML(paragraph(f"{name}: {fault}.", "warning"))
        for name, sentence in app.own_loaders.waiting().items():
            with gr.Row(elem_classes=["tight"], elem_id=f"own-loader-{name}"):
                answer = gr.HTML(paragraph(sentence, "warning"), apply_default_css=False, scale=4)
                allow = gr.Button("Allow", scale=1, min_width=80)
            allow.click(errors_as_toasts(partial(_allow, app, name)), None, [answer, allow], **DIRECT)

    def show() -> list[object]:
        return [update for spec in specs for update in _row(app, spec)]

    gr.on([page.load, refresh.click], show, None, rows, **DIRECT)


def _allow(app: App, name: str) -> list[Any]:
    app.own_loaders.enable(name)
    return [
        paragraph(f"{name} can be chosen as a loader now. Its environment is installed when you load a model with it."),
        gr.update(visible=False),
    ]


def _row(app: App, spec: LoaderSpec) -> list[object]:
    reason = spec.machine_problem(app.machine)
    try:
        status = app.environments.status(spec)
    except PaddockError as error:
        return [_words(spec, error.message), gr.update(visible=False), gr.update(visible=False)]
    if status.installed:
        size = f", {format_size(status.size_bytes)} on disk" if status.size_bytes else ""
        state = f"Installed{f' ({status.engine})' if status.engine else ''}{size}."
    else:
        use = "quantize" if spec.only_quantizes else "load"
        state = reason or f"Not installed. It is installed when you {use} a model with it."
    chosen = app.variants.get(spec.name, AUTOMATIC)
    has_choice = not reason and (chosen != AUTOMATIC or _has_choice(app, spec))
    if has_choice and status.variant:
        state += f" Variant: {status.variant.title}. {status.reason}"
    return [
        _words(spec, state),
        gr.update(value=chosen, visible=has_choice),
        gr.update(visible=not status.installed and not reason, interactive=True),
    ]


def _choices(app: App, spec: LoaderSpec) -> list[tuple[str, str]]:
    variants = variants_of(spec, app.machine) if spec.variants else []
    return [("Automatic", AUTOMATIC), *((variant.title, variant.name) for variant in variants)]


def _has_choice(app: App, spec: LoaderSpec) -> bool:
    """Return True if this machine can use another variant than the last one."""
    return any(not variant.obstacle(app.machine) for variant in spec.variants)


def _choose(app: App, spec: LoaderSpec, name: str) -> list[object]:
    """Save the variant. Loads install and use it from now on."""
    app.variants.set(spec.name, check_name(spec, name, app.machine) or None)
    return _row(app, spec)


def _words(spec: LoaderSpec, state: str) -> str:
    reads = f" Reads: {', '.join(spec.formats)}." if spec.formats else ""
    return (
        f'<div class="loader"><strong>{escape(spec.title)}</strong><p class="quiet">{escape(spec.summary + reads)}</p>'
        f'<p class="state">{escape(state)}</p></div>'
    )


def _install(app: App, spec: LoaderSpec) -> Iterator[list[Any]]:
    """Build the loader's environment and yield the progress. The build continues if the page is closed."""
    progress: queue.Queue[tuple[str, float | None] | PaddockError | None] = queue.Queue()

    def build() -> None:
        app.environments.build(spec, lambda text, fraction: progress.put((text, fraction)), retry=True)
        progress.put(None)

    host_thread("install", build, f"Installing {spec.title}", progress.put).start()
    while isinstance(step := progress.get(), tuple):
        yield [_progress(spec, *step), gr.update(interactive=False)]
    if step is None:
        status, _, button = _row(app, spec)
        yield [status, button]
        return
    fold = f"<details><summary>Details</summary><pre>{escape(step.detail)}</pre></details>" if step.detail else ""
    yield [_words(spec, "") + paragraph(step.message, "warning") + fold, gr.update(interactive=True)]


def _progress(spec: LoaderSpec, text: str, fraction: float | None) -> str:
    done = "" if fraction is None else f"{fraction * 100:.0f} %"
    width = "" if fraction is None else f' style="width:{fraction * 100:.0f}%"'
    kind = "progress unknown" if fraction is None else "progress"
    return (
        f'<div class="loader"><strong>{escape(spec.title)}</strong><p class="state">{escape(text)} {done}</p>'
        f'<div class="{kind}"><span{width}></span></div></div>'
    )
