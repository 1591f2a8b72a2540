"""Hostile YAML and JSON: each costs little time and ends in a value or a sentence, in whatever part reads it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from modules.chat.characters import Character, CharacterError, Characters
from modules.files.data_files import (
    DataFileError,
    Limits,
    fix_surrogates,
    parse_json,
    parse_yaml,
    read_bytes,
    read_yaml,
    to_yaml,
)
from modules.generation.presets import Presets
from modules.library.scan import ModelLibrary
from modules.plugins.manifest import ManifestError, read_manifest
from modules.protocol.errors import PaddockError, SettingError
from modules.settings.user_settings import ModelSettings, YamlStore

ROOT = Path(__file__).resolve().parents[2]
# A frozen parser takes minutes or for ever; a loaded machine takes seconds to start Python.
SECONDS = 60


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    return "\n".join(lines)


ATTACKS: dict[str, str | bytes] = {
    "aliases within aliases": _bomb(),
    "a text behind ten thousand aliases": f"a: &a {'x' * 500_000}\nb: [{'*a, ' * 10_000}]",
    "a list that holds itself": "name: &a [*a]",
    "an alias to nothing": "name: *nobody",
    "a deep list": "[" * 400_000,
    "a deep list over lines": "[\n" * 200_000,
    "a deep table": "{a: " * 200_000,
    "deep dashes": "- " * 200_000,
    "deep questions": "? " * 200_000,
    "deep indentation": "".join(f"{' ' * n}a:\n" for n in range(1200)),
    "a long sexagesimal number": f"name: {':'.join('1' * 300_000)}",
    "a merge key": "base: &b {greeting: x}\n<<: *b",
    "merge keys within merge keys": "a: &a {<<: {<<: {b: c}}}\n"
    + "".join(f"x{n}: {{<<: *a}}\n" for n in range(10_000)),
    "300,000 keys": "".join(f"k{n}: v\n" for n in range(300_000)),
    "300,000 keys without values": "".join(f"{n}:\n" for n in range(300_000)),
    "a number of 500,000 digits": f"name: {'9' * 500_000}",
    "a fraction of 500,000 digits": f"name: {'9' * 500_000}.5",
    "impossible dates": "name: 2024-13-45\ngreeting: 0000-00-00 99:99:99",
    "a Python tag": "name: !!python/object/apply:os.system ['true']",
    "a custom tag": "name: !secret x",
    "a binary": "name: !!binary aGVsbG8=",
    "60,000 tag directives": "".join(f"%TAG !a{n}! x\n" for n in range(60_000)) + "---\nname: x",
    "two documents": "name: a\n---\nname: b",
    "tab indentation": "name: x\ncontext:\n\tmore: y",
    "a list as a key": "? [a, b]\n: c",
    "a table as a key": "{{a: b}: c}",
    "null bytes": b"name: a\0b",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40,
    "no UTF-8": b"name: \xe9t\xe9",
    "half a UTF-16 file": b"\xff\xfen",
    "a deep list within a text": 'stop: \'"a", ' + "[" * 200_000 + "'",
    "too large": b"# " + b"x" * (9 << 20),
    "unfinished quotes": "name: '" + "''" * 300_000,
    "escapes without end": 'name: "' + "\\\n" * 300_000,
    "escaped quotes without end": '{"name": "' + '\\"' * 400_000,
    "deep JSON": '{"a":' * 100_000,
    "JSON with 400,000 values": f"[{'1,' * 400_000}1]",
    "JSON with a number of 500,000 digits": f'{{"name": {"9" * 500_000}}}',
    "JSON with nothing but quotes": '"' * 900_000,
    "a list": "- a\n- b",
    "a number": "42",
    "nothing": "",
    "half a character": '{"name": "\\ud83e", "context": "x"}',
    "a control character": "name: a\x07b",
    "lists where texts belong": "name: {a: b}\ngreeting: [[x]]\ncontext: {a: {b: c}}\ntemperature: [1]\ntitle: [x]",
}

# Reads the file in every place that reads such files; prints how each ended. Anything but a sentence is a traceback.
_READ = """
import sys
from pathlib import Path
from modules.chat.characters import Characters
from modules.generation.presets import Presets
from modules.library.scan import ModelLibrary
from modules.plugins.manifest import read_manifest
from modules.protocol.errors import PaddockError
from modules.settings.user_settings import ModelSettings, YamlStore

folder, raw = Path(sys.argv[1]), Path(sys.argv[1], "attack").read_bytes()
files = ["x.yaml", "y.json", "extension.yaml", "requirements.txt", "far.remote.yaml", "m/config.json",
         "m/generation_config.json", "m/model.safetensors.index.json", "m/adapter_config.json"]
for name in files:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(raw)
def settings():
    kept = ModelSettings(folder / "x.yaml")
    kept.loader("m"), kept.settings("m", "l"), kept.adapters("m")
for what in (lambda: Characters(folder).load("x"), lambda: Characters(folder).load("y"),
             lambda: Presets(folder, folder).load("x"), lambda: Presets(folder, folder).summary("x"),
             lambda: YamlStore(folder / "x.yaml"), settings, lambda: read_manifest(folder),
             lambda: ModelLibrary(folder).facts("far.remote.yaml"), lambda: ModelLibrary(folder).facts("m")):
    try:
        what()
    except PaddockError as error:
        assert len(error.message) < 1000, error.message[:2000]
        assert error.message.rstrip().endswith("."), error.message
print("read")
"""


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_file_ends_in_a_sentence_everywhere_and_soon(tmp_path: Path, attack: str) -> None:
    raw = ATTACKS[attack]
    (tmp_path / "attack").write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    command = [sys.executable, "-c", _READ, str(tmp_path)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (answer.stdout, answer.returncode) == ("read\n", 0), answer.stderr[-2000:]


def test_a_reader_of_little_memory_refuses_an_alias_bomb() -> None:
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
from modules.files.data_files import DataFileError, parse_yaml
try:
    parse_yaml(sys.stdin.read(), "x")
except DataFileError as error:
    print(error.why)
"""
    if sys.platform != "linux":
        pytest.skip("address space is limited on Linux alone")
    command = [sys.executable, "-c", code]
    answer = subprocess.run(
        command, cwd=ROOT, input=_bomb(), capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert "more than 100,000 values" in answer.stdout


def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("pipes with names are a matter of Unix")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    code = "import sys, pathlib; from modules.files.data_files import read_yaml; read_yaml(pathlib.Path(sys.argv[1]))"
    for name in ("pipe.yaml", "zero.yaml", "folder.yaml"):
        answer = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert "DataFileError" in answer.stderr and name in answer.stderr


PLAIN = """1 -1 007 08 0x1f 0b11 0o17 1_000 1.5 1e5 1.5e+3 1.5e3 .5 -.5 .inf -.inf -.nan yes No ~ null on abc +3 0 -0 1.
y NaN 12e03 4. -010 0_ <a> 'yes' "007\""""


@pytest.mark.parametrize("text", PLAIN.split())
def test_scalars_have_the_types_that_yaml_always_gave_them(text: str) -> None:
    expected = yaml.safe_load(f"a: {text}")["a"]
    value = parse_yaml(f"a: {text}", "x")["a"]
    assert (value, type(value)) == (expected, type(expected))


def test_as_text_scalars_stay_as_they_are_written() -> None:
    text = "a: 007\nb: yes\nc: 1_000\nd: 2024-01-01\ne: 1:30\nf: ~\ng:\nh: [1.10, no]\n1.0: x"
    assert parse_yaml(text, "x", as_text=True) == {
        "a": "007", "b": "yes", "c": "1_000", "d": "2024-01-01", "e": "1:30", "f": None, "g": None,
        "h": ["1.10", "no"], "1.0": "x",
    }  # fmt: skip


def test_few_aliases_are_read_as_earlier_versions_wrote_them() -> None:
    shared = {"loader": "echo"}
    assert parse_yaml(yaml.safe_dump({"a": shared, "b": shared}), "x") == {"a": shared, "b": shared}
    assert "&" not in to_yaml({"a": shared, "b": shared})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_files_of_other_editors_are_read(tmp_path: Path, encoding: str) -> None:
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    (tmp_path / "x.yaml").write_bytes(mark + "name: Zoë 🦊\r\ngreeting: hi\r\n".encode(encoding))
    assert read_yaml(tmp_path / "x.yaml") == {"name": "Zoë 🦊", "greeting": "hi"}


def test_characters_in_two_halves_are_joined_and_lone_halves_replaced() -> None:
    assert parse_json('{"a": "\\ud83e\\udd8a \\ud83e"}', "x") == {"a": "🦊 \ufffd"}
    assert parse_yaml('a: "\\ud83e\\udd8a \\ud83e \\\\ud83e"', "x") == {"a": "🦊 \ufffd \\ud83e"}
    assert fix_surrogates({"\ud83e\udd8a": ["\udd8a", 1]}) == {"🦊": ["\ufffd", 1]}
    assert parse_yaml(to_yaml({"a": "\ud83e"}), "x") == {"a": "\ufffd"}


def test_a_tab_in_the_indentation_is_named() -> None:
    with pytest.raises(DataFileError, match="line 2: .*spaces, not with tabs"):
        parse_yaml("a:\n\tb: c", "x.yaml")


def test_what_a_store_keeps_can_be_read_again(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "1e5": "007",
        "x": "\ud83e",
        "n": 1.5,
        "deep": {"a": [1, "yes", None, True]},
        "i": math.inf,
    }
    YamlStore(tmp_path / "s.yaml").update(values)
    assert YamlStore(tmp_path / "s.yaml").items() == {**values, "x": "\ufffd"}


def test_a_link_to_a_file_is_read_and_its_size_is_limited(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x" * 100)
    (tmp_path / "link").symlink_to("real")
    assert read_bytes(tmp_path / "link") == b"x" * 100
    with pytest.raises(DataFileError, match="larger than"):
        read_bytes(tmp_path / "link", Limits(size=99))


def test_the_sentences_name_the_file_and_the_cause(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(_bomb())
    with pytest.raises(CharacterError, match=r"x\.yaml cannot be read: it holds more than 100,000 values"):
        Characters(tmp_path).load("x")
    with pytest.raises(SettingError, match=r"x\.yaml cannot be read: it holds more than 100,000 values"):
        Presets(tmp_path, tmp_path).load("x")
    with pytest.raises(PaddockError, match=r"x\.yaml in the user data folder cannot be read: it holds more"):
        ModelSettings(tmp_path / "x.yaml")
    (tmp_path / "extension.yaml").write_text(_bomb())
    with pytest.raises(ManifestError, match="more than 5,000 values"):
        read_manifest(tmp_path)
    (tmp_path / "far.remote.yaml").write_text(_bomb())
    assert "more than 100,000 values" in ModelLibrary(tmp_path).facts("far.remote.yaml").problems[0]


def test_a_manifest_keeps_its_texts_and_refuses_lists_in_their_place(tmp_path: Path) -> None:
    (tmp_path / "extension.yaml").write_text("title: yes\nversion: 1.10\nseconds: 2.5\n")
    manifest = read_manifest(tmp_path)
    assert (manifest.title, manifest.version, manifest.seconds) == ("yes", "1.10", 2.5)
    for text in ("title: [a]", "version: {a: b}", "settings: {class: {default: 1}}"):
        (tmp_path / "extension.yaml").write_text(text)
        with pytest.raises(ManifestError):
            read_manifest(tmp_path)


def test_texts_in_a_preset_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("stop: [no, 007, '\\n']\ntemperature: 0.5\n")
    assert Presets(tmp_path, tmp_path).load("x").stop == ["no", "007", "\\n"]


def test_a_saved_character_with_an_odd_name_comes_back(tmp_path: Path) -> None:
    for name in ("007", "yes", "null", "1:30", "2024-01-01", "\ud83e\udd8a", "=", "<<", "- a", "#"):
        Characters(tmp_path).save("x", Character(name, context="1_000", greeting="~"))
        found = Characters(tmp_path).load("x")
        assert (found.name, found.context, found.greeting) == (fix_surrogates(name), "1_000", "~")
