"""Take the screenshots in docs/screenshots: `python3 docs/make_screenshots.py`, on a machine with Chromium.

Starts Paddock with the demo model and a temporary user data folder.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "screenshots"
sys.path.insert(0, str(ROOT))

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
QUESTIONS = ("What is Paddock?", "How do I add a model?")
STORY = "Paddock is a program that"


def keep(page: Any, name: str) -> None:
    """Save the page as a small PNG. 240 colours are enough for flat areas and text."""
    from PIL import Image

    page.mouse.move(2, 2)
    # Wait until all transitions have ended.
    page.wait_for_function(
        "document.getAnimations().every(a => a.playState !== 'running' || !a.effect?.getTiming().duration)"
    )
    picture = Image.open(BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    picture.quantize(240, dither=Image.Dither.NONE).save(TARGET / f"{name}.png", optimize=True)
    print(f"{name}.png: {(TARGET / f'{name}.png').stat().st_size / 1000:.0f} KB")


def take_workshop(page: Any) -> None:
    """Quantize the demo model as the Workshop recommends, compare the result, and take the view's screenshots."""
    page.click("[data-view=workshop]")
    page.wait_for_selector("#recommend-model option", state="attached")
    page.click("#recommend-start")
    page.wait_for_selector("#recommendation .methods li")
    keep(page, "workshop")
    for type in ("Q4_K_M", "Q2_K"):
        page.select_option("#quantize-settings select", type)
        page.click("#quantize-start")
        page.wait_for_selector(f".job:first-child[data-status=finished] .made >> text=demo-{type}.gguf")
        page.check(f".models input[value='demo-{type}.gguf']")
    page.fill("input[value='8192']", "2048")
    page.click("#compare-start")
    job = page.locator(".job:first-child[data-status=finished]:has(.results table)")
    job.wait_for()
    job.evaluate("job => job.scrollIntoView({ block: 'start' })")
    keep(page, "workshop-comparison")


def main() -> None:
    """Start Paddock, use it, and take the screenshots."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS, Served, executable
    from tests.browser.driver import ask, open_tab, ready, settled, started

    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        served = Served(Path(folder), "--models", str(ROOT / "models"))
        browser = driver.chromium.launch(executable_path=executable(), args=list(FLAGS))

        def visit(size: dict[str, int], dark: bool = False) -> Any:
            context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light")
            page = context.new_page()
            page.goto(served.wait())
            started(page)
            page.set_default_timeout(600_000)
            ready(page)
            return page

        try:
            page = visit(WIDE)
            keep(page, "empty")
            for question in QUESTIONS:
                ask(page, question)
            settled(page)
            keep(page, "chat")
            for tab in ("Parameters", "Model", "Session", "Extensions"):
                open_tab(page, tab)
                keep(page, tab.lower())
            page.click("#close-drawer")
            page.click("[data-view=notebook]")
            page.fill("#notebook-text", STORY)
            page.click("#notebook-generate")
            page.wait_for_function("text => document.querySelector('#notebook-text').value !== text", arg=STORY)
            page.wait_for_selector("#notebook-generate", state="visible")
            page.wait_for_selector("#notebook-count >> text=words")
            keep(page, "notebook")
            page.context.close()
            dark = visit(WIDE, dark=True)
            keep(dark, "chat-dark")
            dark.click("#model-pill")
            dark.wait_for_selector("#model-load")
            keep(dark, "model-dark")
            dark.context.close()
            phone = visit(PHONE)
            keep(phone, "phone-chat")
            phone.click("#open-drawer")
            phone.wait_for_selector("#preset-notice .refresh-marker", state="attached")
            keep(phone, "phone-parameters")
            phone.context.close()
            served.close()
            # The Workshop makes models: in a separate folder.
            models = Path(folder) / "workshop" / "models"
            models.mkdir(parents=True)
            (models / "demo").symlink_to(ROOT / "models" / "demo")
            shutil.copy(ROOT / "models" / "demo.Q8_0.gguf", models)
            served = Served(Path(folder) / "workshop")
            page = visit(WIDE)
            take_workshop(page)
        finally:
            browser.close()
            served.close()


if __name__ == "__main__":
    main()
