"""Images for a model on another server: passed on as data, if its model sees them."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.protocol.commands import Generate
from modules.protocol.errors import PromptError
from modules.settings.config import Config
from tests.conftest import ROOMY
from tests.support.pictures import BLUE, RED, png
from tests.support.server import serving
from tests.support.strange_server import Strange, models, strange

FILE = "far.remote.yaml"


@contextmanager
def _near(config: Config, tmp_path: Path, address: str, **settings: Any) -> Iterator[App]:
    """Yield a Paddock that has loaded the model of the server at `address`."""
    (tmp_path / "near").mkdir(exist_ok=True)
    (tmp_path / "near" / FILE).write_text(f"address: {address}\n")
    app = App(dataclasses.replace(config, models=tmp_path / "near", user_data=tmp_path / "near_data", show_echo=False))
    try:
        app.models.load(FILE, "remote", settings)
        yield app
    finally:
        app.close()


def _ask(app: App, picture: bytes) -> str:
    parts = [{"type": "text", "text": "See"}, {"type": "image", "path": app.images.add(picture)}]
    generation = app.supervisor.generate_chat(Generate("", messages=[{"role": "user", "content": parts}]))
    assert generation.wait(60)
    if generation.error:
        raise generation.error
    return generation.text


def test_another_paddock_says_whether_its_model_sees(app: App, config: Config, tmp_path: Path) -> None:
    app.models.load("tiny", "echo", {**ROOMY, "sees_images": True})
    with serving(app) as address, _near(config, tmp_path, address) as near:
        assert near.supervisor.loaded().sees_images
        red, blue, again = (_ask(near, png(colour)) for colour in (RED, BLUE, RED))
        assert red.startswith("image-") and red == again != blue
    app.models.load("tiny", "echo", ROOMY)
    with serving(app) as address, _near(config, tmp_path, address) as near:
        assert not near.supervisor.loaded().sees_images
        with pytest.raises(PromptError, match="does not see images"):
            _ask(near, png(RED))


def test_a_server_that_does_not_say_gets_the_image_as_data(config: Config, tmp_path: Path) -> None:
    def answer(request: Strange) -> None:
        request.texts("a picture")

    answers = {"/v1/models": models("m"), "/v1/chat/completions": answer}
    with strange(answers) as server, _near(config, tmp_path, server.address) as near:
        assert _ask(near, png(RED)) == "a picture"
        (sent,) = (request.body for request in server.seen if request.path == "/v1/chat/completions")
        text, image = sent["messages"][0]["content"]
        assert text == {"type": "text", "text": "See"}
        data = image["image_url"]["url"].removeprefix("data:image/png;base64,")
        assert base64.b64decode(data) == Path(near.images.add(png(RED))).read_bytes()


def test_a_setting_says_that_it_sees_none(config: Config, tmp_path: Path) -> None:
    with (
        strange({"/v1/models": models("m")}) as server,
        _near(config, tmp_path, server.address, images="no") as near,
        pytest.raises(PromptError, match="does not see images"),
    ):
        _ask(near, png(RED))
