"""Comfort on the page, at two widths: keys, palette, themes, languages, notebooks and voice."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
import yaml

from modules.plugins.folders import discover
from tests.browser.conftest import FLAGS, Served, executable, prepare
from tests.browser.driver import NEWEST, ask, ready, shows, started
from tests.plugins.conftest import write_extension

pytestmark = pytest.mark.browser
PRESS_K = "Control+k"
FIELD = "#chat-input textarea"
# A voice that reads silence, and ears that tell how many seconds they heard.
VOICE = """
    import io, json, wave
    from starlette.responses import JSONResponse, Response

    def speech(request):
        sound = io.BytesIO()
        with wave.open(sound, "wb") as file:
            file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
            file.writeframes(bytes(2 * 8000 * 60))
        return Response(sound.getvalue(), media_type="audio/wav")

    def hear(request):
        with wave.open(io.BytesIO(request.body)) as file:
            heard = any(file.readframes(file.getnframes()))
            rate = file.getframerate()
        if not heard:
            return JSONResponse({"error": {"message": "The recording is silent."}}, 400)
        return JSONResponse({"text": f"heard at {rate}"})

    def api_routes():
        return {"POST /v1/audio/speech": speech, "POST /v1/audio/transcriptions": hear}
"""


@pytest.fixture(scope="module")
def comfortable(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a Paddock with an extension for voice. The tests of this file share it."""
    folder = prepare(tmp_path_factory.mktemp("comfort"), delay=0.005)
    root = folder / "user_data" / "extensions"
    write_extension(root, "voice", VOICE)
    kept = {"enabled": ["voice"], "consent": {name: entry.sha256 for name, entry in discover([root]).items()}}
    (folder / "user_data" / "extensions.yaml").write_text(yaml.safe_dump(kept))
    served = Served(folder, "--model", "small")
    served.wait()
    yield served
    served.close()
    assert not any("Traceback" in line for line in served.lines), served.lines


@pytest.fixture(params=[1280, 390])
def page(comfortable: Served, visit: Any, request: pytest.FixtureRequest) -> Any:
    page = visit(comfortable.address, width=request.param, height=844)
    ready(page)
    return page


def focused(page: Any, selector: str) -> None:
    page.wait_for_function("selector => document.activeElement?.matches(selector)", arg=selector)


def run(page: Any, query: str, group: str, row: str = "") -> None:
    """Find a command in the palette by the keyboard, and run it. `group`: the heading above it. `row`: its text."""
    # The palette does not open above another window, and a window closes only when the host has answered it.
    page.wait_for_function("!document.querySelector('dialog:modal')")
    page.keyboard.press(PRESS_K)
    focused(page, ".palette-field")
    page.keyboard.type(query)
    # The list is complete once what comes from the host is there.
    page.wait_for_function(
        """([group, row]) => {
            let heading = "";
            for (const one of document.querySelectorAll("#palette-list > *")) {
                if (one.matches(".palette-heading")) heading = one.textContent;
                else if (heading === group && one.firstElementChild.textContent.startsWith(row)) return true;
            }
            return false;
        }""",
        arg=[group, row or query],
    )
    for _ in range(60):
        heading, text = page.evaluate(
            """() => {
                const row = document.querySelector("#palette [aria-selected=true]");
                let above = row;
                while (!above.matches(".palette-heading")) above = above.previousElementSibling;
                return [above.textContent, row.firstElementChild.textContent];
            }"""
        )
        if heading == group and text.startswith(row or query):
            page.keyboard.press("Enter")
            page.wait_for_selector("#palette", state="hidden")
            return
        page.keyboard.press("ArrowDown")
    pytest.fail(f"The palette does not reach {query} below {group}.")


def fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def begin(page: Any) -> None:
    """Open a new chat by its key, which works outside of fields."""
    page.wait_for_function("!document.querySelector('dialog[open]')")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("n")
    page.wait_for_selector("#chat.empty .chip")


def test_keys_and_the_palette_reach_one_of_each_kind(page: Any) -> None:
    width = page.viewport_size["width"]
    focused(page, FIELD)
    page.keyboard.type("?")
    assert page.input_value(FIELD) == "?"
    page.keyboard.press("Backspace")
    begin(page)
    focused(page, FIELD)
    word = f"zebra{width}"
    ask(page, f"{word} please")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    page.wait_for_selector("#shortcuts[open] dt >> text=New chat")
    assert page.locator("#shortcuts dt").count() > 10 and fits(page)
    page.keyboard.press("Escape")
    begin(page)
    run(page, word, "Chats")
    page.wait_for_selector(f"{NEWEST} >> text={word} please")
    run(page, "Temperature", "Settings", "Temperature")
    focused(page, "#drawer :is(input, textarea)")
    page.keyboard.press("Escape")
    run(page, "other", "Load a model")
    ready(page, "other")
    run(page, "small", "Load a model")
    ready(page, "small")
    preset = page.evaluate("fetch('paddock/commands/choices').then((a) => a.json()).then((all) => all.presets[1])")
    run(page, preset, "Use a preset")
    page.wait_for_selector(f".toast >> text=The preset is now {preset}.")
    assert fits(page)


@pytest.mark.parametrize(
    ("query", "group", "title"),
    [
        ("Trash", "Actions", "Trash"),
        ("Prompts", "Actions", "Prompts"),
        ("New folder", "Actions", "New folder"),
        ("Import chats", "Actions", "Import chats"),
        ("Export all", "Actions", "Export all chats"),
        ("Characters", "Actions", "Characters"),
        ("Knowledge", "This chat", "Knowledge"),
        ("Settings of this chat", "This chat", "This chat"),
        ("Export or share", "This chat", "Export “"),
    ],
)
def test_the_palette_opens_each_window(opened: Any, query: str, group: str, title: str) -> None:
    run(opened, query, group)
    opened.locator("dialog:modal h2", has_text=title).wait_for()
    assert fits(opened)
    opened.keyboard.press("Escape")
    opened.wait_for_function("!document.querySelector('dialog:modal')")


@pytest.fixture(scope="module")
def opened(comfortable: Served, browser: Any) -> Iterator[Any]:
    """Return a page with a chat, which the tests of the palette share."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(comfortable.address)
    started(page)
    ready(page)
    begin(page)
    ask(page, "A chat for commands")
    yield page
    context.close()


def test_the_palette_begins_a_temporary_chat_and_finds_a_folder(opened: Any) -> None:
    run(opened, "New temporary chat", "Actions")
    opened.wait_for_selector(".temporary-note")
    run(opened, "Keep this chat", "This chat")
    opened.wait_for_selector(".temporary-note", state="detached")
    run(opened, "New folder", "Actions")
    opened.keyboard.type("Drawer")
    opened.keyboard.press("Enter")
    opened.wait_for_function("paddock.sidebar.folders.some(({ name }) => name === 'Drawer')")
    run(opened, "Drawer", "Settings of a folder")
    opened.locator("dialog:modal h2", has_text="Folder Drawer").wait_for()
    opened.keyboard.press("Escape")


def choose_language(page: Any, name: str, code: str) -> None:
    """Choose a language on the Session tab. The page loads again."""
    # Closed first, so that the tab is read again when it opens. Its name depends on the language.
    page.evaluate("paddock.shell.toggleDrawer(false)")
    begun = time.monotonic_ns()
    page.evaluate("paddock.shell.openTab('session')")
    shows(page, "#tab-session", begun)
    page.locator("#session-language input").click()
    page.get_by_role("option", name=name, exact=True).click()
    page.wait_for_selector(f"html[lang={code}] body.started")
    page.wait_for_selector("#drawer .refresh-marker", state="attached")


def test_theme_and_language_survive_a_reload(page: Any) -> None:
    run(page, "Appearance: Dark", "Actions")
    page.wait_for_selector("body.dark")
    choose_language(page, "Deutsch", "de")
    page.wait_for_selector("#new-chat:has-text('Neuer Chat')", state="attached")
    assert page.get_attribute("html", "dir") == "ltr" and fits(page)
    choose_language(page, "العربية", "ar")
    page.evaluate("paddock.shell.toggleDrawer(false)")
    page.reload()
    started(page)
    page.wait_for_selector("html[dir=rtl][lang=ar] body.dark")
    assert fits(page)
    for view in ("notebook", "workshop", "chat"):
        page.click(f"[data-view={view}]")
        assert fits(page), view
    page.evaluate(
        "fetch('paddock/commands/appearance', {method: 'POST', body: JSON.stringify({value: 'system'}),"
        " headers: {'Content-Type': 'application/json'}})"
    )
    page.wait_for_selector("body:not(.dark)")
    choose_language(page, "English", "en")


@pytest.mark.parametrize("width", [1280, 390])
def test_notebooks_show_tokens_and_continue_from_another_one(paddock: Served, visit: Any, width: int) -> None:
    # While an extension is on, which may change the text, the page shows no tokens.
    page = visit(paddock.address, width=width, height=844)
    ready(page)
    names = [f"{name} {width}" for name in ("first", "second")]
    for name in names:
        run(page, "New notebook", "Views")
        focused(page, ".notebook-name")
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        page.wait_for_function("name => document.querySelector('#notebook-choice')?.value === name", arg=name)
        focused(page, "#notebook-text")
        page.keyboard.type(f"one two three {name}")
    run(page, names[0], "Notebooks")
    text = "document.querySelector('#notebook-text').value"
    page.wait_for_function(f"name => {text} === `one two three ${{name}}`", arg=names[0])
    page.locator("#notebook-tokens-switch").focus()
    page.keyboard.press("Enter")
    page.focus("#notebook-text")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#notebook-tokens .token >> nth=2")
    page.wait_for_selector("#notebook-stop", state="hidden")
    before = page.evaluate(text)
    page.locator("#notebook-tokens .token").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".token.chosen")
    other = page.locator("#notebook-tokens .alternative:not([aria-current])").first
    word = other.get_attribute("aria-label").removeprefix("Continue with ").rpartition(",")[0]
    assert fits(page)
    other.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"before => {text} !== before", arg=before)
    page.wait_for_function(f"word => {text}.slice('one two three first'.length).includes(word)", arg=word)
    page.wait_for_selector("#notebook-stop", state="hidden")
    page.click("#notebook-tokens-switch")
    page.click("[data-view=chat]")


def test_a_reply_that_is_read_aloud_shows_it(page: Any) -> None:
    begin(page)
    ask(page, "Read this")
    button = page.locator(f"{NEWEST} .read-aloud")
    assert button.get_attribute("aria-pressed") == "false"
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{NEWEST} .read-aloud[aria-pressed=true][aria-label='Stop reading']")
    focused(page, ".read-aloud")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{NEWEST} .read-aloud[aria-pressed=false][aria-label='Read aloud']")


def test_seldom_buttons_of_a_reply_are_in_a_menu_on_small_screens(page: Any) -> None:
    begin(page)
    ask(page, "Buttons")
    tools = page.locator(f"{NEWEST} .tools")
    if page.viewport_size["width"] > 480:
        assert tools.get_by_role("button", name="Branch from here").is_visible()
        assert not tools.get_by_role("button", name="More for this message").is_visible()
        return
    tops = tools.evaluate("e => [...e.querySelectorAll('button')].filter((b) => b.offsetWidth).map((b) => b.offsetTop)")
    assert len(set(tops)) == 1 < len(tops) < 8, tops
    assert not tools.get_by_role("button", name="Branch from here").is_visible()
    tools.get_by_role("button", name="More for this message").focus()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="Good reply").click()
    page.wait_for_selector(f"{NEWEST} .rated", state="attached")
    tools.get_by_role("button", name="More for this message").click()
    page.locator("[role=menuitem]", has_text="Good reply").locator(".menu-mark").wait_for()
    page.keyboard.press("Escape")


def test_the_dots_of_more_can_be_seen(opened: Any) -> None:
    # In pixels of the screen: the lines of other icons are 1.35 wide, which is too little for a dot.
    size = "e => { const { width } = e.getBoundingClientRect();"
    size += " return parseFloat(getComputedStyle(e).strokeWidth) * (width || 18) / 24; }"
    assert opened.locator("#list-menu .icon").evaluate(size) >= 2.4


def test_the_microphone_records_what_it_hears(comfortable: Served, browser: Any) -> None:
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    speaking = browser.browser_type.launch(executable_path=executable(), args=[*FLAGS, *fake])
    try:
        context = speaking.new_context(viewport={"width": 390, "height": 844}, permissions=["microphone"])
        page = context.new_page()
        page.goto(comfortable.address)
        started(page)
        page.focus("#dictate")
        page.keyboard.press("Enter")
        page.wait_for_selector("#dictate[data-state=recording][aria-pressed=true][aria-label='Stop dictating']")
        # Chromium's device beeps once a second.
        page.evaluate(
            "new Promise((done) => { const begun = performance.now(); const look = () =>"
            " performance.now() - begun > 1500 ? done() : requestAnimationFrame(look); look(); })"
        )
        page.keyboard.press("Enter")
        page.wait_for_function(f"document.querySelector('{FIELD}').value.includes('heard at 16000')")
        page.wait_for_selector("#dictate[data-state=idle][aria-pressed=false]")
    finally:
        speaking.close()


def test_the_manifest_names_icons_that_are_served(comfortable: Served, browser: Any) -> None:
    context = browser.new_context()
    try:
        address = urljoin(comfortable.address, "paddock/static/app/manifest.json")
        answer = context.request.get(address)
        manifest = json.loads(answer.body())
        assert manifest["name"] and urljoin(address, manifest["start_url"]).startswith(comfortable.address)
        for icon in manifest["icons"]:
            picture = context.request.get(urljoin(address, icon["src"]))
            assert picture.ok and picture.headers["content-type"] == icon["type"]
            if icon["type"] == "image/png":
                # The size in the PNG's header.
                assert "{}x{}".format(*struct.unpack(">II", picture.body()[16:24])) == icon["sizes"]
    finally:
        context.close()
