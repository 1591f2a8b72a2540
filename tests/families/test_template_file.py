"""Each place that a chat template may be in is found, and detection says the same as the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.families.template_file import find_template
from modules.library.detect import detect
from tests.library.writers import write_folder

_LIST = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "words"}]


@pytest.mark.parametrize(
    "file, content",
    [
        ("chat_template.jinja", "words"),
        ("chat_template.json", {"chat_template": "words"}),
        ("chat_template.json", "words"),
        ("chat_template.json", {"chat_template": _LIST}),
        ("chat_template.json", {"default": "words", "rag": "other"}),
        ("tokenizer_config.json", {"chat_template": "words"}),
        ("tokenizer_config.json", {"chat_template": _LIST}),
        ("tokenizer_config.json", {"chat_template": {"default": "words", "rag": "other"}}),
        ("processor_config.json", {"chat_template": "words"}),
        ("additional_chat_templates/default.jinja", "words"),
        ("additional_chat_templates/rag.jinja", "words"),
    ],
)
def test_a_template_is_found_in(tmp_path: Path, file: str, content: Any) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "tokenizer_config.json").write_text("{}")
    assert find_template(folder).text == ""
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if file.endswith(".jinja") else json.dumps(content))
    found = find_template(folder)
    assert (found.text, found.source) == ("words", file)
    facts = detect(folder, "m")
    assert facts.template == file
    assert facts.warnings == ()


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"chat_template": 3}', '{"chat_template": [3]}', "[" * 99999])
def test_what_is_no_template_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "chat_template.json").write_text(content)
    assert find_template(tmp_path).text == ""
