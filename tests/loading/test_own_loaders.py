"""Loaders in user_data/loaders: the tutorial of docs/loaders.md, consent, and what bad ones get."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modules.cli.application import build_app
from modules.loading.loader_packages import find_package_loaders
from modules.loading.own_loaders import OwnLoaders
from modules.protocol.errors import PaddockError
from modules.runtime.loader_registry import Registry
from modules.settings.config import Config
from modules.settings.user_settings import YamlStore
from modules.system.code_allowlist import CodeAllowlist
from modules.ui.page import build_page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "loaders.md"

SPEC = """
from dataclasses import dataclass
from paddock import LoaderSpec, setting

@dataclass(frozen=True)
class Settings:
    context: int = setting(512, label="Context length")

SPEC = LoaderSpec("NAME", "Name", "A test.", ("x",), Settings, lambda facts, machine: None)
"""


def write_loader(folder: Path, name: str, spec: str = SPEC, **files: str) -> Path:
    """Write a loader into `folder`, and return its folder."""
    place = folder / name
    place.mkdir(parents=True)
    (place / "spec.py").write_text(spec.replace("NAME", name), encoding="utf-8")
    (place / "worker.py").write_text("class Engine: pass\n", encoding="utf-8")
    for file, text in files.items():
        (place / file).write_text(text, encoding="utf-8")
    return place


def _own(tmp_path: Path) -> tuple[Registry, OwnLoaders]:
    registry = Registry(ROOT / "loaders")
    store = YamlStore(tmp_path / "loaders.yaml")
    return registry, OwnLoaders(tmp_path / "loaders", find_package_loaders(), store, registry, CodeAllowlist())


def _webui(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "models").mkdir(exist_ok=True)
    places = ["--user-data", str(tmp_path), "--models", str(tmp_path / "models")]
    command = [sys.executable, "webui.py", "--no-venv", *arguments, *places]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_reference_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("make_loader_reference", ROOT / "docs" / "make_loader_reference.py")
    assert spec is not None and spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    text = PAGE.read_text(encoding="utf-8")
    assert maker.page(text) == text, "run python3 docs/make_loader_reference.py"


def test_the_loader_of_the_tutorial_chats(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    files = re.findall(r"^`user_data/(\S+)`:\n\n```python\n(.*?)^```", text, re.M | re.S)
    assert len(files) == 2
    for name, code in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code, encoding="utf-8")
    story = tmp_path / "models" / "story"
    story.mkdir(parents=True, exist_ok=True)
    words = re.search(r'echo "(.*?)" > models/story', text)
    assert words is not None
    (story / "corpus.txt").write_text(words[1], encoding="utf-8")

    assert "loaders enable babble --yes" in _webui(tmp_path, "loaders").stderr
    refused = _webui(tmp_path, "generate", "--model", "story", "--prompt", "the")
    assert refused.returncode == 1 and "corpus.txt" in refused.stderr
    assert _webui(tmp_path, "loaders", "enable", "babble").returncode == 1
    assert _webui(tmp_path, "loaders", "enable", "babble", "--yes").returncode == 0

    inspected = json.loads(_webui(tmp_path, "inspect", "story", "--json").stdout)
    assert [entry["loader"] for entry in inspected["loaders"] if entry["runs"]] == ["babble"]
    answer = _webui(tmp_path, "generate", "--model", "story", "--prompt", "the", "--set", "max_new_tokens=8", "--json")
    *_, last = [json.loads(line) for line in answer.stdout.splitlines()]
    assert last["generated_tokens"] == 8, answer.stderr
    chat = _webui(tmp_path, "generate", "--model", "story", "--prompt", "the", "--raw", "--set", "max_new_tokens=8")
    assert set(chat.stdout.split()) <= set(words[1].split()) and len(chat.stdout.split()) == 8


def test_code_runs_after_consent_and_as_it_was_then(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    touch = f"\nopen({str(marker)!r}, 'a').close()\n"
    place = write_loader(tmp_path / "loaders", "mine", SPEC + touch)
    registry, own = _own(tmp_path)
    assert not marker.exists() and "mine" not in registry.specs
    assert list(own.waiting()) == ["mine"]
    own.enable("mine")
    assert marker.exists() and registry.get("mine").title == "Name"
    assert not own.waiting()
    registry, own = _own(tmp_path)
    assert "mine" in registry.specs and own.variables("mine")

    marker.unlink()
    (place / "spec.py").write_text((place / "spec.py").read_text() + "\n# changed\n")
    registry, own = _own(tmp_path)
    assert not marker.exists() and "mine" not in registry.specs and list(own.waiting()) == ["mine"]


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("SPEC = (\n", "SyntaxError"),
        ("raise SystemExit(3)\n", "ends the program"),
        ("SPEC = 3\n", "a int named SPEC; it must be a LoaderSpec"),
        (SPEC.replace("context: int", "context: complex"), "a setting 'context' of the type complex"),
        (SPEC.replace("512", "'many'"), "Context length (context) cannot be 'many'"),
        (SPEC.replace('"NAME"', '"other"'), "has the name 'other'"),
        (SPEC.replace("None)", "None, requirements='requirements.txt')"), "requirements.txt"),
    ],
)
def test_a_loader_that_cannot_be_used_is_named_and_the_others_work(tmp_path: Path, spec: str, named: str) -> None:
    write_loader(tmp_path / "loaders", "good")
    write_loader(tmp_path / "loaders", "bad", spec)
    registry, own = _own(tmp_path)
    own.enable("good")
    with pytest.raises(PaddockError, match=re.escape(named)):
        own.enable("bad")
    assert named in registry.faults["bad"]
    assert "good" in registry.specs and "transformers" in registry.specs
    registry, own = _own(tmp_path)
    assert named in registry.faults["bad"] and "good" in registry.specs


def test_a_loader_with_the_name_of_a_shipped_one_is_not_used(tmp_path: Path) -> None:
    write_loader(tmp_path / "loaders", "transformers")
    registry, own = _own(tmp_path)
    with pytest.raises(PaddockError, match="name of a loader that already exists"):
        own.enable("transformers")
    assert registry.get("transformers").title == "Transformers"
    assert own.variables("transformers") == {}


def test_a_corrected_loader_is_read_again(tmp_path: Path) -> None:
    place = write_loader(tmp_path / "loaders", "mine", SPEC.replace("context: int", "context: complex"))
    registry, own = _own(tmp_path)
    with pytest.raises(PaddockError, match="of the type complex"):
        own.enable("mine")
    (place / "spec.py").write_text(SPEC.replace("NAME", "mine"), encoding="utf-8")
    own.enable("mine")
    assert "mine" in registry.specs and not registry.faults


def test_bad_loaders_are_named_by_the_command_and_on_the_model_tab(tmp_path: Path) -> None:
    bad = {
        "broken": ("SPEC = (\n", "SyntaxError"),
        "wrong": (SPEC.replace("context: int", "context: complex"), "of the type complex"),
        "unpinned": (SPEC.replace("None)", "None, requirements='pins.txt')"), "needs the file pins.txt"),
        "echo": (SPEC, "already exists"),
    }
    _registry, own = _own(tmp_path)
    write_loader(tmp_path / "loaders", "good")
    own.enable("good")
    for name, (spec, _) in bad.items():
        write_loader(tmp_path / "loaders", name, spec)
        with pytest.raises(PaddockError):
            own.enable(name)

    answer = _webui(tmp_path, "loaders", "--json")
    assert {"good", "transformers"} <= {row["name"] for row in json.loads(answer.stdout)}
    listed = _webui(tmp_path, "loaders").stderr
    page = _model_tab(tmp_path)
    for name, (_, fault) in bad.items():
        assert f"{name}/spec.py" in listed and fault in listed, name
        assert f"{name}: " in page and fault in page, name


def _model_tab(user_data: Path) -> str:
    """Return the texts of all parts of the page."""
    config = Config(ROOT, user_data=user_data, models=user_data / "models")
    app = build_app(config)
    try:
        components = build_page(app).get_config_file()["components"]
    finally:
        app.close()
    return "\n".join(str(part["props"].get("value")) for part in components if part["type"] == "html")


def test_what_a_spec_and_an_engine_print_stays_out_of_the_answer(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, code in re.findall(r"^`user_data/(\S+)`:\n\n```python\n(.*?)^```", text, re.M | re.S):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        loud = re.sub(r"(    def (?:load|generate)\(.*\n)", r"\1        print('LOUD', flush=True)\n", code)
        file.write_text(f"print('LOUD', flush=True)\n{loud}", encoding="utf-8")
    story = tmp_path / "models" / "story"
    story.mkdir(parents=True)
    (story / "corpus.txt").write_text("the cat saw the dog and the dog saw the cat", encoding="utf-8")
    assert _webui(tmp_path, "loaders", "enable", "babble", "--yes").returncode == 0
    answer = _webui(tmp_path, "loaders", "--json")
    assert "babble" in [row["name"] for row in json.loads(answer.stdout)]
    assert "LOUD" in answer.stderr
    chat = _webui(tmp_path, "generate", "--model", "story", "--prompt", "the", "--raw", "--set", "max_new_tokens=8")
    assert len(chat.stdout.split()) == 8 and "LOUD" not in chat.stdout, chat.stderr
