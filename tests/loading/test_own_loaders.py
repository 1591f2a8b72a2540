"""Loaders in user_data/loaders: the tutorial of docs/loaders.md, consent, and what bad ones get."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modules.loading.own_loaders import OwnLoaders
from modules.protocol.errors import PaddockError
from modules.runtime.loader_registry import Registry
from modules.settings.user_settings import YamlStore
from modules.system.code_allowlist import CodeAllowlist

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


def _write(folder: Path, name: str, spec: str = SPEC, **files: str) -> Path:
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
    return registry, OwnLoaders(tmp_path / "loaders", store, registry, CodeAllowlist())


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
    place = _write(tmp_path / "loaders", "mine", SPEC + touch)
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
        ("SPEC = 3\n", "a int named SPEC"),
        (SPEC.replace("context: int", "context: complex"), "a setting 'context' of the type complex"),
        (SPEC.replace("512", "'many'"), "Context length (context) cannot be 'many'"),
        (SPEC.replace('"NAME"', '"other"'), "names itself 'other'"),
        (SPEC.replace("None)", "None, requirements='requirements.txt')"), "requirements.txt"),
    ],
)
def test_a_loader_that_cannot_be_used_is_named_and_the_others_work(tmp_path: Path, spec: str, named: str) -> None:
    _write(tmp_path / "loaders", "good")
    _write(tmp_path / "loaders", "bad", spec)
    registry, own = _own(tmp_path)
    own.enable("good")
    with pytest.raises(PaddockError, match=re.escape(named)):
        own.enable("bad")
    assert named in registry.faults["bad"]
    assert "good" in registry.specs and "transformers" in registry.specs
    registry, own = _own(tmp_path)
    assert named in registry.faults["bad"] and "good" in registry.specs


def test_a_loader_with_the_name_of_a_shipped_one_takes_no_place(tmp_path: Path) -> None:
    _write(tmp_path / "loaders", "transformers")
    registry, own = _own(tmp_path)
    with pytest.raises(PaddockError, match="name of a loader that is there already"):
        own.enable("transformers")
    assert registry.get("transformers").title == "Transformers"


def test_what_a_spec_prints_stays_out_of_the_answer(tmp_path: Path) -> None:
    _write(tmp_path / "loaders", "loud", "print('LOUD')\n" + SPEC)
    assert _webui(tmp_path, "loaders", "enable", "loud", "--yes").returncode == 0
    answer = _webui(tmp_path, "loaders", "--json")
    assert "loud" in [row["name"] for row in json.loads(answer.stdout)]
    assert "LOUD" in answer.stderr
