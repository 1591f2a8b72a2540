"""The bar of the memory plan: its parts add up, an excess is marked, and names are escaped."""

from __future__ import annotations

import re

import pytest

from modules.library.memory_plan import DeviceShare, MemoryPlan, memory_shortage
from modules.loading.memory_planner import Advice
from modules.ui.memory_bar import memory_bar


def _bar(*shares: DeviceShare, measured: bool = False) -> str:
    planned = MemoryPlan(shares, 4096, 32, 0, 0, measured)
    return memory_bar(Advice(planned, memory_shortage(planned), None, None))


def _widths(html: str) -> list[float]:
    return [float(width) for width in re.findall(r'<span class="\w+" style="width:([\d.]+)%', html)]


def test_parts_are_percents_of_what_is_free_and_of_the_plan_where_that_is_more() -> None:
    assert _widths(_bar(DeviceShare("a", 1000, 100, 200, 50, 150))) == [10, 20, 5, 15]
    assert _widths(_bar(DeviceShare("a", 100, 100, 200, 50, 50))) == [25, 50, 12.5, 12.5]


def test_a_small_plan_on_a_large_machine_is_drawn_as_small_as_it_is() -> None:
    assert sum(_widths(_bar(DeviceShare("a", 1000, 12, 0, 0, 8)))) == pytest.approx(2)


def test_the_mark_shows_where_free_memory_ends_and_an_excess_is_reported() -> None:
    html = _bar(DeviceShare("a", 100, 400))
    assert '<i style="left:25.00%">' in html
    assert "over" in html
    assert 'class="warning"' in html
    assert "over" not in _bar(DeviceShare("a", 1000, 400))


def test_every_device_has_a_bar_and_its_name_is_text() -> None:
    html = _bar(DeviceShare("Main memory", 1000, 400), DeviceShare("<b>card", 1000, 400), DeviceShare("empty", 1000))
    assert html.count('class="plan-bar"') == 2
    assert "&lt;b&gt;card" in html
    assert "<b>card" not in html


def test_a_plan_that_was_corrected_says_so() -> None:
    assert "measurements on this machine" in _bar(DeviceShare("a", 1000, 400), measured=True)
    assert "measured" not in _bar(DeviceShare("a", 1000, 400))
