"""modules/ui/gradio_internals was checked with one version of Gradio. Everything it leans on must exist in it.

Before another version is named here: read what each file there leans on, run this test and tests/browser.
"""

from __future__ import annotations

import inspect
import sys
from abc import ABCMeta
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from gradio import component_meta
from gradio.block_function import BlockFunction
from gradio.blocks import Block, BlocksConfig
from gradio.context import Context, LocalContext
from gradio.renderable import Renderable

from modules.ui.gradio_internals.component_classes import DerivedMeta, DrawnAsReal, is_block
from modules.ui.gradio_internals.drawing import Drawing, draw_into, page_being_built
from modules.ui.gradio_internals.event_listeners import EVENT_NAMES, Dependency, listeners_of, no_dependency
from modules.ui.gradio_internals.event_queue import slow_down_queue
from modules.ui.gradio_internals.hidden_state import hidden_state, send_to_script
from modules.ui.gradio_internals.page_html import with_nonce
from modules.ui.gradio_internals.slider import UncheckedSlider
from modules.ui.gradio_internals.stub_files import skip_stub_files

CHECKED_VERSION = "6.31.0"
ROOT = Path(__file__).resolve().parents[2]
FRONTEND = Path(gr.__file__).parent / "templates" / "frontend"


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    """A page with a fold, an event, and a part that is drawn again."""
    blocks: gr.Blocks
    with gr.Blocks() as blocks:
        text = hidden_state()
        with gr.Accordion("Fold", open=False):
            gr.Number()
        gr.Button().click(lambda: "x", None, text)

        @gr.render(inputs=text)  # type: ignore[untyped-decorator]
        def draw(_: str) -> None:
            gr.HTML("")

    return blocks


@pytest.fixture(scope="module")
def client(page: gr.Blocks) -> Iterator[TestClient]:
    """A client of Gradio's application."""
    server = FastAPI()
    gr.mount_gradio_app(server, page, path="/", ssr_mode=False)
    with TestClient(server) as client:
        yield client


@pytest.fixture(scope="module")
def scripts() -> str:
    """All scripts of Gradio's page."""
    return "".join(path.read_text("utf-8") for path in sorted((FRONTEND / "assets").glob("*.js")))


def test_the_installed_and_the_pinned_gradio_are_the_checked_version() -> None:
    assert version("gradio") == CHECKED_VERSION
    assert f"gradio=={CHECKED_VERSION}" in (ROOT / "requirements" / "host.txt").read_text("utf-8")
    assert f'"gradio=={CHECKED_VERSION}"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_an_event_may_name_no_component_for_its_progress(page: gr.Blocks, scripts: str) -> None:
    function = next(iter(page.default_config.fns.values()))
    assert {"show_progress", "show_progress_on"} <= vars(function).keys()
    assert {"show_progress", "show_progress_on"} <= page.config["dependencies"][0].keys()
    # An empty list is not replaced by the outputs, as null is.
    assert "get progress_targets(){return this.show_progress_on||this.outputs}" in scripts


def test_rerender_finds_the_tables_of_a_session(page: gr.Blocks) -> None:
    config = page.default_config
    assert isinstance(config, BlocksConfig)
    assert isinstance(config.fns, dict) and isinstance(config.blocks, dict)
    assert isinstance(config.fn_id, int) and isinstance(config.renderables, list)
    assert LocalContext.blocks_config.get(None) is None
    part = next(function for function in config.fns.values() if function.renderable is not None)
    assert isinstance(part, BlockFunction) and isinstance(part.renderable, Renderable)
    assert callable(part.fn) and part.rendered_in is None


def test_drawing_finds_the_open_container_and_the_tables() -> None:
    with gr.Blocks() as blocks, gr.Column() as column:
        drawing = Drawing()
        with gr.Accordion(open=False):
            gr.Button(elem_id="folded")
        gr.Button(elem_id="shown").click(lambda: None)
        gr.Button(elem_id="hidden", visible=False)
        Context.block = None
        drawing.close_containers()
        assert Context.block is column and Context.root_block is blocks
        assert drawing.visible_ids() == ["shown"]
        assert len(drawing.functions()) == 1
    assert isinstance(column, Block) and column.children and column.children[0].parent is column
    assert "visible" in vars(column)


def test_a_part_is_drawn_into_the_container_that_is_named() -> None:
    with gr.Blocks() as blocks:
        assert page_being_built() is blocks
        with gr.Column() as column:
            pass
        with draw_into(column):
            button = gr.Button()
        assert Context.block is blocks
    assert column.children == [button] and page_being_built() is None


def test_a_derived_class_writes_no_file_and_is_drawn_as_the_real_one() -> None:
    derived = DerivedMeta(
        "Text", (DrawnAsReal, gr.Textbox), {"_real": gr.Textbox, "__module__": "modules.ui.gradio_internals"}, ours=True
    )
    with gr.Blocks() as blocks:
        made = derived("x")
    assert isinstance(gr.Textbox(render=False), derived) and is_block(derived) and not is_block(made)
    part = next(part for part in blocks.config["components"] if part["id"] == made._id)
    assert part["type"] == "textbox" and part["props"]["name"] == "textbox"
    assert made._constructor_args
    assert not list((ROOT / "modules" / "ui" / "gradio_internals").glob("*.pyi"))


def test_events_have_names_and_listeners_return_what_others_chain_on() -> None:
    assert {"click", "change", "submit"} <= EVENT_NAMES
    assert {"click"} <= listeners_of(gr.Button).keys() and {"load"} <= listeners_of(gr.Blocks).keys()
    with gr.Blocks():
        assert isinstance(gr.Button().click(lambda: None), Dependency)
    assert isinstance(no_dependency(), Dependency)


def test_the_queue_has_the_pauses_that_are_changed(page: gr.Blocks) -> None:
    assert {"sleep_when_free", "progress_update_sleep_when_free"} <= vars(page._queue).keys()
    slow_down_queue(page)
    assert page._queue.sleep_when_free == page._queue.progress_update_sleep_when_free == 0.1


def test_the_slider_checks_nothing_and_writes_no_file() -> None:
    assert issubclass(type(gr.Slider), ABCMeta) and type(gr.Slider) is not ABCMeta
    assert "payload" in inspect.signature(gr.Slider.preprocess).parameters
    with gr.Blocks():
        assert UncheckedSlider(0, 1).preprocess(7) == 7
    assert not list((ROOT / "modules" / "ui" / "gradio_internals").glob("*.pyi"))


def test_a_hidden_state_is_in_the_page_and_its_change_fires() -> None:
    with gr.Blocks() as blocks:
        state = send_to_script("some-event")
    assert state.visible == "hidden"
    assert any(part["props"]["visible"] == "hidden" for part in blocks.config["components"])
    (event,) = blocks.config["dependencies"]
    assert event["targets"] == [(state._id, "change")] and "some-event" in event["js"]


@pytest.mark.parametrize("path", ["/", "/config", "/theme.css", "/robots.txt", "/gradio_api/info"])
def test_the_served_files_exist(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["queue/join", "queue/data", "queue/status", "run/predict", "upload", "heartbeat/x"])
def test_the_served_calls_exist(client: TestClient, path: str) -> None:
    # No route has this method, or its body is missing: an unknown path would be 404 for both.
    assert {client.request("PATCH", f"/gradio_api/{path}").status_code} == {405}


def test_gradio_puts_the_address_that_a_proxy_names_into_its_config(client: TestClient) -> None:
    headers = {"x-forwarded-proto": "https", "x-forwarded-host": "chat.example"}
    assert client.get("/config", headers=headers).json()["root"] == "https://chat.example"


def test_the_page_has_the_scripts_and_links_that_are_changed(client: TestClient) -> None:
    html = client.get("/").text
    assert "<script>window.gradio_config = {" in html
    assert html.count('const root = "') == 1 and html.count('<link rel="manifest"') == 1
    changed = with_nonce(html, "abc")
    assert 'const root = "' not in changed and '<link rel="manifest"' not in changed
    assert changed.count("<script") == changed.count('<script nonce="abc"')


@pytest.mark.parametrize("text", ["/run${", "/predict", "queue/data", "queue/join", "event_id", "fetch("])
def test_the_page_s_script_has_the_requests_that_are_intercepted(scripts: str, text: str) -> None:
    assert text in scripts


@pytest.mark.parametrize(
    "text", ["label-wrap", "tab-like-container", "pointerup", "mousedown", "listbox", "combobox", "range_id_"]
)
def test_the_page_s_script_has_the_elements_and_events_of_fields(scripts: str, text: str) -> None:
    assert text in scripts


def test_gradio_is_imported_without_writing_stub_files() -> None:
    # tests/conftest.py asks for that before Gradio's first import.
    wrapped = inspect.getsourcefile(component_meta.create_or_modify_pyi)
    assert wrapped == inspect.getsourcefile(skip_stub_files)
    assert len(inspect.signature(component_meta.create_or_modify_pyi).parameters) == 3
    before = list(sys.meta_path)
    skip_stub_files()
    assert sys.meta_path == before, "it looks for no module that is there"


def test_gradio_still_has_the_function_that_writes_stub_files() -> None:
    source = Path(str(component_meta.__file__)).read_text(encoding="utf-8")
    assert "def create_or_modify_pyi(\n    component_class: type, class_name: str, events:" in source
    assert "create_or_modify_pyi(component_class, name, events)" in source
