"""Downloads in the browser from a local hub: what fits, progress, stop and resume, reloads and restarts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.driver import open_tab, unfold
from tests.library.writers import LLAMA_METADATA, LLAMA_TENSORS, gguf_bytes
from tests.support.hub import Hub, hub_of

pytestmark = pytest.mark.browser
BIG, SMALL = "tiny.Q8_0.gguf", "tiny.Q4_K_M.gguf"


def _gguf(padding: int) -> bytes:
    return gguf_bytes({**LLAMA_METADATA, "general.description": "x" * padding}, LLAMA_TENSORS)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Run a hub with one model in two quantizations. A Paddock that starts now uses it."""
    with hub_of({BIG: _gguf(3_000_000), SMALL: _gguf(1_000_000), "README.md": b"# Tiny"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        # Beyond it, a connection that stalls is made again, and the hub stalls once. On a busy machine tests take long.
        monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "600")
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        yield hub


def _look(page: Any, repository: str = "maker/tiny") -> None:
    open_tab(page, "Model")
    if not page.locator("#download-repository").is_visible():
        unfold(page, "Get a model")
    page.fill("#download-repository input", repository)
    page.click("#download-look")


def _choose(page: Any, label: str) -> None:
    page.locator("#download-which label", has_text=label).click()
    page.click("#download-get")


def test_a_model_is_looked_up_downloaded_and_can_be_chosen(own_paddock: Any, visit: Any, hub: Hub) -> None:
    served = own_paddock("--no-model")
    page = visit(served.address)
    _look(page, "tin")
    page.locator("#download-hits label", has_text="maker/tiny · 7 downloads · GGUF").click()
    page.wait_for_selector("#download-which >> text=Q8_0, 3.0 MB, fits (suggested)")
    page.wait_for_selector("#download-which >> text=Q4_K_M, 1.0 MB, fits")
    page.locator("#download-files summary").click()
    page.wait_for_selector("#download-files >> text=README.md")
    _choose(page, "Q4_K_M")
    page.wait_for_selector("[data-phase=done] >> text=The model is in the list now")
    assert (served.models / SMALL).read_bytes() == hub.files[SMALL]
    page.locator("#model-choice input").click()
    page.get_by_role("option", name=SMALL).click()
    page.wait_for_selector("#model-facts >> text=gguf")
    page.click(f'[id="download-drop-{SMALL}"]')
    page.wait_for_selector(f'[id="download-{SMALL}"]', state="detached")
    assert (served.models / SMALL).exists()


def test_a_download_survives_its_page_is_stopped_and_resumes_after_a_restart(
    own_paddock: Any, visit: Any, hub: Hub
) -> None:
    hub.stalls[BIG] = 1_500_000
    served = own_paddock("--no-model")
    page = visit(served.address)
    _look(page)
    page.wait_for_selector("#download-which >> text=Q8_0")
    _choose(page, "Q8_0")
    assert hub.stalled.wait(60)
    row = f'[id="download-{BIG}"]'
    page.wait_for_selector(f"{row} >> text=1.5 MB of 3.0 MB")
    page.close()
    page = visit(served.address)
    open_tab(page, "Model")
    page.wait_for_selector(f"{row} >> text=1.5 MB of 3.0 MB")
    page.click(f'[id="download-stop-{BIG}"]')
    hub.go_on.set()  # the connection breaks
    page.wait_for_selector(f"{row} >> text=Stopped at 1.5 MB of 3.0 MB")
    page.close()
    served.close()
    assert not (served.models / BIG).exists()

    served = own_paddock("--no-model")
    page = visit(served.address)
    open_tab(page, "Model")
    page.wait_for_selector(f"{row} >> text=Stopped at 1.5 MB of 3.0 MB")
    page.click(f'[id="download-resume-{BIG}"]')
    page.wait_for_selector(f"{row} [data-phase=done]")
    assert hub.gets(BIG) == ["", "bytes=1500000-"]
    assert (served.models / BIG).read_bytes() == hub.files[BIG]


def test_a_failed_download_says_why_and_discard_deletes_it(own_paddock: Any, visit: Any, hub: Hub) -> None:
    served = own_paddock("--no-model")
    page = visit(served.address)
    _look(page, "maker/nothing")
    page.wait_for_selector("text=/There is no model maker.nothing on/")
    hub.gated = True
    _look(page)
    page.wait_for_selector("#download-which >> text=Q8_0")
    _choose(page, "Q8_0")
    row = f'[id="download-{BIG}"]'
    page.wait_for_selector(f"{row} >> text=/maker.tiny is gated.* HF_TOKEN/")
    page.click(f'[id="download-drop-{BIG}"]')
    page.wait_for_selector(row, state="detached")
    assert not list(served.models.glob(".download-*"))


def test_the_list_and_the_form_fit_a_phone(own_paddock: Any, visit: Any, hub: Hub) -> None:
    hub.stalls[BIG] = 1_500_000
    served = own_paddock("--no-model")
    page = visit(served.address, width=390, height=844)
    _look(page)
    page.wait_for_selector("#download-which >> text=Q8_0")
    _choose(page, "Q8_0")
    page.wait_for_selector(f'[id="download-{BIG}"] >> text=1.5 MB of 3.0 MB')
    assert page.evaluate("(e => e.scrollWidth <= e.clientWidth)(document.querySelector('#drawer'))")
