"""The sub-commands, as a person and a program call them. The engine is the echo loader.

What depends on the start of the process, on its pipes or its end runs in a separate process.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from modules.cli.parser import parser, run
from modules.loading.model_loading import ModelLoading
from modules.protocol.events import ModelInfo
from modules.settings.config import build_config
from tests.support.commands import run_command
from tests.support.models import write_model_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def where(tmp_path: Path) -> list[str]:
    """Return flags for a run with a separate models folder."""
    write_model_folder(tmp_path / "models" / "tiny")
    return ["--no-venv", "--show-echo", "--models", str(tmp_path / "models"), "--user-data", str(tmp_path / "user")]


def _webui(root: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command in a separate process."""
    return subprocess.run(
        [sys.executable, "webui.py", *arguments], cwd=root, capture_output=True, text=True, check=False, input=stdin
    )


def test_generate_streams_the_answer_to_stdout(root: Path, where: list[str]) -> None:
    answer = _webui(root, "generate", *where, "--model", "tiny", "--loader", "echo", "--prompt", "good morning")
    assert (answer.returncode, answer.stdout) == (0, "good morning\n")


def test_generate_with_json_ends_with_usage_and_timings(root: Path, where: list[str]) -> None:
    command = ["generate", *where, "--model", "tiny", "--loader", "echo", "--json", "--prompt", "-"]
    answer = _webui(root, *command, "--set", "max_new_tokens=2", "--set", "context=64", stdin="one two three")
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert "".join(line["text"] for line in lines if line["type"] == "chunk") == "one two"
    end = lines[-1]
    assert (end["type"], end["reason"], end["generated_tokens"]) == ("finished", "length", 2)
    assert end["prompt_tokens"] > 0
    assert end["decode_seconds"] >= 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nope"], "There is no model named 'nope'"),
        (["--loader", "nope"], "There is no loader named 'nope'"),
        (["--preset", "nope"], "There is no preset named 'nope'"),
        (["--set", "contxt=5"], "There is no setting named 'contxt'"),
        (["--set", "temperatur=1"], "There is no setting named 'temperatur'. Did you mean 'temperature'?\n"),
        (["--set", "contxt=5"], "Did you mean 'context'?\n"),
        (["--preset", "p" * 300], "is too long. Use at most 100 Latin letters"),
        (["--set", "context"], "--set takes KEY=VALUE"),
        (["--set", "context=5"], "Context length (context) cannot be '5'"),
        (["--set", "top_p=7"], "Top-p (top_p) cannot be '7'"),
        (["--model", "../../etc"], "is not a valid name"),
        (["--model", "/etc/passwd"], "'/etc/passwd' is not a valid name"),
        (["--prompt", "!error"], "The echo loader fails"),
    ],
)
def test_bad_input_is_a_sentence_and_status_1(root: Path, where: list[str], arguments: list[str], words: str) -> None:
    base = ["generate", *where, "--model", "tiny", "--loader", "echo", "--prompt", "x"]
    answer = run_command(root, *base, *arguments)
    assert answer.returncode == 1
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("json_lines", [False, True])
def test_generate_prints_the_notes_of_the_load_to_stderr(
    root: Path,
    where: list[str],
    json_lines: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load = ModelLoading.load

    def load_with_a_note(*given: Any, **named: Any) -> ModelInfo:
        return dataclasses.replace(load(*given, **named), notes=["A chat gets 2048 tokens here."])

    monkeypatch.setattr(ModelLoading, "load", load_with_a_note)
    flags = where[1:] + ["--json"] * json_lines
    assert run(root, ["generate", *flags, "--model", "tiny", "--loader", "echo", "--prompt", "hello"]) == 0
    answer = capsys.readouterr()
    assert "A chat gets 2048 tokens here.\n" in answer.err
    assert "2048" not in answer.out


def test_an_empty_models_folder_is_named_where_models_belong(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    flags = ["--no-venv", "--models", str(tmp_path / "elsewhere"), "--user-data", str(tmp_path / "user")]
    answer = run_command(root, "inspect", *flags, "nope")
    assert f"Put a model folder or a GGUF file into {tmp_path / 'elsewhere'}." in answer.stderr


def test_loaders_lists_each_as_json(root: Path, where: list[str]) -> None:
    rows = {row["name"]: row for row in json.loads(run_command(root, "loaders", *where, "--json").stdout)}
    assert {"echo", "xllamacpp", "llamacpp", "transformers"} <= set(rows)
    for row in rows.values():
        assert {"installed", "runs_here", "why_not", "formats", "size_bytes"} <= set(row)
    assert rows["xllamacpp"]["formats"] == ["gguf"]


def test_inspect_shows_a_models_format_and_its_loaders(root: Path, where: list[str]) -> None:
    facts = json.loads(run_command(root, "inspect", *where, "tiny", "--json").stdout)
    text = json.dumps(facts)
    assert "safetensors" in text
    assert "transformers" in text
    assert "config.json" in run_command(root, "inspect", *where, "tiny").stdout


def test_a_flag_counts_before_the_sub_command_as_after_it(root: Path) -> None:
    flags = ["--trust-pickle", "a", "--trust-remote-code", "b", "--models", ".", "--load-anyway", "--aim", "speed"]
    before, after = (
        build_config(parser().parse_args(line), root)
        for line in ([*flags, "generate", "--prompt", "x"], ["generate", "--prompt", "x", *flags])
    )
    assert before == after
    assert (before.trust_pickle, before.trust_remote_code) == (("a",), ("b",))


def test_a_name_that_a_shell_completed_with_a_slash_is_the_models(root: Path, where: list[str], tmp_path: Path) -> None:
    answer = run_command(root, "generate", *where, "--model", "tiny/", "--loader", "echo", "--prompt", "x")
    assert answer.returncode == 0, answer.stderr
    assert list(yaml.safe_load((tmp_path / "user" / "model_settings.yaml").read_text())) == ["tiny"]
    assert json.loads(run_command(root, "inspect", *where, "tiny/", "--json").stdout)["name"] == "tiny"
    line = ["--model", "tiny/", "--trust-pickle", "tiny/", "--trust-remote-code", "tiny/"]
    config = build_config(parser().parse_args(line), root)
    assert (config.model, config.trust_pickle, config.trust_remote_code) == ("tiny", ("tiny",), ("tiny",))


def test_a_pipe_with_a_small_character_set_gets_question_marks(root: Path, where: list[str]) -> None:
    command = [
        sys.executable,
        "webui.py",
        "generate",
        *where,
        "--model",
        "tiny",
        "--loader",
        "echo",
        "--prompt",
        "caf\u00e9",
    ]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    answer = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False)
    assert (answer.returncode, answer.stdout.strip()) == (0, b"caf?")


def test_a_reader_that_closes_the_pipe_gets_no_error(root: Path, where: list[str]) -> None:
    command = [sys.executable, "webui.py", "--no-venv", "loaders", "--json", *where]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_closed_standard_input_is_a_sentence(root: Path, where: list[str]) -> None:
    command = ["sh", "-c", 'exec "$0" "$@" <&-', sys.executable, "webui.py", "generate", *where, "--prompt", "-"]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert answer.returncode == 1 and "the prompt cannot be read. Write it after --prompt." in answer.stderr


def test_listen_needs_a_secret(root: Path) -> None:
    answer = _webui(root, "--no-venv", "--listen")
    assert answer.returncode == 1
    assert "add --password-file FILE or --api-key-file FILE" in answer.stderr


def test_a_models_folder_that_is_not_there_is_a_sentence(root: Path, tmp_path: Path) -> None:
    answer = _webui(root, "--no-venv", "--models", str(tmp_path / "modles"))
    assert answer.returncode == 1
    assert "modles, given with --models, is not a folder" in answer.stderr


def test_a_port_that_cannot_be_is_a_sentence(root: Path, where: list[str]) -> None:
    answer = _webui(root, *where, "--no-model", "--port", "99999")
    assert answer.returncode == 1
    assert "There is no port 99999" in answer.stderr and "Traceback" not in answer.stderr


def test_a_port_in_use_is_a_sentence(root: Path, where: list[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        answer = _webui(root, *where, "--no-model", "--port", str(port))
    assert answer.returncode == 1
    assert f"Port {port} is in use" in answer.stderr
    assert "Traceback" not in answer.stderr
