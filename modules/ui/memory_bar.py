"""HTML for the memory plan: a stacked bar for each device, with its numbers. All texts are escaped."""

from __future__ import annotations

from html import escape

from modules.library.memory_plan import DeviceShare, MemoryPlan, memory_parts
from modules.library.sizes import format_size
from modules.loading.memory_planner import Advice
from modules.ui.event_feedback import paragraph

_KINDS = ("weights", "cache", "compute", "process")


def memory_bar(advice: Advice) -> str:
    """Return the bar and the legend of each device, and a warning if the plan does not fit."""
    planned = advice.plan
    devices = "".join(_device(share, planned) for share in planned.shares if share.total)
    source = "Corrected with measurements on this machine." if planned.measured else ""
    return f'<div class="plan">{devices}{paragraph(source)}{paragraph(advice.obstacle, "warning")}</div>'


def _device(share: DeviceShare, planned: MemoryPlan) -> str:
    # The whole bar is the free memory, so that a small model looks small.
    scale = max(share.free, share.total)
    parts = [(kind, *part) for kind, part in zip(_KINDS, memory_parts(share, planned), strict=True) if part[1]]
    bar = "".join(f'<span class="{kind}" style="width:{_percent(size, scale)}"></span>' for kind, _, size in parts)
    legend = "".join(f'<li class="{kind}">{escape(name)} <b>{format_size(size)}</b></li>' for kind, name, size in parts)
    mark = f'<i style="left:{_percent(share.free, scale)}"></i>'
    over = " over" if share.total > share.free else ""
    label = f"{escape(share.device)}: takes about {format_size(share.total)}, {format_size(share.free)} free"
    return (
        f'<div class="plan-device{over}"><p class="plan-head"><strong>{escape(share.device)}</strong> '
        f"<span>about <b>{format_size(share.total)}</b> of {format_size(share.free)} free</span></p>"
        f'<div class="plan-bar" role="img" aria-label="{label}">{bar}{mark}</div><ul>{legend}</ul></div>'
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.2f}%"
