"""LoRA adapters in the browser: they are selected, weighted, applied to the loaded model and shown with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.browser.driver import ask, open_tab, ready, started, unfold
from tests.support.adapters import write_peft_adapter

pytestmark = pytest.mark.browser


def test_adapters_are_applied_with_weights_and_removed(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--model", "small")
    models: Path = served.models
    page = visit(served.address)
    ready(page, "small")
    open_tab(page, "Model")
    unfold(page, "LoRA adapters")
    page.wait_for_selector("#adapters-status >> text=There are no adapters yet")
    write_peft_adapter(models / "style", layers=1)
    write_peft_adapter(models / "facts", layers=1)
    write_peft_adapter(models / "wide", hidden=64)
    page.click("#adapters-refresh")
    page.wait_for_selector("#adapters >> text=for maker/base, rank 4, changes down_proj, q_proj")
    page.click("#adapters >> text=Adapters that do not fit")
    page.wait_for_selector("#adapters-status >> text=wide was trained on another model")
    page.locator("#adapter-use-0 input").check()
    page.locator("#adapter-use-1 input").check()
    page.fill("#adapter-weight-1 input", "0.5")
    page.press("#adapter-weight-1 input", "Tab")
    page.click("#adapters-apply")
    page.wait_for_selector("#toasts .toast >> text=Used from the next reply")
    page.wait_for_selector("#model-loaded >> text=facts (1), style (0.5)")
    page.click("#close-drawer")
    assert ask(page, "Hello") == "[facts 1] [style 0.5] Hello"
    kept = yaml.safe_load((served.user_data / "model_settings.yaml").read_text())
    assert kept["small"]["adapters"] == {"facts": 1.0, "style": 0.5}

    page.reload()
    started(page)
    ready(page, "small")
    open_tab(page, "Model")
    unfold(page, "LoRA adapters")
    page.wait_for_function("() => document.querySelector('#adapter-use-1 input')?.checked")
    for place in (0, 1):
        page.locator(f"#adapter-use-{place} input").uncheck()
    page.click("#adapters-apply")
    page.wait_for_selector("#model-loaded:not(:has-text('facts (1)'))")
    page.click("#close-drawer")
    assert ask(page, "Hello") == "Hello"
