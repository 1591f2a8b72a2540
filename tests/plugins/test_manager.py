"""Extensions are enabled, disabled and need consent. Faults are contained and reported, and the host continues."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import gradio
import pytest

from modules.plugins.consent import ConsentNeeded
from modules.plugins.pipeline import Pipeline
from modules.plugins.requirements import RequirementsMissing
from modules.protocol.errors import PaddockError, SettingError
from tests.plugins.conftest import PATIENCE, Place, write_extension

LOUD = "def input_modifier(string):\n    return string.upper()"


def said(place: Place, text: str = "hi") -> str:
    """Return a text after the input hooks."""
    return Pipeline(place.manager).modify_message(text, {})[1]


def test_new_files_ask_before_they_run_and_changed_files_ask_again(place: Place) -> None:
    folder = write_extension(place.root, "loud", LOUD)
    with pytest.raises(ConsentNeeded, match="Look at its files"):
        place.manager.enable("loud")
    assert place.status("loud").state == "consent" and "not run here" in place.status("loud").message
    place.manager.enable("loud", place.status("loud").sha256)
    assert said(place) == "HI"
    place.manager.close()
    (folder / "extension.py").write_text("raise RuntimeError('must not run')")
    place.manager = place.open()
    place.manager.start()
    assert place.status("loud").state == "consent" and "have changed" in place.status("loud").message
    assert said(place) == "hi"


def test_consent_to_other_files_does_not_count(place: Place) -> None:
    write_extension(place.root, "loud", LOUD)
    with pytest.raises(ConsentNeeded):
        place.manager.enable("loud", "0" * 64)


def test_a_data_file_needs_no_new_consent(place: Place) -> None:
    place.add("loud", LOUD)
    (place.root / "loud" / "notes.txt").write_text("what it wrote")
    place.manager.close()
    place.manager = place.open()
    place.manager.start()
    assert place.status("loud").state == "on"


def test_enabled_extensions_and_their_order_survive_a_restart(place: Place) -> None:
    for name in "ab":
        place.add(name, f"def input_modifier(string):\n    return string + '{name}'")
    place.manager.move("b", 0)
    place.manager.close()
    place.manager = place.open()
    place.manager.start()
    assert said(place, "") == "ba"
    place.manager.disable("b")
    assert said(place, "") == "a" and place.status("b").state == "off"


def test_disabling_and_enabling_an_extension_reloads_its_files(place: Place) -> None:
    place.add("two", "from .words import WORD\ndef input_modifier(string):\n    return WORD", words_py="WORD = 'one'")
    assert said(place) == "one"
    place.manager.disable("two")
    (place.root / "two" / "words.py").write_text("WORD = 'other'")
    place.manager.enable("two", place.status("two").sha256)
    assert said(place) == "other"


def test_setup_runs_first_and_teardown_last(place: Place) -> None:
    place.add(
        "order",
        """
        def setup(host):
            host.data.mkdir(parents=True)
            (host.data / "log").write_text("setup")
        def teardown(host):
            (host.data / "log").write_text("teardown")
        """,
    )
    log = place.folder / "data" / "order" / "log"
    assert log.read_text() == "setup"
    place.manager.disable("order")
    assert log.read_text() == "teardown"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def input_modifier(string)\n    pass", "SyntaxError"),
        ("import a_package_that_is_nowhere", "the package a_package_that_is_nowhere is not installed"),
        ("import sys\nsys.exit(3)", "it called sys.exit"),
        ("1 / 0", "ZeroDivisionError"),
        ("def input_modifier(strin):\n    pass", "Did you mean 'string'? It may take: string, state"),
        ("def setup():\n    raise KeyboardInterrupt", "failed in setup"),
        ("import gradio\ngradio.Blocks = None", "it replaced gradio.Blocks"),
        ("import builtins\nbuiltins.open = None", "it replaced builtins.open"),
        ("import os\nos.chdir('/')", "it replaced the working directory"),
    ],
)
def test_an_extension_that_cannot_be_enabled_is_named_with_its_traceback(place: Place, code: str, words: str) -> None:
    blocks, here = gradio.Blocks, Path.cwd()
    place.add("good", LOUD)
    with pytest.raises(PaddockError) as caught:
        place.add("bad", code)
    assert words in caught.value.message
    status = place.status("bad")
    assert status.state == "failed" and status.message == caught.value.message and status.detail
    assert said(place) == "HI" and gradio.Blocks is blocks and Path.cwd() == here


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("import sys; sys.exit()", "it called sys.exit"),
        ("return 7", "it returned int, where a text is expected"),
        ("while True: pass", "it took longer than 0.3 seconds"),
        ("import threading; threading.Event().wait()", "it took longer than 0.3 seconds"),
        ("return string + string.nothing", "AttributeError"),
    ],
)
def test_a_failed_hook_is_disabled_for_the_session_and_others_run(place: Place, body: str, words: str) -> None:
    place.add("bad", f"def input_modifier(string):\n    {body}", "seconds: 0.3")
    place.add("good", LOUD)
    assert said(place) == "HI"
    status = place.status("bad")
    assert status.state == "failed" and words in status.message and "Traceback" in status.detail or "seconds" in words
    assert place.manager.saved.order == ["bad", "good"]
    assert said(place) == "HI"


def test_a_hook_that_hangs_does_not_affect_the_others(place: Place) -> None:
    place.add("a", "def input_modifier(string):\n    return string + 'a'")
    place.add("b", "def input_modifier(string):\n    while True: pass", "seconds: 0.2")
    place.add("c", "def input_modifier(string):\n    return string + 'c'")
    assert said(place, "") == "ac"


def test_a_loop_that_timed_out_ends(place: Place) -> None:
    before = set(threading.enumerate())
    place.add("spin", "def input_modifier(string):\n    while True: pass", "seconds: 0.2")
    (thread,) = set(threading.enumerate()) - before
    said(place)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_megabyte_of_output_fills_neither_terminal_nor_memory(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.add("chatty", "print('x' * 1_000_000)\ndef input_modifier(string):\n    print('the last line')")
    said(place)
    output = place.status("chatty").output
    assert len(output) < 70_000 and output.endswith("the last line\n") and "were dropped" in output
    place.manager.close()
    assert len(capsys.readouterr().out) < 1000


def test_a_thread_that_never_ends_is_named_and_does_not_hold_up_the_end(place: Place) -> None:
    place.add(
        "endless",
        """
        import threading
        stop = threading.Event()
        def setup():
            threading.Thread(target=stop.wait, daemon=False, name="stubborn").start()
        """,
    )
    assert place.manager.close() == ["endless"]
    stubborn = next(thread for thread in threading.enumerate() if thread.name == "stubborn")
    stubborn._target.__self__.set()  # type: ignore[attr-defined]
    stubborn.join(5)
    assert not stubborn.is_alive()


def test_two_extensions_with_the_same_name_do_not_run(tmp_path: Path) -> None:
    place = Place(tmp_path)
    write_extension(place.root, "twin", LOUD)
    write_extension(tmp_path / "more", "Twin", LOUD)
    place.manager.roots = (place.root, tmp_path / "more")
    with pytest.raises(PaddockError, match="Two extensions have the same name"):
        place.manager.enable("twin")
    place.manager.close()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_out_of_the_folder_is_refused(place: Place) -> None:
    folder = write_extension(place.root, "link", LOUD)
    (place.folder / "secret.py").write_text("")
    (folder / "more.py").symlink_to(place.folder / "secret.py")
    with pytest.raises(PaddockError, match="a link that leads out of the extension's folder"):
        place.manager.enable("link")
    assert place.status("link").state == "blocked"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_folder_that_is_itself_a_link_out_is_refused(place: Place) -> None:
    write_extension(place.folder / "elsewhere", "away", LOUD)
    (place.root / "away").symlink_to(place.folder / "elsewhere" / "away")
    assert place.status("away").state == "blocked"


@pytest.mark.parametrize("name", ["../loud", "/etc", "a\\b", "", "no such"])
def test_a_name_that_is_a_path_is_no_extension(place: Place, name: str) -> None:
    with pytest.raises(PaddockError, match="There is no extension named"):
        place.manager.enable(name, "x")


def test_a_name_that_is_nearly_a_hook_is_a_note(place: Place) -> None:
    place.add("typo", "def output_modifer(string):\n    return string")
    assert "Did you mean output_modifier?" in place.status("typo").notes[0]


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("titel: x", "Did you mean 'title'?"),
        ("- a", "needs lines such as"),
        ("wants: [money]", "It takes: network, files, worker"),
        ("host: about one", "Write a range"),
        ("host: '>=99'", "It needs Paddock >=99"),
        ("settings: {x: {label: X}}", "at least a default"),
        ("seconds: forever", "a number from 0 to 600"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_bad_manifest_is_a_sentence(place: Place, manifest: str, words: str) -> None:
    write_extension(place.root, "bad", LOUD, manifest)
    assert place.status("bad").state == "blocked" and words in place.status("bad").message


def test_settings_have_one_schema_and_are_kept(place: Place) -> None:
    code = """
    from dataclasses import dataclass
    from modules.protocol.schema import setting
    @dataclass(frozen=True)
    class Settings:
        times: int = setting(2, label="Times", minimum=1, maximum=9)
    def input_modifier(string, settings):
        return string * settings.times
    """
    place.add("times", code)
    assert said(place, "x") == "xx"
    place.manager.configure("times", {"times": 3})
    assert said(place, "x") == "xxx"
    with pytest.raises(SettingError, match="from 1 to 9"):
        place.manager.configure("times", {"times": 30})
    place.manager.close()
    place.manager = place.open()
    place.manager.start()
    assert said(place, "x") == "xxx"


def test_settings_of_the_manifest_are_the_same(place: Place) -> None:
    manifest = "settings: {word: {default: ho, label: Word, choices: [ho, ha]}}"
    place.add("word", "def input_modifier(string, settings):\n    return settings.word", manifest)
    assert said(place) == "ho"
    place.manager.configure("word", {"word": "ha"})
    assert said(place) == "ha"
    with pytest.raises(SettingError, match="ho, ha"):
        place.manager.configure("word", {"word": "hi"})


def test_what_it_needs_is_said_before_anything_of_it_runs(place: Place) -> None:
    manifest = "requirements: ['no-such-package-here>=2', 'gradio<1', 'pyyaml', 'x; sys_platform == \"amiga\"']"
    write_extension(place.root, "needy", "raise RuntimeError", manifest)
    with pytest.raises(RequirementsMissing, match="no-such-package-here>=2"):
        place.manager.enable("needy", place.status("needy").sha256)
    states = {need.name: need.state for need in place.status("needy").needs}
    assert states == {"no-such-package-here": "missing", "gradio": "conflict", "pyyaml": "there"}
    assert any("Paddock itself uses gradio" in note for note in place.status("needy").notes)


@pytest.mark.parametrize(("wanted", "said"), [("torch", "It uses about"), ("peft>=0.9", "It requires torch")])
def test_what_heavy_packages_cost_is_said_before_they_are_installed(place: Place, wanted: str, said: str) -> None:
    write_extension(place.root, "heavy", "", f"requirements: ['{wanted}']")
    (note,) = place.status("heavy").notes
    assert note.startswith(f"It needs {wanted}, which is not installed. {said}")
    assert "GB on disk" in note
    assert "of memory" in note


def test_its_own_packages_are_found_after_the_hosts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    own = place.folder / "packages" / "user"
    own.mkdir(parents=True)
    (own / "only_in_here.py").write_text("WORD = 'mine'")
    (own / "yaml.py").write_text("raise RuntimeError('hides the host')")
    place.add("user", "import yaml, only_in_here\ndef input_modifier(string):\n    return only_in_here.WORD")
    assert said(place) == "mine"


def test_listeners_get_each_change_of_extensions(place: Place) -> None:
    heard: list[Any] = []
    end = place.manager.subscribe(lambda: heard.append(1))
    place.add("loud", LOUD)
    place.manager.disable("loud")
    end()
    place.manager.enable("loud")
    assert len(heard) == 2
