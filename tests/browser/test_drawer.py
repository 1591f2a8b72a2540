"""The tabs Parameters, Session and Notebook in the browser."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.browser.driver import NEWEST, answered, ask, new_chat, open_tab, ready, send, settled, shows, started, unfold

pytestmark = pytest.mark.browser


@pytest.fixture
def page(paddock: Any, visit: Any) -> Any:
    """Return a page with a new chat, a loaded model and neutral parameters."""
    page = visit(paddock.address)
    ready(page)
    new_chat(page)
    open_tab(page, "Parameters")
    neutralize(page)
    return page


def neutralize(page: Any) -> None:
    """Press Neutralize and wait for its effect."""
    begun = time.monotonic_ns()
    page.click("#preset-neutralize")
    shows(page, "#tab-parameters", begun)
    page.wait_for_selector("#preset-notice >> text=Turns every parameter off")


def click(page: Any, label: str) -> None:
    """Click an option of the Session tab and wait until it is saved."""
    begun = time.monotonic_ns()
    page.get_by_label(label, exact=True).click()
    shows(page, "#tab-session", begun)


def number(page: Any, name: str) -> str:
    """Return the number in a parameter's field."""
    return str(page.input_value(f"#param-{name} input[type=number]"))


def test_a_changed_parameter_applies_to_the_next_reply_and_survives_a_reload(page: Any) -> None:
    page.fill("#param-max_new_tokens input", "3")
    page.press("#param-max_new_tokens input", "Enter")
    page.wait_for_selector("#preset-notice >> text=Maximum reply length 3 (was 512)")
    page.click("#close-drawer")
    assert ask(page, "one two three four five").split() == ["one", "two", "three"]
    assert "maximum reply length reached" in page.locator(f"{NEWEST} .finish-reason").inner_text()
    page.reload()
    started(page)
    open_tab(page, "Parameters")
    page.wait_for_function("document.querySelector('#param-max_new_tokens input').value === '3'")
    page.click("#preset-neutralize")
    page.wait_for_function("document.querySelector('#param-max_new_tokens input').value === '512'")


def test_escape_closes_an_open_list_before_the_drawer(page: Any) -> None:
    page.locator("#preset input").click()
    page.get_by_role("option", name="Creative").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("option", name="Creative").wait_for(state="detached")
    assert "drawer-open" in page.locator("body").get_attribute("class")
    page.keyboard.press("Escape")
    page.wait_for_function("!document.body.classList.contains('drawer-open')")
    open_tab(page, "Parameters")


def test_an_invalid_number_is_explained_and_the_current_one_restored(page: Any) -> None:
    box = "#param-temperature input[type=number]"
    page.fill(box, "0.7")
    page.press(box, "Tab")
    page.wait_for_selector("#preset-notice >> text=Temperature 0.7")
    for text, words in (("", "Temperature is empty. It takes"), ("99", "Temperature .* cannot be 99")):
        page.fill(box, text)
        page.press(box, "Tab")
        page.wait_for_selector(f"text=/{words}/")
        page.wait_for_function("box => document.querySelector(box).value === '0.7'", arg=box)
        answered(page)
    page.fill(box, "1")
    page.press(box, "Tab")
    page.wait_for_selector("text=/cannot be 99/", state="detached")


def test_a_preset_can_be_selected_changed_restored_saved_and_deleted(page: Any) -> None:
    page.locator("#preset input").click()
    page.get_by_role("option", name="Creative").click()
    page.wait_for_function("document.querySelector('#param-temperature input[type=number]').value !== '1'")
    answered(page)
    chosen = number(page, "temperature")
    page.fill("#param-temperature input[type=number]", "0.33")
    page.press("#param-temperature input[type=number]", "Tab")
    page.wait_for_selector("#preset-notice >> text=Temperature 0.33")
    unfold(page, "Save or delete a preset")
    page.fill("#preset-name input, #preset-name textarea", "Mine")
    page.click("#preset-save")
    page.wait_for_function("document.querySelector('#preset input').value === 'Mine'")
    answered(page)
    page.locator("#preset input").click()
    page.get_by_role("option", name="Creative").click()
    page.wait_for_function(
        "value => document.querySelector('#param-temperature input[type=number]').value === value", arg=chosen
    )
    answered(page)
    page.locator("#preset input").click()
    page.get_by_role("option", name="Mine").click()
    page.wait_for_function("document.querySelector('#param-temperature input[type=number]').value === '0.33'")
    answered(page)
    page.fill("#param-temperature input[type=number]", "0.5")
    page.press("#param-temperature input[type=number]", "Tab")
    page.wait_for_selector("#preset-notice >> text=(was 0.33)")
    page.click("#preset-restore")
    page.wait_for_function("document.querySelector('#param-temperature input[type=number]').value === '0.33'")
    page.click("#preset-delete")
    page.wait_for_function("document.querySelector('#preset input').value === 'Neutral'")


def test_a_value_outside_the_range_is_refused_with_a_sentence(page: Any) -> None:
    unfold(page, "Other")
    page.fill("#param-seed input", "-7")
    page.press("#param-seed input", "Tab")
    page.wait_for_selector("text=/Seed .* cannot be -7/")


def test_invalid_texts_are_explained_until_they_are_corrected(page: Any) -> None:
    unfold(page, "Other")
    order, bias = "#param-sampler_priority textarea", "#param-logit_bias :is(input, textarea)"
    page.fill(order, "top_q")
    page.press(order, "Tab")
    page.wait_for_selector("#param-refused >> text=There is no sampler named 'top_q'")
    page.fill(bias, "13")
    page.press(bias, "Tab")
    page.wait_for_selector("#param-refused >> text=Logit bias cannot be '13'")
    top = page.locator("#param-refused").bounding_box()["y"]
    assert page.locator(".drawer-head").bounding_box()["y"] < top < page.locator(bias).bounding_box()["y"]
    page.fill(order, "top_k")
    page.press(order, "Tab")
    page.wait_for_selector("#param-refused >> text=no sampler", state="detached")
    page.wait_for_selector("#param-refused >> text=Logit bias cannot be '13'")
    page.fill(bias, "13:1")
    page.press(bias, "Tab")
    page.wait_for_selector("#param-refused", state="hidden")
    page.wait_for_selector("#preset-notice >> text=Logit bias 13:1")


def test_a_preset_with_an_error_is_explained_and_the_previous_one_stays(page: Any, paddock: Any) -> None:
    presets = paddock.user_data / "presets"
    presets.mkdir(exist_ok=True)
    (presets / "Broken.yaml").write_text("temprature: 1.0\n")
    page.reload()
    started(page)
    open_tab(page, "Parameters")
    page.locator("#preset input").click()
    page.get_by_role("option", name="Broken").click()
    page.wait_for_selector("#toasts .toast >> text=Did you mean 'temperature'?")
    page.wait_for_function("document.querySelector('#preset input').value === 'Neutral'")
    answered(page)
    assert page.locator(".toast").count() == 1
    (presets / "Broken.yaml").unlink()
    neutralize(page)


def test_two_tabs_can_change_different_parameters(page: Any, visit: Any) -> None:
    other = visit(page.url, context=page.context)
    open_tab(other, "Parameters")
    page.fill("#param-max_new_tokens input", "77")
    page.press("#param-max_new_tokens input", "Enter")
    page.wait_for_selector("#preset-notice >> text=Maximum reply length 77")
    other.fill("#param-top_k input[type=number]", "40")
    other.press("#param-top_k input[type=number]", "Tab")
    other.wait_for_selector("#preset-notice >> text=Top-k 40")
    assert "Maximum reply length 77" in other.locator("#preset-notice").inner_text()
    neutralize(other)


def test_the_selected_theme_is_saved(page: Any) -> None:
    open_tab(page, "Session")
    click(page, "Dark")
    page.wait_for_selector("body.dark")
    page.reload()
    started(page)
    page.wait_for_selector("body.dark")
    open_tab(page, "Session")
    click(page, "Follow the system")
    page.wait_for_selector("body:not(.dark)")


def test_a_new_chat_has_the_selected_character(page: Any, paddock: Any) -> None:
    folder = paddock.user_data / "characters"
    # Other tests on this server may have made it.
    folder.mkdir(exist_ok=True)
    (folder / "Ada.yaml").write_text("name: Ada\ncontext: You are Ada.\ngreeting: Good day, {{user}}.\n")
    page.reload()
    open_tab(page, "Session")
    page.click("#session-character input")
    page.get_by_role("option", name="Ada").click()
    answered(page)
    page.click("#close-drawer")
    page.click("#new-chat")
    page.wait_for_selector("#chat.empty :text('Good day, You.')")
    ask(page, "hello")
    assert page.locator(".message .message-body").first.inner_text() == "Good day, You."
    open_tab(page, "Session")
    page.click("#session-character input")
    page.get_by_role("option", name="None").click()
    answered(page)
    (folder / "Ada.yaml").unlink()


def test_without_autosave_settings_last_until_they_are_discarded(page: Any, paddock: Any) -> None:
    open_tab(page, "Session")
    click(page, "Save settings as I change them")
    page.fill("#session-system textarea", "Speak like a horse.")
    page.press("#session-system textarea", "Tab")
    page.wait_for_selector("#session-unsaved >> text=There are unsaved changes")
    assert "horse" not in (paddock.user_data / "settings.yaml").read_text()
    begun = time.monotonic_ns()
    page.click("#session-discard")
    shows(page, "#tab-session", begun)
    page.wait_for_function("document.querySelector('#session-system textarea').value === ''")
    click(page, "Save settings as I change them")
    page.fill("#session-system textarea", "Speak like a mule.")
    page.press("#session-system textarea", "Tab")
    begun = time.monotonic_ns()
    page.click("#session-reset")
    shows(page, "#tab-session", begun)
    page.wait_for_function("document.querySelector('#session-system textarea').value === ''")
    assert page.locator("#session-unsaved").inner_text().strip() == ""


def test_undo_takes_back_restore_defaults(page: Any) -> None:
    open_tab(page, "Session")
    click(page, "Dark")
    page.fill("#session-system textarea", "Speak like a pony.")
    page.press("#session-system textarea", "Tab")
    answered(page)
    page.click("#session-reset")
    page.wait_for_function("document.querySelector('#session-system textarea').value === ''")
    page.wait_for_selector("body:not(.dark)")
    page.click("#toasts >> text=Undo")
    page.wait_for_function("document.querySelector('#session-system textarea').value === 'Speak like a pony.'")
    page.wait_for_selector("body.dark")
    page.click("#session-reset")
    page.wait_for_function("document.querySelector('#session-system textarea').value === ''")
    page.wait_for_selector("#toasts >> text=Undo")
    page.click("#session-reset")
    page.wait_for_selector("#toasts >> text=already at its default")


def test_the_notebook_continues_the_text_streams_stops_and_undoes(page: Any) -> None:
    page.click("#close-drawer")
    page.click("[data-view=notebook]")
    page.fill("#notebook-text", "!long once upon a time")
    page.wait_for_selector("#notebook-count >> text=5 tokens · 5 words")
    page.click("#notebook-generate")
    page.wait_for_function("document.querySelector('#notebook-text').value.split(/\\s+/).length > 20")
    page.reload()
    started(page)
    if page.evaluate("document.body.dataset.view") != "notebook":
        page.click("[data-view=notebook]")
    page.wait_for_function("document.querySelector('#notebook-text').value.split(/\\s+/).length > 40")
    page.keyboard.press("Escape")
    page.wait_for_selector("#notebook-generate", state="visible")
    text = page.input_value("#notebook-text")
    assert text.startswith("!long once upon a time")
    page.click("#notebook-undo")
    page.wait_for_function("document.querySelector('#notebook-text').value === '!long once upon a time'")
    page.click("#notebook-redo")
    page.wait_for_function("text => document.querySelector('#notebook-text').value === text", arg=text)


def test_a_template_is_chosen_previewed_and_reset(page: Any) -> None:
    open_tab(page, "Model")
    unfold(page, "Chat template")
    page.locator("#template-choice input").click()
    page.get_by_role("option", name="Alpaca").click()
    page.wait_for_function("document.querySelector('#template-text textarea').value.includes('### Response')")
    page.click("#template-try")
    page.wait_for_selector("#template-result >> text=### Instruction:")
    page.click("#template-use")
    page.wait_for_selector("#template-source >> text=In use: Alpaca")
    page.fill("#template-text textarea", "{% for x in %}")
    page.click("#template-use")
    page.wait_for_selector("text=/syntax error/")
    page.locator("#template-choice input").click()
    page.get_by_role("option", name="From the model").click()
    page.wait_for_function("!document.querySelector('#template-text textarea').value.includes('x in')")
    page.click("#template-use")
    page.wait_for_selector("#template-source >> text=no chat template, so ChatML is used")
    page.click("#close-drawer")
    send(page, "Still here")
    settled(page)
