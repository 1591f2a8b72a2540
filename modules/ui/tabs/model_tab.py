"""The Model tab: the loaded model, the models on disk, the suggested loader and its settings, Load and Unload."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import gradio as gr

from modules.library.cards_now import free_on_cards
from modules.library.draft_models import fitting_drafts
from modules.library.remote_keys import KeyRequest, read_key_requests
from modules.library.sizes import format_size
from modules.loading.memory_planner import Advice
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_purpose import generates_text
from modules.protocol.schema import Setting, build, describe
from modules.ui import model_card
from modules.ui.event_feedback import (
    DIRECT,
    QUEUED,
    errors_as_toasts,
    paragraph,
    refresh_marker,
    toast,
    toast_channel,
)
from modules.ui.gradio_internals.hidden_state import hidden_state
from modules.ui.memory_bar import memory_bar
from modules.ui.number_format import model_label
from modules.ui.settings_form import entered, form
from modules.ui.tabs import adapters_tab as adapters
from modules.ui.tabs import downloads_tab as downloads
from modules.ui.tabs import loaders_tab as installs
from modules.ui.tabs import template_tab as template

if TYPE_CHECKING:
    from modules.app import App

# The value of `target` while nothing is chosen: model, loader, and the saved settings for both.
_NOTHING = json.dumps(["", "", []])
# How long the list of models waits for their purposes. Purposes that are read later appear in the next list.
_LIST_SECONDS = 0.5
# Settings that the memory plan suggests a value for -> the label of the button that sets it.
_FITTED = {"context": "Use the largest context that fits", "gpu_layers": "Use the GPU layers that fit"}


def draw(app: App, page: gr.Blocks, refresh: gr.Button) -> None:
    """Draw the tab. The page clicks `refresh` when the model's state changed."""
    with gr.Row(elem_classes=["tight"]):
        loaded = gr.HTML(elem_id="model-loaded", apply_default_css=False)
    unload = gr.Button("Unload", elem_id="model-unload", visible=False)
    # static/loaded_models.js fills it.
    gr.HTML('<div id="models-beside" class="card" hidden></div>', apply_default_css=False)
    # static/nodes.js fills it.
    gr.HTML('<div id="model-nodes" class="card" hidden></div>', apply_default_css=False)
    with gr.Row(elem_classes=["tight"]):
        model = gr.Dropdown(choices=[], label="Model", elem_id="model-choice", interactive=True, scale=4)
        rescan = gr.Button("Refresh", elem_id="model-refresh", scale=1, min_width=80)
    downloads.draw(app, page, refresh)
    facts = gr.HTML(elem_id="model-facts", apply_default_css=False)
    loader = gr.Radio(choices=[], label="Loader", elem_id="loader-choice", interactive=True, visible=False)
    why = gr.HTML(elem_id="loader-reason", apply_default_css=False)
    target, toasts, asked = hidden_state(_NOTHING), toast_channel(), hidden_state(json.dumps(["", ""]))
    picked = [model, facts, loader, why, target]

    def pick(name: str | None, wanted: str = "") -> list[Any]:
        names = app.library.names()
        shown = name if name in names else app.supervisor.state.model
        if shown not in names:
            shown = app.startup_model() if app.startup_model() in names else next(iter(names), "")
        known = app.library.purposes(names, _LIST_SECONDS)
        choices = [(model_label(each, known.get(each, "")), each) for each in names]
        dropdown = gr.update(choices=choices, value=shown or None)
        if not shown:
            none = model_card.no_models(app.paths.display(app.paths.models))
            return [dropdown, none, gr.update(visible=False), "", _NOTHING]
        try:
            found, ranked = app.loaders.rank(shown)
            chosen = wanted or _choice(app, shown)
        except PaddockError as error:
            return [dropdown, paragraph(error.message, "warning"), gr.update(visible=False), "", _NOTHING]
        loaders = [(entry.title, entry.loader) for entry in ranked]
        if chosen and all(entry.loader != chosen for entry in ranked):
            # Hidden loaders are not suggested, but may have been chosen by a flag.
            loaders.append((app.registry.get(chosen).title, chosen))
        radio = gr.update(choices=loaders, value=chosen or None, visible=bool(loaders))
        reason = model_card.reason(chosen, ranked, found, app.loaders.explain_none(found, ranked))
        # The form is drawn again only when the saved settings changed, because a person may be filling it in.
        kept = app.loaders.choose(shown, chosen)[1] if chosen else {}
        return [dropdown, model_card.card(found), radio, reason, json.dumps([shown, chosen, sorted(kept.items())])]

    def pick_again(name: str | None, by_hand: str) -> list[object]:
        """Show the model with the loader that the person chose for it, also after a load with it failed."""
        about, wanted = json.loads(by_hand)
        return pick(name, wanted if about == name else "")

    def show(name: str | None, by_hand: str) -> list[object]:
        # Also after a failure: a refused load leaves the model before it loaded.
        occupied = app.supervisor.memory_bytes() > 0 and not app.supervisor.state.busy
        return [gr.update(visible=occupied), *pick_again(name, by_hand), model_card.status(app) + refresh_marker()]

    def free() -> list[Any]:
        before = free_on_cards()
        freed = app.supervisor.unload()
        came_back = free_on_cards() - before
        on_cards = f" and {format_size(came_back)} on graphics cards were freed." if came_back > 0 else " was freed."
        words = f"Unloaded: {format_size(freed)} of memory{on_cards}"
        return [model_card.status(app, words), gr.update(visible=False), toast(words)]

    unload.click(errors_as_toasts(free), None, [loaded, unload, toasts], **QUEUED)
    gr.on([model.input, rescan.click], errors_as_toasts(pick_again), [model, asked], picked, **DIRECT)
    loader.input(errors_as_toasts(pick), [model, loader], picked, **DIRECT)
    loader.input(lambda *chosen: json.dumps(chosen), [model, loader], asked, **DIRECT)
    gr.on([page.load, refresh.click], errors_as_toasts(show), [model, asked], [unload, *picked, loaded], **DIRECT)

    @gr.render(inputs=target, queue=False, show_progress="hidden")  # type: ignore[untyped-decorator]
    def draw_settings(chosen: str) -> None:
        name, with_loader, _ = json.loads(chosen or _NOTHING)
        if with_loader in app.registry.specs:
            _settings(app, name, app.registry.get(with_loader))

    adapters.draw(app, page, refresh)
    template.draw(app, page, refresh)
    installs.draw(app, page, refresh)


def own_context(setting: Setting | None, kept: Mapping[str, object], trained: int) -> int:
    """Return the trained context if a load uses it by default in place of the setting's default, else 0."""
    if setting is None or setting.name in kept:
        return 0
    return trained if 0 < trained < setting.default else 0


def _choice(app: App, model: str) -> str:
    """Return the loader that a load would use, or "" if there is none."""
    try:
        return app.loaders.choose(model)[0].name
    except PaddockError:
        return ""


def _settings(app: App, model: str, spec: LoaderSpec) -> None:
    """Draw the loader's settings, the memory plan, and Load."""
    settings = {setting.name: setting for setting in describe(spec.settings)}
    _, kept = app.loaders.choose(model, spec.name)
    try:
        values = build(spec.settings, kept)
    except SettingError as error:
        gr.HTML(
            paragraph(
                f"The saved settings of this model cannot be used: {error.message} The defaults are shown.", "warning"
            )
        )
        values = build(spec.settings, {})
    facts = app.library.facts(model)
    first = app.planner.advise(facts, spec, values)
    _ask_for_keys(app, model)
    with gr.Row(elem_classes=["tight", "load-row"]):
        load = gr.Button(f"Load {PurePosixPath(model).name}", variant="primary", elem_id="model-load")
        anyway = gr.Button("Load anyway", elem_id="model-load-anyway", visible=bool(first.obstacle))
    plan = gr.HTML(memory_bar(first), elem_id="memory-plan", apply_default_css=False)
    with gr.Row(elem_classes=["tight"]):
        buttons = {
            name: gr.Button(elem_id=f"fit-{name}", size="sm", **_offer(name, first))
            for name in _FITTED
            if name in settings
        }
    drawn = {name: getattr(values, name) for name in settings}
    # The default exceeds the trained context: show the context that a load would use.
    if own := own_context(settings.get("context"), kept, facts.context):
        drawn["context"] = own
    offered = (
        {"draft_model": fitting_drafts(app.library, facts, spec, _LIST_SECONDS)} if "draft_model" in settings else {}
    )
    fields = form(list(settings.values()), drawn, prefix=f"loader-{spec.name}-", offered=offered)
    given = list(fields.values())

    def chosen(entries: Sequence[object]) -> dict[str, Any]:
        found = {name: entered(settings[name], value) for name, value in zip(fields, entries, strict=True)}
        if own and found["context"] == own:
            found["context"] = settings["context"].default
        return found

    def begin(forced: bool, *entries: object) -> None:
        # A model that cannot chat does not take the place of the one that does.
        chats = generates_text(facts.purpose)
        load = app.models.load_in_background if chats else app.on_request.load_beside_in_background
        load(model, spec.name, chosen(entries), anyway=forced)

    def moved(*entries: object) -> list[Any]:
        try:
            advice = app.planner.advise(facts, spec, build(spec.settings, chosen(entries)))
        except PaddockError:  # A number may be half typed. Load reports one that is wrong.
            return [gr.skip() for _ in shown]
        offers = [gr.update(**_offer(name, advice)) for name in buttons]
        return [memory_bar(advice), gr.update(visible=bool(advice.obstacle)), *offers]

    def most(name: str, *entries: object) -> Any:
        return _most(app.planner.advise(facts, spec, build(spec.settings, chosen(entries))))[name]

    shown = [plan, anyway, *buttons.values()]
    # While one plan is made, only the last of a slider's changes leads to another plan.
    gr.on([field.input for field in map(_any, given)], moved, given, shown, trigger_mode="always_last", **DIRECT)
    for name, button in buttons.items():
        button.click(errors_as_toasts(partial(most, name)), given, fields[name], **DIRECT).then(
            moved, given, shown, **DIRECT
        )
    load.click(errors_as_toasts(partial(begin, False)), given, None, **DIRECT)
    anyway.click(errors_as_toasts(partial(begin, True)), given, None, **DIRECT)


def _ask_for_keys(app: App, model: str) -> None:
    """Ask for each of a remote model's servers whether it may get the environment variable that the file names."""
    wanted = read_key_requests(app.library.facts(model))
    for place, request in enumerate(wanted):
        if request.name in os.environ and not app.keys.allows(request):
            _ask_for_key(app, model, request, f"-{place}" if place else "")


def _ask_for_key(app: App, model: str, wanted: KeyRequest, suffix: str) -> None:
    question = gr.HTML(
        paragraph(
            f"{model} needs the environment variable {wanted.name} sent to {wanted.address}. Allow this only if you "
            "trust that server.",
            "warning",
        ),
        elem_id=f"key-question{suffix}",
    )
    allow = gr.Button(f"Send {wanted.name} to {wanted.address}", elem_id=f"key-allow{suffix}")

    def agree() -> list[Any]:
        app.keys.allow(wanted)
        return [gr.update(visible=False), gr.update(visible=False)]

    allow.click(errors_as_toasts(agree), None, [question, allow], **DIRECT)


def _any(component: object) -> Any:
    """Return the component without its type: Gradio adds the events at run time, so type checkers do not know them."""
    return component


def _most(advice: Advice) -> dict[str, int | None]:
    return {"context": advice.context, "gpu_layers": advice.gpu_layers}


def _offer(name: str, advice: Advice) -> dict[str, Any]:
    """Return the properties of the button that sets a setting to the most that fits. Hidden if it has nothing to do."""
    most = _most(advice)[name]
    now = {"context": advice.plan.context, "gpu_layers": advice.plan.gpu_layers}[name]
    return {"value": f"{_FITTED[name]}: {most:,}" if most else "", "visible": bool(most) and most != now}
