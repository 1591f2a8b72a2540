"""HTML for the Model tab: a model on disk, its loaders, and the loaded model. All texts are escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from modules.library.card_state import CardState, describe_health, describe_others
from modules.library.cards_now import own_processes, read_cards
from modules.library.ranking import RankedLoader
from modules.library.sizes import format_size
from modules.library.trust import scan_trust
from modules.protocol.model_facts import Machine, ModelFacts
from modules.ui import number_format as words
from modules.ui.event_feedback import paragraph

if TYPE_CHECKING:
    from modules.app import App


# static/workshop/view.js opens the Workshop's list of models on a click.
_CHANGE = '<p><button type="button" class="text-button" data-open-models>Rename or discard …</button></p>'


def _list(rows: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows if value)
    return f'<dl class="facts">{lines}</dl>'


def no_models(folder: str) -> str:
    """Return the card that says that the models folder is empty, and what to do."""
    return (
        '<div class="card"><p><strong>There are no models yet.</strong></p><p class="quiet">Get one above, or copy a '
        f"model folder or a .gguf file into <code>{escape(folder)}</code>, then press Refresh.</p></div>"
    )


def card(facts: ModelFacts) -> str:
    """Return the card of a model on disk: its facts, its problems, and the evidence for both."""
    rows = [
        ("Format", " ".join(part for part in (facts.format, facts.dtype) if part)),
        (
            "Size",
            format_size(facts.size_bytes)
            + (f", {words.short_count(facts.parameters)} parameters" if facts.parameters else ""),
        ),
        ("Architecture", facts.architecture),
        ("For", words.purpose(facts.purpose, facts.vision, facts.audio)),
        ("Quantized", _quantized(facts)),
        ("Trained context", f"{facts.context:,} tokens" if facts.context else ""),
        ("Chat template", _template(facts)),
    ]
    alarms = "".join(paragraph(text, "warning") for text in (*facts.problems, *facts.warnings, *scan_trust(facts)))
    proof = "".join(
        f"<tr>{''.join(f'<td>{_breakable(text)}</td>' for text in (e.fact, str(e.value)[:80], e.source))}</tr>"
        for e in facts.evidence
    )
    table = f'<table class="proof">{proof}</table>'
    fold = f"<details><summary>How this was detected</summary>{table}</details>" if proof else ""
    return f'<div class="card">{_list(rows)}{alarms}{fold}{_CHANGE}</div>'


def _breakable(text: str) -> str:
    """Return the text, escaped. Names of fields, files and classes may break after each of their parts."""
    return re.sub(r"(?<=\w[._/])(?=\w)|(?<=[a-z])(?=[A-Z])", "<wbr>", escape(text))


def _quantized(facts: ModelFacts) -> str:
    if not facts.bits or facts.bits >= 16:
        return ""
    parts = [f"{facts.bits:g} bits"]
    if facts.group_size:
        parts.append(f"group size {facts.group_size}" if facts.group_size > 0 else "one group a row")
    if facts.act_order is not None:
        parts.append("act-order" if facts.act_order else "no act-order")
    return ", ".join(parts)


def _template(facts: ModelFacts) -> str:
    if not facts.template and facts.purpose not in ("", "generate"):
        return ""
    if not facts.template:
        return "none: ChatML is used"
    source = next((e.source for e in facts.evidence if "template" in e.fact), "")
    return f"from {source.removeprefix('file name: ')}" if source else "from the model"


def reason(chosen: str, ranked: Sequence[RankedLoader], facts: ModelFacts, no_loader: str) -> str:
    """Return why the chosen loader, and what the others say.

    `no_loader` says why no loader runs the model. It is not repeated where the card of the facts says so.
    """
    mine = next((entry for entry in ranked if entry.loader == chosen), None)
    first = paragraph(mine.reason, "reason" if mine.runs else "warning") if mine else ""
    if ranked and mine and mine is ranked[0] and mine.runs:
        first = f'<p class="reason"><strong>Suggested.</strong> {escape(mine.reason)}</p>'
    others = "".join(
        f"<li><strong>{escape(e.title)}</strong> {escape(e.reason)}</li>" for e in ranked if e.loader != chosen
    )
    fold = f"<details><summary>Other loaders</summary><ul>{others}</ul></details>" if others else ""
    chats = facts.purpose in ("", "generate")
    empty = "" if ranked or not chats or facts.problems else paragraph(no_loader, "warning")
    return first + fold + empty


def status(app: App, said: str = "") -> str:
    """Return the card of the loaded model, with what it uses. `said` is shown if no model is loaded."""
    state = app.supervisor.state
    if state.phase == "empty":
        return f'<div class="card slim">{paragraph(said or "No model is loaded. Choose one and press Load.")}</div>'
    spec = app.registry.specs.get(state.loader)
    title = f"<h4>{escape(state.model)}</h4>"
    alarm = ""
    if state.error:
        pre = f"<pre>{escape(state.error.detail)}</pre>"
        detail = f"<details><summary>Details</summary>{pre}</details>" if state.error.detail else ""
        alarm = paragraph(state.error.message, "warning") + detail
    if state.phase == "failed":
        return f'<div class="card">{title}{alarm}</div>'
    if not state.info:
        return f'<div class="card">{title}{paragraph(state.text or "Loading")}</div>'
    info = state.info
    rows = [
        ("Loader", spec.title if spec else state.loader),
        ("Memory in use", format_size(app.supervisor.memory_bytes())),
        ("On graphics cards", format_size(on_cards) if (on_cards := app.supervisor.card_bytes()) else ""),
        ("Context", f"{info.context:,} tokens" + (f" of {info.trained_context:,}" if info.trained_context else "")),
        ("Runs on", ", ".join(part for part in (info.device, info.dtype) if part)),
        ("Replies at once", str(info.slots)),
        ("LoRA adapters", ", ".join(f"{name} ({weight:g})" for name, weight in state.adapters.items())),
        ("Loaded in", words.seconds(state.load_seconds) if state.load_seconds else ""),
        *cards(read_cards()),
    ]
    notes = "".join(paragraph(note, "warning") for note in info.notes)
    return f'<div class="card loaded">{title}{_list(rows)}{notes}{alarm}</div>'


def cards(states: Sequence[CardState]) -> list[tuple[str, str]]:
    """Return (name, what it reports now) of each graphics card. Paddock's own processes are not named."""
    own = own_processes() if states else set()
    rows = []
    for card in states:
        free = f"{format_size(card.gpu.free_bytes)} of {format_size(card.gpu.total_bytes)} free"
        others = describe_others(card, own)
        parts = [
            free if card.gpu.total_bytes else "",
            describe_health(card),
            f"also used by {others}" if others else "",
        ]
        rows.append((card.gpu.name, "; ".join(filter(None, parts))))
    return rows


def free(machine: Machine) -> str:
    """Return the free memory of the machine and of each accelerator."""
    parts = [f"{format_size(machine.free_bytes)} of main memory"]
    parts += [f"{format_size(gpu.free_bytes)} on {gpu.name}" for gpu in machine.gpus if gpu.total_bytes]
    return ", ".join(parts)
