"""`extensions check`: its reports on test extensions, some of them hostile."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from modules.compat.check import check
from modules.compat.check.source import read
from modules.compat.check.verdict import Report
from modules.settings.config import Config


def write(root: Path, name: str, code: str, entry: str = "script.py", **files: str) -> Path:
    """Write a folder with a script.py and further files by name (`helper_py="…"`)."""
    folder = root / name
    folder.mkdir()
    for file, text in {entry: code, **files}.items():
        path = folder / file.replace("_py", ".py")
        path.write_text(textwrap.dedent(text))
    return folder


def judged(
    config: Config, tmp_path: Path, code: str, *, assume: bool = False, seconds: float = 60, **files: str
) -> Report:
    """Return the report on a script with this code."""
    return check(config, write(tmp_path, "mine", code, **files), assume, seconds)


def test_the_page_is_checked_also_if_setup_needs_a_model(config: Config, tmp_path: Path) -> None:
    report = judged(
        config,
        tmp_path,
        """
        import gradio as gr
        from modules import shared
        from modules.evaluate import generate_markdown_table
        def setup():
            shared.model.config.hidden_size
        def ui():
            gr.Dataframe(value=generate_markdown_table())
        """,
    )
    assert (report["imports"], report["ui"], report["verdict"]) == (True, True, "partly")
    assert "failed in setup" in report["why"]


def test_a_working_extension_passes(config: Config, tmp_path: Path) -> None:
    report = judged(
        config,
        tmp_path,
        """
        import gradio as gr
        from modules import shared
        from modules.utils import gradio
        params = {"display_name": "Mine"}
        def input_modifier(string, state):
            return string + shared.model_name
        def ui():
            with gr.Box():
                gr.Button("Go").click(lambda: None, gradio("interface_state"), None, _js="() => 1")
        """,
    )
    assert {**report, "why": ""} == {
        "name": "mine",
        "folder": "",
        "imports": True,
        "ui": True,
        "hooks": ["input_modifier", "ui"],
        "missing": [],
        "needs": [],
        "verdict": "works",
        "why": "",
    }


def test_missing_names_are_reported_unless_tested_first(config: Config, tmp_path: Path) -> None:
    report = judged(
        config,
        tmp_path,
        """
        import modules.shared as shared
        from modules import chat
        try:
            from modules.no_such_module import anything
        except ImportError:
            anything = None
        def input_modifier(string):
            if hasattr(shared.model, "no_such_method"):
                shared.model.no_such_method()
            chat.no_such_function(shared.no_such_value, shared.gradio["no such widget"])
            shared.own = shared.gradio["own"] = 1
            return string + str(shared.own) + shared.processing_message.strip()
        """,
    )
    named = ["modules.shared.no_such_value", "modules.chat.no_such_function", "modules.shared.gradio['no such widget']"]
    assert sorted(report["missing"]) == sorted(named)
    assert (report["imports"], report["ui"], report["verdict"]) == (True, True, "partly")
    assert "modules.chat.no_such_function" in report["why"]


def test_impossible_features_are_named(config: Config, tmp_path: Path) -> None:
    report = judged(config, tmp_path, "from modules.training import do_train")
    assert report["missing"] == ["modules.training.do_train"] and "cannot exist in Paddock" in report["why"]


def test_packages_are_needed_or_assumed(config: Config, tmp_path: Path) -> None:
    code = """
        import no_such_package.inner as package
        from no_such_package import Base, NotFoundError, decorated
        try:
            import optional_package
        except ImportError:
            optional_package = None
        class Mine(Base):
            def __init__(self):
                super().__init__()
                self.value = 3
        @decorated(1)
        def input_modifier(string):
            return string
        assert Mine().value == 3
        try:
            raise NotFoundError("x")
        except NotFoundError:
            pass
        one, two = package.load()
        import importlib.metadata
        assert importlib.metadata.version("no_such_package")
        if package.cuda.is_available():
            raise SystemExit
        """
    report = judged(config, tmp_path, code)
    assert (report["imports"], report["needs"], report["verdict"]) == (False, ["pip:no_such_package"], "no")
    assert "no_such_package" in report["why"]
    report = check(config, tmp_path / "mine", True)
    assert (report["imports"], report["needs"], report["verdict"]) == (True, ["pip:no_such_package"], "works")


def test_programs_that_are_not_installed_run_and_say_nothing_where_that_is_assumed(
    config: Config, tmp_path: Path
) -> None:
    code = """
        import subprocess
        from subprocess import Popen, run
        found = subprocess.check_output("no-such-program list", shell=True)
        assert found == b"" and run(["no-such-program"], text=True, capture_output=True).stdout == ""
        assert subprocess.check_output("cd / && echo here", shell=True).strip() == b"here"
        assert subprocess.call(["another-one", "x"]) == 0
        with Popen("no-such-program", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.communicate(b"x")[0] == b"" and isinstance(process, subprocess.Popen)
        try:
            subprocess.run(["/no/such/path"])
        except FileNotFoundError:
            pass
        """
    report = judged(config, tmp_path, code)
    assert (report["verdict"], report["needs"]) == ("no", []) and "127" in report["why"]
    report = check(config, tmp_path / "mine", True)
    assert report["needs"] == ["program:another-one", "program:no-such-program"] and report["verdict"] == "works"
    assert "another-one and no-such-program" in report["why"]


MODULES = """[submodule "parts"]
\tpath = parts
\turl = https://example.org/parts.git
[submodule "unused"]
\tpath = deep/unused
\turl = https://example.org/unused.git
"""


def test_submodules_that_are_not_fetched_count_as_packages(config: Config, tmp_path: Path) -> None:
    code = """
        import sys
        from .parts.inner.more import Thing
        from extensions.mine.parts import other
        from parts.top import function
        function(Thing(other))
        """
    folder = write(tmp_path, "mine", code)
    (folder / ".gitmodules").write_text(MODULES)
    (folder / "parts").mkdir()
    report = check(config, folder, False)
    assert (report["imports"], report["needs"]) == (False, ["submodule:parts"])
    assert "git submodule update --init" in report["why"]
    report = check(config, folder, True)
    assert (report["imports"], report["needs"], report["verdict"]) == (True, ["submodule:parts"], "works")
    (folder / "script.py").write_text(code.replace("import sys", "open(__file__[:-9] + 'parts/data')").lstrip())
    report = check(config, folder, True)
    assert (report["imports"], report["verdict"]) == (False, "no"), "its files are not made up"


def test_a_loop_that_waits_for_what_an_absent_package_finds_ends(config: Config, tmp_path: Path) -> None:
    code = """
        import no_such_package
        found = no_such_package.find()
        assert not found.count > 4
        while not found.count > 4:
            pass
        while found.left >= 1:
            pass
        """
    assert judged(config, tmp_path, code, assume=True)["verdict"] == "works"


def test_results_of_an_absent_package_can_be_written_as_json(config: Config, tmp_path: Path) -> None:
    code = """
        import json
        import gradio as gr
        import no_such_package
        def ui():
            try:
                json.dumps(object())
            except TypeError:
                gr.JSON({"found": json.loads(json.dumps([no_such_package.get("x").json()["name"]]))})
        """
    assert judged(config, tmp_path, code, assume=True)["verdict"] == "works"


def test_results_of_an_absent_package_can_be_in_an_address(config: Config, tmp_path: Path) -> None:
    code = """
        import urllib.parse
        import no_such_package
        urllib.parse.urlencode({"tag": no_such_package.tags()[0]}, quote_via=urllib.parse.quote)
        assert urllib.parse.quote(no_such_package.get("x").json()) and urllib.parse.quote(b"a b") == "a%20b"
        """
    assert judged(config, tmp_path, code, assume=True)["verdict"] == "works"


@pytest.mark.parametrize("name", ["Web_Search", "web_search", "author__web_search", "web-search-main"])
def test_an_extension_with_the_name_of_an_installed_one_gets_the_same_report(
    config: Config, tmp_path: Path, name: str
) -> None:
    code = "open('extensions/web_search/out.txt', 'w').close()\nfrom extensions.web_search import script"
    folder = write(tmp_path, name, code)
    report = check(config, folder, False)
    assert (report["imports"], report["ui"], report["verdict"]) == (True, True, "works")
    assert ("give this folder another name" in report["why"]) == (name.lower() == "web_search")
    assert check(config, config.paths.extensions[0] / "web_search", False)["verdict"] == "works"


def test_only_imported_files_are_checked(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        "mine",
        "from . import one\nfrom extensions.mine.two import x",
        one_py="import modules.shared as s\ns.first",
        two_py="from modules import chat\nchat.second",
        three_py="import modules.third",
    )
    assert read(folder, "script.py", "mine").names >= {"modules.shared.first", "modules.chat.second"}
    assert "modules.third" not in read(folder, "script.py", "mine").names


def test_a_file_beside_its_importer_is_not_a_package(tmp_path: Path) -> None:
    folder = write(tmp_path, "mine", "from .inner import one")
    (folder / "inner").mkdir()
    (folder / "inner" / "one.py").write_text("import two, no_such_package")
    (folder / "inner" / "two.py").write_text("import modules.second")
    source = read(folder, "script.py", "mine")
    assert source.packages == {"no_such_package"} and "modules.second" in source.names


def test_a_fault_in_ui_is_reported(config: Config, tmp_path: Path) -> None:
    report = judged(config, tmp_path, "def ui():\n    raise ValueError('no such thing')")
    assert (report["imports"], report["ui"], report["verdict"]) == (True, False, "partly")
    assert "no such thing" in report["why"]


def test_the_check_runs_on_a_copy(config: Config, tmp_path: Path) -> None:
    folder = write(tmp_path, "mine", "open('extensions/mine/written.txt', 'w').write('x')\nparams = {'n': 1}")
    assert check(config, folder, False)["verdict"] == "works"
    assert [path.name for path in folder.iterdir()] == ["script.py"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys\nsys.exit(3)", "sys.exit"),
        ("import os\nos._exit(3)", "exit status 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("print('x' * 2_000_000)\nimport sys\nsys.stderr.write('y' * 2_000_000)\nraise RuntimeError('loud')", "loud"),
        ("def broken(:\n    pass", "SyntaxError"),
        (
            "import os, subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'input()'])\nos._exit(0)",
            "exit status 0",
        ),
    ],
    ids=["exit", "ends the process", "kills itself", "prints", "syntax", "leaves a child"],
)
def test_a_hostile_extension_is_contained(config: Config, tmp_path: Path, code: str, words: str) -> None:
    report = judged(config, tmp_path, code)
    assert (report["imports"], report["verdict"]) == (False, "no") and words in report["why"]


def test_an_extension_that_hangs_is_ended_by_the_timeout(config: Config, tmp_path: Path) -> None:
    code = "import threading, modules.shared\nmodules.shared.no_such_value if False else threading.Event().wait()"
    report = judged(config, tmp_path, code, seconds=45)
    assert report["verdict"] == "no" and "still loading" in report["why"]
    assert report["missing"] == ["modules.shared.no_such_value"]


def test_folders_with_nothing_to_check(config: Config, tmp_path: Path) -> None:
    assert "no folder" in check(config, tmp_path / "nowhere", False)["why"]
    (tmp_path / "outer" / "one" / "two" / "three" / "four").mkdir(parents=True)
    write(tmp_path / "outer" / "one" / "two" / "three" / "four", "five", "")
    (tmp_path / "outer" / ".hidden").mkdir()
    write(tmp_path / "outer" / ".hidden", "one", "")
    assert "nor in its folders" in check(config, tmp_path / "outer", False)["why"]


@pytest.mark.parametrize("inner", ["mine", "src/mine", "a/b/mine"])
def test_a_folder_within_is_taken_and_named(config: Config, tmp_path: Path, inner: str) -> None:
    place = (tmp_path / "outer" / inner).parent
    place.mkdir(parents=True)
    write(place, "mine", "def input_modifier(string):\n    return string")
    (tmp_path / "outer" / "tests").mkdir()
    report = check(config, tmp_path / "outer", False)
    assert (report["name"], report["folder"], report["verdict"]) == ("outer", inner, "works")
    assert f"The extension in its folder {inner}/ was checked." in report["why"]


def test_the_nearest_of_several_folders_within_is_taken_and_the_others_are_named(
    config: Config, tmp_path: Path
) -> None:
    for place in ("b", "a", "c/d"):
        (tmp_path / "outer" / place).mkdir(parents=True)
        write(tmp_path / "outer" / place, "x", "")
    report = check(config, tmp_path / "outer", False)
    assert report["folder"] == "a/x" and "There is also one in b/x" in report["why"] and "c/d" not in report["why"]


def test_checks_share_a_warm_process_and_nothing_else(config: Config, tmp_path: Path) -> None:
    parents = tmp_path / "parents"
    code = (
        "import sys, os\nassert not hasattr(sys, 'mark') and 'pkd_left' not in os.environ\nsys.mark = 1\n"
        f"print(os.getppid(), file=open({str(parents)!r}, 'a'))\n"
    )
    folder = write(tmp_path, "mine", f"{code}os.environ['pkd_left'] = '1'\nimport json\njson.loads = None")
    reports = [check(config, folder, False) for _ in range(3)]
    assert [report["verdict"] for report in reports] == ["works"] * 3
    assert len(set(parents.read_text().split())) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each check has a process that is started for it")
def test_an_extension_that_ends_the_warm_process_does_not_affect_the_next_check(config: Config, tmp_path: Path) -> None:
    bad = write(tmp_path, "bad", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos._exit(0)")
    good = write(tmp_path, "good", "def input_modifier(string):\n    return string")
    assert [check(config, folder, False)["verdict"] for folder in (bad, good)] == ["no", "works"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such files")
def test_a_pipe_in_the_folder_is_ignored(config: Config, tmp_path: Path) -> None:
    folder = write(tmp_path, "mine", "def input_modifier(string):\n    return string")
    os.mkfifo(folder / "data.txt")
    assert check(config, folder, False)["verdict"] == "works"


def test_paddock_extensions_are_checked_too(config: Config, tmp_path: Path) -> None:
    folder = write(tmp_path, "ours", "def input_modifier(string):\n    return string", "extension.py")
    assert check(config, folder, False)["verdict"] == "works"


def test_the_command_prints_a_list_and_continues_after_a_bad_extension(root: Path, tmp_path: Path) -> None:
    folder = write(tmp_path, "mine", "def input_modifier(string):\n    return string")
    command = [sys.executable, "webui.py", "--no-venv", "extensions", "check", str(tmp_path / "gone"), str(folder)]
    answer = subprocess.run([*command, "--json"], cwd=root, capture_output=True, text=True, check=False)
    assert [(entry["name"], entry["verdict"]) for entry in json.loads(answer.stdout)] == [
        ("gone", "no"),
        ("mine", "works"),
    ]
    assert answer.returncode == 1 and answer.stderr == ""
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert "mine: works." in answer.stdout and "gone: no." in answer.stdout


def test_stubs_are_used_nowhere_else(root: Path) -> None:
    """Only the temporary process of the check may have them."""
    for path in (root / "modules").rglob("*.py"):
        imported = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
        stands_in = {"modules.compat.check.absent", "modules.compat.check.programs"}
        assert path.name == "probe.py" or not stands_in & imported, path
