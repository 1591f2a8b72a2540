"""The memory plan as a stacked bar a device, with its numbers beside it, as HTML. All texts are escaped."""

from __future__ import annotations

from html import escape

from modules.library.memory_plan import DeviceShare, MemoryPlan, memory_parts
from modules.library.sizes import format_size
from modules.loading.memory_planner import Advice
from modules.ui.event_feedback import paragraph

_KINDS = ("weights", "cache", "compute", "process")


def memory_bar(advice: Advice) -> str:
    """Every device's bar, what each part is, what was measured, and a warning where the plan does not fit."""
    planned = advice.plan
    devices = "".join(_device(share, planned) for share in planned.shares if share.total)
    source = "Corrected by what was measured on this machine." if planned.measured else ""
    return f'<div class="plan">{devices}{paragraph(source)}{paragraph(advice.obstacle, "warning")}</div>'


def _device(share: DeviceShare, planned: MemoryPlan) -> str:
    # The whole bar is what is free, whatever the model's size: 2 % of it looks like 2 %.
    scale = max(share.free, share.total)
    parts = [(kind, *part) for kind, part in zip(_KINDS, memory_parts(share, planned), strict=True) if part[1]]
    bar = "".join(f'<span class="{kind}" style="width:{_percent(size, scale)}"></span>' for kind, _, size in parts)
    legend = "".join(f'<li class="{kind}">{escape(name)} <b>{format_size(size)}</b></li>' for kind, name, size in parts)
    mark = f'<i style="left:{_percent(share.free, scale)}"></i>'
    over = " over" if share.total > share.free else ""
    said = f"{escape(share.device)}: takes about {format_size(share.total)}, {format_size(share.free)} free"
    return (
        f'<div class="plan-device{over}"><p class="plan-head"><strong>{escape(share.device)}</strong> '
        f"<span>about <b>{format_size(share.total)}</b> of {format_size(share.free)} free</span></p>"
        f'<div class="plan-bar" role="img" aria-label="{said}">{bar}{mark}</div><ul>{legend}</ul></div>'
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.2f}%"
