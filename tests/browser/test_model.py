"""Models in the browser: loading, settings, and what a person sees when a worker fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.conftest import prepare
from tests.browser.driver import NEWEST, action, ask, living, new_chat, newest, open_tab, ready, send, settled, unfold
from tests.support.nvml import TWO_CARDS, make_nvml, nvml_variables
from tests.support.strange_server import models, strange

pytestmark = pytest.mark.browser


def test_without_a_model_the_page_gives_the_next_step_and_a_loaded_model_chats(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--no-model")
    page = visit(served.address)
    page.wait_for_selector("#chat >> text=No model is loaded")
    page.get_by_role("button", name="Open models").click()
    page.wait_for_selector("#model-facts >> text=safetensors")
    page.click("#model-load")
    ready(page)
    page.wait_for_selector("#model-loaded >> text=Memory in use")
    page.click("#close-drawer")
    assert ask(page, "Here we are") == "Here we are"


def test_without_models_the_page_names_the_models_folder(own_paddock: Any, visit: Any, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    for model in list(folder.iterdir()):
        shutil.rmtree(model)
    page = visit(own_paddock().address)
    page.wait_for_selector(f"#chat >> text=into {folder}, then press Refresh")
    page.get_by_role("button", name="Open models").click()
    page.wait_for_selector(f"#model-facts >> text=into {folder}, then press Refresh")


def test_a_message_without_a_model_waits_and_is_answered_later(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--no-model")
    page = visit(served.address)
    send(page, "Answer me later")
    page.wait_for_selector(".toast >> text=No model is loaded")
    page.click(".toast >> text=Open models")
    page.click("#model-load")
    ready(page)
    page.click("#close-drawer")
    action(page, ".message.user", "Get a reply")
    page.wait_for_selector(f"{NEWEST} >> text=Answer me later")


def test_another_model_is_loaded_with_a_changed_setting_and_unload_reports_the_freed_memory(
    own_paddock: Any, visit: Any
) -> None:
    served = own_paddock("--model", "small")
    page = visit(served.address)
    ready(page, "small")
    open_tab(page, "Model")
    page.locator("#model-choice input").click()
    page.get_by_role("option", name="other").click()
    page.wait_for_selector("#model-load >> text=Load other")
    page.fill("#loader-echo-context input", "2048")
    page.press("#loader-echo-context input", "Tab")
    page.wait_for_selector("#memory-plan >> text=Context of 2,048 tokens")
    page.click("#model-load")
    ready(page, "other")
    page.wait_for_selector("#model-loaded >> text=2,048 tokens")
    page.click("#model-unload")
    page.wait_for_selector("#model-loaded >> text=/Unloaded: .* of memory was freed/")
    page.wait_for_selector("#model-pill >> text=No model loaded")


def test_a_setting_outside_its_range_is_named_and_no_model_is_loaded(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--model", "small")
    page = visit(served.address)
    ready(page, "small")
    workers = served.workers()
    open_tab(page, "Model")
    page.wait_for_selector("#model-load")
    page.fill("#loader-echo-context input", "3")
    page.click("#model-load")
    page.wait_for_selector("text=/Context length .* cannot be 3/")
    page.fill("#loader-echo-context input", "4096")
    # In a field beside a slider, which would replace the number by the end of its range.
    page.fill("#loader-echo-slots input[type=number]", "99")
    page.click("#model-load")
    page.wait_for_selector("text=/Replies at once .* cannot be 99/")
    assert page.input_value("#loader-echo-slots input[type=number]") == "99"
    assert served.workers() == workers


def _cache_width(page: Any) -> float:
    """Return the width of the cache's part of the bar in percent."""
    return float(re.findall(r"width: ?([\d.]+)%", page.locator(".plan-bar .cache").get_attribute("style"))[0])


def test_the_memory_plan_follows_the_settings_refuses_and_suggests_what_fits(
    own_paddock: Any, visit: Any, tmp_path: Any
) -> None:
    config = tmp_path / "models" / "small" / "config.json"
    # 160 KB of cache per token: a million tokens take 160 GB.
    shape = {"num_hidden_layers": 10_000, "max_position_embeddings": 1_000_000}
    config.write_text(json.dumps({**json.loads(config.read_text()), **shape}))
    served = own_paddock("--no-model")
    page = visit(served.address, width=390)
    open_tab(page, "Model")
    page.locator("#model-choice input").click()
    page.get_by_role("option", name="small").click()
    page.wait_for_selector("#model-load >> text=Load small")
    page.wait_for_selector("#memory-plan >> text=Context of 4,096 tokens")
    before = _cache_width(page)
    page.fill("#loader-echo-context input", "40960")
    page.wait_for_selector("#memory-plan >> text=Context of 40,960 tokens")
    assert _cache_width(page) > before
    page.fill("#loader-echo-context input", "1000000")
    page.wait_for_selector("#memory-plan .over >> text=Context of 1,000,000 tokens")
    page.wait_for_selector("#memory-plan .warning >> text=Lower Context length to")
    assert page.evaluate(
        "document.querySelector('#drawer').scrollWidth <= document.querySelector('#drawer').clientWidth"
    )
    page.click("#model-load")
    page.wait_for_selector("text=/small was not loaded: this needs about/")
    assert not served.workers()
    page.click("#fit-context")
    page.wait_for_selector("#model-load-anyway", state="hidden")
    assert 40_960 < int(page.input_value("#loader-echo-context input")) < 1_000_000
    page.fill("#loader-echo-context input", "1000000")
    page.click("#model-load-anyway")
    ready(page, "small")
    page.fill("#loader-echo-context input", "8192")
    page.wait_for_selector("#memory-plan >> text=measurements on this machine")


def test_a_new_folder_appears_after_refresh(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--no-model")
    page = visit(served.address)
    open_tab(page, "Model")
    page.wait_for_selector("#model-facts >> text=safetensors")
    (served.models / "small").rename(served.models / "brand-new")
    page.click("#model-refresh")
    page.locator("#model-choice input").click()
    page.get_by_role("option", name="brand-new").wait_for()


def test_a_remote_model_is_loaded_with_the_timeout_of_its_file(own_paddock: Any, visit: Any) -> None:
    chat = "/v1/chat/completions"
    with strange({"/v1/models": models("far"), chat: lambda request: request.texts("Hello ", "from afar")}) as server:
        served = own_paddock("--no-model")
        (served.models / "far.remote.yaml").write_text(f"address: {server.address}/v1\nmodel: far\n")
        page = visit(served.address)
        open_tab(page, "Model")
        page.wait_for_selector("#model-load >> text=Load far")
        unfold(page, "Timeouts")
        assert page.locator("#loader-remote-retries textarea, #loader-remote-retries input").input_value() == ""
        page.fill("#loader-remote-answer_timeout textarea, #loader-remote-answer_timeout input", "20")
        page.click("#model-load")
        ready(page, "far")
        page.click("#close-drawer")
        assert ask(page, "Are you there?") == "Hello from afar"
        served.close()


def test_a_killed_worker_leaves_the_text_and_one_click_retries(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--model", "small")
    page = visit(served.address)
    ready(page)
    send(page, "!long words that go on")
    living(page, 8)
    (worker,) = served.workers()
    os.kill(worker, signal.SIGKILL)
    page.wait_for_selector(".reply-error")
    assert len(newest(page).split()) >= 8
    assert "killed" in page.locator(".reply-error p").inner_text().lower()
    page.wait_for_selector("#model-pill[data-phase=failed]")
    page.locator(".reply-error").get_by_role("button", name="Try again").click()
    living(page, 5)
    ready(page)
    page.click("#stop")
    settled(page)
    page.wait_for_selector(".versions >> text=2 / 2")


def test_after_out_of_memory_one_click_lowers_the_context_and_retries(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--model", "small")
    page = visit(served.address)
    ready(page)
    send(page, "these are some !memory hungry words that come out")
    page.wait_for_selector(".reply-error >> text=Lower Context length")
    page.locator(".reply-error").get_by_role("button", name="Lower and retry").click()
    page.wait_for_selector(".versions >> text=2 / 2")
    page.wait_for_selector("#model-pill[title*='2,048 tokens']")


def test_a_failed_load_is_explained_and_the_page_still_works(own_paddock: Any, visit: Any, tmp_path: Any) -> None:
    served = own_paddock("--no-model")
    page = visit(served.address)
    open_tab(page, "Model")
    unfold(page, "Advanced")
    page.locator("#loader-echo-on_load input").click()
    page.get_by_role("option", name="refuse").click()
    page.click("#model-load")
    page.wait_for_selector(".toast.error >> text=The echo loader refuses")
    page.wait_for_selector("#model-loaded >> text=The echo loader refuses")
    page.wait_for_selector("#model-unload", state="hidden")


@pytest.mark.parametrize("text", ["hello", "!long words and more words"], ids=["idle", "in-mid-answer"])
def test_ctrl_c_with_an_open_page_exits_at_once_without_output(own_paddock: Any, visit: Any, text: str) -> None:
    served = own_paddock("--model", "small")
    page = visit(served.address)
    ready(page)
    send(page, text)
    page.wait_for_selector(".message.assistant")
    said = len(served.lines)
    served.close()
    assert served.lines[said:] == []
    page.wait_for_selector("body.offline")


def test_ctrl_c_ends_a_load_that_a_request_waits_for(own_paddock: Any, visit: Any, tmp_path: Any) -> None:
    kept = tmp_path / "user_data" / "model_settings.yaml"
    kept.write_text("small: {loader: echo, settings: {on_load: hang}}")
    served = own_paddock("--no-model")
    page = visit(served.address)
    page.evaluate(
        """() => {
            const body = JSON.stringify({ model: "small" }), headers = { "Content-Type": "application/json" };
            window.asked = fetch("/paddock/model/load", { method: "POST", body, headers });
        }"""
    )
    page.wait_for_selector("#model-pill[data-phase=loading]")
    served.process.send_signal(signal.SIGINT)
    assert page.evaluate("window.asked.then(answer => answer.status)") == 400
    served.process.wait(30)


def test_a_killed_host_restarts_with_the_chat_and_its_partial_reply(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--model", "small")
    page = visit(served.address)
    ready(page)
    send(page, "!long keep these words for me")
    # A running reply is stored about once a second. Two hundred words take two seconds.
    living(page, 200)
    url = page.url.partition("?")[2]
    page.close()
    served.kill()
    again = own_paddock("--no-model")
    page = visit(f"{again.address}?{url}")
    assert newest(page).startswith("!long keep these words for me")
    page.wait_for_selector(".message-note >> text=Press Continue this reply")


def test_the_page_reconnects_to_a_restarted_paddock(tmp_path: Any, browser: Any, visit: Any) -> None:
    from tests.browser.conftest import Served

    served = Served(prepare(tmp_path), "--model", "small")
    try:
        page = visit(served.wait())
        ready(page)
        new_chat(page)
        ask(page, "Before")
        port = served.address.rpartition(":")[2]
        served.close()
        page.wait_for_selector("body.offline")
        served = Served(tmp_path, "--model", "small", "--port", port)
        served.wait()
        page.wait_for_selector("body:not(.offline)")
        ready(page)
        assert ask(page, "And after") == "And after"
    finally:
        served.close()


def test_the_preferred_aim_changes_the_first_loader(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--no-model")
    page = visit(served.address)
    open_tab(page, "Model")
    page.wait_for_selector("#loader-choice label:first-of-type >> text=Transformers")
    open_tab(page, "Session")
    page.locator("#session-aim label", has_text="Memory").click()
    open_tab(page, "Model")
    page.wait_for_selector("#loader-choice label:first-of-type >> text=HQQ")


def test_models_beside_the_pages_own_are_listed_pinned_and_unloaded(own_paddock: Any, visit: Any) -> None:
    served = own_paddock("--model", "small", "--keep-alive", "10m")
    page = visit(served.address, width=390)
    ready(page, "small")
    body = {"model": "other", "prompt": "hello", "max_tokens": 5}
    assert httpx.post(f"{served.address}/v1/completions", json=body, timeout=90).status_code == 200
    open_tab(page, "Model")
    row = page.locator("#models-beside .loader", has_text="other")
    row.get_by_text(re.compile(" · used .*, unloaded in ")).wait_for()
    assert page.locator("#models-beside .loader").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    inside = "list => [...list.querySelectorAll('button')].every((one) => one.getBoundingClientRect().right <= 390)"
    assert page.locator("#models-beside").evaluate(inside)
    page.get_by_role("button", name="Pin other").click()
    page.get_by_role("button", name="Unpin other").wait_for()
    page.get_by_role("button", name="Unload other").click()
    page.wait_for_selector(".toast >> text=/Unloaded other: .* was freed/")
    page.wait_for_selector("#models-beside", state="hidden")
    assert len(served.workers()) == 1


def test_another_variant_for_the_graphics_card_is_chosen_on_the_page(
    own_paddock: Any, visit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "nvml"
    folder.mkdir()
    for name, value in nvml_variables(make_nvml(folder), folder / "cards.txt", TWO_CARDS).items():
        monkeypatch.setenv(name, value)
    page = visit(own_paddock("--model", "small").address)
    ready(page)
    open_tab(page, "Model")
    page.wait_for_selector("#model-loaded >> text=83 °C, 1,410 of 2,520 MHz, slowed down by heat")
    page.locator("#drawer .fold > button", has_text="Loaders").first.click()
    row = "#loader-xllamacpp"
    page.wait_for_selector(f"{row} >> text=Variant: CUDA 12.8. The best that this machine supports.")
    page.click("#variant-xllamacpp input")
    page.get_by_role("option", name="CPU").click()
    page.wait_for_selector(f"{row} >> text=Variant: CPU. You chose this variant.")
    assert (tmp_path / "user_data" / "variants.yaml").read_text() == "xllamacpp: cpu\n"
