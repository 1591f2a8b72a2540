"""Untrusted text on the terminal: no escape sequence reaches it from any code; a pipe gets a reply unchanged."""

from __future__ import annotations

import io
import json
import logging
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from modules.cli.terminal import ProgressLine, VisibleStream, visible, visible_output, write_reply
from modules.plugins.console import Console

pytestmark = pytest.mark.slow

EVIL = "a\x1b]0;title\x07\x1b[2J\x9b31m\rb\u202egnp.exe\u2066\x7f\u2028c"
CLEAN = "a�]0;title��[2J�31m�b�gnp.exe���c"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_control_characters_are_replaced_and_other_text_is_unchanged() -> None:
    assert visible(EVIL) == CLEAN
    plain = "line\n\ttab Zoë 日本語 עברית العربية 🦊‍👩 é"
    assert visible(plain) == plain


def test_printed_logged_and_raised_text_has_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with visible_output():
        print(EVIL)
        print(EVIL, file=sys.stderr)
        logging.StreamHandler().emit(logging.LogRecord("x", 30, "x", 1, EVIL, (), None))
        sys.stdout.writelines([EVIL])
        ProgressLine(lambda: 0.0)(EVIL, 0.5)
    assert "\x1b" not in out.getvalue() + err.getvalue()
    assert out.getvalue() == f"{CLEAN}\n{CLEAN}"
    assert sys.stdout is out and sys.stderr is err


def test_progress_rewrites_its_line_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    with visible_output():
        line = ProgressLine(lambda: 0.0)
        line("Loading a\rb\nc", None)
        line.close()
    assert err.getvalue().startswith("\rLoading a�b c (0 s)") and err.getvalue().endswith("\r")


def test_a_reply_is_exact_in_a_pipe_and_visible_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in ((io.StringIO(), EVIL), (Terminal(), CLEAN)):
        monkeypatch.setattr(sys, "stdout", VisibleStream(stream))
        write_reply(EVIL)
        assert stream.getvalue() == expected


def test_a_reply_is_exact_though_an_extensions_console_stands_before(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, console = io.StringIO(), Console()
    monkeypatch.setattr(sys, "stdout", stream)
    with visible_output():
        console.open()
        write_reply(EVIL)
        print(EVIL)
        console.close()
    assert stream.getvalue() == f"{EVIL}{CLEAN}\n"


def _inspect(root: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(root / "webui.py"), "--no-venv", "--models", str(tmp_path / "models")]
    command += ["--user-data", str(tmp_path / "data"), *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, check=False, timeout=120)


def _gguf(path: Path, architecture: str) -> None:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    keys = {"general.architecture": architecture, "general.name": EVIL}
    body = b"".join(text(key) + struct.pack("<I", 8) + text(value) for key, value in keys.items())
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys)) + body)


def test_metadata_and_file_names_of_a_model_reach_no_terminal(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    config = {
        "model_type": EVIL,
        "architectures": [EVIL],
        "torch_dtype": EVIL,
        "quantization_config": {"quant_method": EVIL},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "a\x1b[31mb.py").write_text("")
    (folder / "a\x1b[31mb.bin").write_bytes(b"x")
    _gguf(tmp_path / "models" / "x.gguf", EVIL)
    for arguments in (
        ("inspect", "m"),
        ("inspect", "x.gguf"),
        ("inspect", EVIL),
        ("generate", "--prompt", "x", "--model", "m"),
    ):
        answer = _inspect(root, tmp_path, *arguments)
        said = (answer.stdout + answer.stderr).decode("utf-8", "surrogateescape")
        assert said == visible(said), arguments
        assert "Traceback" not in said


@pytest.mark.skipif(os.name == "nt", reason="pseudo terminals are a matter of Unix")
def test_generate_writes_a_reply_exactly_into_a_pipe(root: Path, tmp_path: Path) -> None:
    from tests.support.models import write_model_folder

    write_model_folder(tmp_path / "models" / "tiny")
    prompt = "one \x1b[31mtwo"
    flags = ("--show-echo", "generate", "--raw", "--model", "tiny", "--loader", "echo", "--prompt", prompt)
    answer = _inspect(root, tmp_path, *flags)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"{prompt}\n".encode()
