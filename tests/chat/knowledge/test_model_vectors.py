"""Search by meaning with embedding models in the models folder: a folder for Transformers and a GGUF file, for real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.app import App
from modules.chat.knowledge.definitions import Definitions
from modules.chat.knowledge.vectors import PACKAGES
from modules.cli.application import build_app
from modules.plugins import requirements
from modules.protocol.errors import PaddockError
from modules.runtime.environment import Environments
from modules.settings.config import Config
from modules.settings.user_settings import YamlStore
from tests.conftest import ROOMY, ROOT
from tests.support.environments import installed, not_here
from tests.support.models import write_model_folder
from tests.support.tiny_bert import write_embedder, write_embedder_gguf

pytestmark = pytest.mark.slow
LOADERS = {"folder": "transformers", "vectors.gguf": "xllamacpp"}
SHORT = "tulips grow behind the house"
# These models read 128 letters: the passage is cut in parts.
LONG = "The boiler in the cellar needs one and a half bar of water pressure, or the pump stops. " * 6


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an App with the two models, the store of vectors, and a model that chats."""
    folder = tmp_path_factory.mktemp("vectors")
    write_embedder(folder / "models" / "folder")
    write_embedder_gguf(folder / "models" / "vectors.gguf")
    write_model_folder(folder / "models" / "tiny")
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data", show_echo=True))
    try:
        try:
            # The other package is the small model that is not used here.
            store = [one for one in PACKAGES if one.startswith("usearch")]
            requirements.install(store, app.paths.knowledge_packages)
        except PaddockError as error:
            pytest.skip(f"USearch cannot be installed here. {error.message}")
        app.models.load("tiny", "echo", ROOMY)
        yield app
    finally:
        app.close()


@pytest.mark.parametrize("name", LOADERS)
def test_a_model_of_the_models_folder_finds_passages_by_meaning(
    app: App, environments: Environments, tmp_path: Path, name: str
) -> None:
    spec = app.registry.get(LOADERS[name])
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    installed(spec, environments)
    for file, text in (("garden.txt", SHORT), ("boiler.txt", LONG)):
        (tmp_path / file).write_text(text, "utf-8")
    knowledge, phases = app.knowledge, list[str]()
    app.settings.set("knowledge_model", name)
    made = knowledge.create(f"Manuals {name}", str(tmp_path))
    assert knowledge.prepare([made], 300) == []
    state = knowledge.read_now(made, lambda phase, done, total: phases.append(phase))
    assert (state.notes, state.passages, state.vectors) == ((), 2, 2)
    # It is loaded beside the model that chats.
    model = app.pool.find(name)
    assert model is not None and model.supervisor.state.loader == LOADERS[name]
    assert app.supervisor.state.model == "tiny"
    id = Definitions(YamlStore(app.paths.knowledge_list), app.paths.knowledge / "files").find(made).id
    for question, path in ((SHORT.upper(), "garden.txt"), (LONG.strip(), "boiler.txt")):
        (nearest,) = knowledge.vectors.search([id], name, question, 1)
        assert [one.path for one in knowledge.search([made], question, 8)[0] if one.id == nearest] == [path]
    found, notes = knowledge.search([made], "zzzz", 8)
    assert len(found) == 2 and notes == []
