"""Paths relative to the working directory work for scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.cli.application import build_app
from modules.compat.folder_aliases import own_names
from modules.settings.config import Config
from tests.compat.conftest import Stage

CODE = """
import os
from pathlib import Path

def output_modifier(string):
    folder = Path("extensions/notes/output")
    if not folder.exists():
        folder.mkdir()
    with open("extensions/notes/output/log.txt", "a") as file:
        file.write(string + "\\n")
    assert os.path.isfile("user_data/extensions/notes/script.py") and os.path.isdir("models/tiny")
    return string
"""


def test_a_script_finds_its_folder_from_any_working_directory(stage: Stage) -> None:
    stage.script("notes", CODE)
    stage.ask("hello")
    stage.ask("again")
    assert (stage.folder("notes") / "output" / "log.txt").read_text() == "hello\nagain\n"
    assert stage.manager.running.get("notes") is not None


def test_a_folder_that_a_git_address_named_has_the_paths_of_its_authors_name(stage: Stage) -> None:
    elsewhere = CODE.replace('"extensions/notes/output"', '"extensions", "notes", "output"')
    stage.script("webui-notes", elsewhere)
    stage.ask("hello")
    assert (stage.folder("webui-notes") / "output" / "log.txt").read_text() == "hello\n"


def test_a_path_to_what_lies_in_the_folder_means_the_folder(stage: Stage) -> None:
    code = """
    from pathlib import Path
    text = Path("extensions/anotes/data.txt").read_text()
    assert not Path("extensions/others").exists(), "these are not its own"
    """
    assert stage.script("my-notes", code, **{"data.txt": "mine"}).text == "mine"


def test_an_extension_of_that_name_has_its_own_paths(stage: Stage) -> None:
    stage.script("webui-notes", CODE)
    stage.script("notes", CODE)
    stage.ask("hello")
    assert (stage.folder("notes") / "output" / "log.txt").read_text() == "hello\nhello\n"
    assert not (stage.folder("webui-notes") / "output").exists()


def test_a_script_finds_a_character_and_brings_back_none_that_was_deleted(config: Config) -> None:
    code = "from pathlib import Path\nfiles = sorted(Path('user_data/characters').glob('*.yaml'))"
    for seen in (["Assistant.yaml"], []):
        app = build_app(config)
        assert [file.name for file in Stage(app).script("first", code).files] == seen
        for name in app.characters.names():
            app.characters.delete(name)
        app.close()


def test_the_working_directory_is_given_back_at_the_end(config: Config) -> None:
    before = Path.cwd()
    app = build_app(config)
    stage = Stage(app)
    stage.script("notes", CODE)
    assert Path.cwd() == app.paths.extension_workdir.resolve() != before
    app.close()
    assert Path.cwd() == before


def test_links_are_recreated_and_files_of_scripts_beside_them_stay(config: Config) -> None:
    app = build_app(config)
    Stage(app).script("notes", CODE)
    Path("written.txt").write_text("mine")
    link = Path.cwd() / "extensions" / "notes"
    app.close()
    assert link.resolve() == app.paths.extensions[1] / "notes"
    moved = app.paths.user_data / "elsewhere"
    (app.paths.extensions[1] / "notes").rename(moved)
    again = build_app(config)
    Stage(again).script("others", CODE.replace("notes", "others"))
    try:
        assert Path("written.txt").read_text() == "mine"
        assert not link.is_symlink() and Path("extensions/others").is_dir()
    finally:
        again.close()


WAYS = {
    "open": 'with open("extensions/my_tool/notes.txt", "w") as file:\n    file.write("x")',
    "Path": 'from pathlib import Path\nPath("extensions/my_tool/notes.txt").write_text("x")',
    "Path /": 'from pathlib import Path\n(Path("extensions") / "my_tool" / "notes.txt").write_text("x")',
    "joinpath": 'from pathlib import Path\nPath("extensions").joinpath("my_tool", "notes.txt").write_text("x")',
    "os.path.join": 'import os\nopen(os.path.join("extensions", "my_tool", "notes.txt"), "w").write("x")',
    "a part": 'import os\nopen(os.path.join("extensions/my_tool", "n"), "w").write("x")',
    "f-string": 'NAME = "my_tool"\nopen(f"extensions/{NAME}/notes.txt", "w").write("x")',
    "params": 'params = {"name": "my_tool"}\nopen(f"extensions/{params[\'name\']}/notes.txt", "w").write("x")',
    "from the folder": 'import os\nopen(f"{os.getcwd()}/extensions/{\'my\' + \'_tool\'}/notes.txt", "w").write("x")',
    "plus": 'NAME = "my_tool"\nopen("extensions/" + NAME + "/notes.txt", "w").write("x")',
    "percent": 'open("extensions/%s/%s" % ("my_tool", "notes.txt"), "w").write("x")',
    "format": 'open("{}/{}/notes.txt".format("extensions", "my_tool"), "w").write("x")',
    "a function": 'def at(inner):\n    return "extensions/" + inner\nopen(at("my_tool/notes.txt"), "w").write("x")',
    "a class": (
        'import os\nclass Store:\n    name = "my_tool"\n    def path(self, file):\n'
        '        return os.path.join("extensions", self.name, file)\nopen(Store().path("notes.txt"), "w").write("x")'
    ),
    "user_data": 'open("user_data/extensions/my_tool/notes.txt", "w").write("x")',
    "mkdir": 'import os\nif not os.path.exists("extensions/my_tool/in"):\n    os.makedirs("extensions/my_tool/in")',
    "os.walk": 'import os\nassert list(os.walk("extensions/my_tool"))\nopen("extensions/my_tool/n", "w")',
    "a default": 'def save(path="extensions/my_tool"):\n    open(path + "/notes.txt", "w").write("x")\nsave()',
}


@pytest.mark.parametrize("way", WAYS)
def test_a_script_finds_its_folder_under_any_name(stage: Stage, way: str) -> None:
    stage.script("quite-another", WAYS[way])
    files = {path.name for path in stage.folder("quite-another").iterdir()}
    assert len(files - {"script.py"}) == 1


def test_a_name_in_another_file_is_found_too(stage: Stage) -> None:
    code = "from . import where\nopen(f'extensions/{where.NAME}/notes.txt', 'w').write('x')"
    stage.script("quite-another", code, where_py="NAME = 'my_tool'")
    assert (stage.folder("quite-another") / "notes.txt").exists()


def test_a_script_can_test_if_another_extension_exists(stage: Stage) -> None:
    code = """
    import os
    from pathlib import Path
    found = [os.path.exists("extensions/whisper"), Path("extensions/whisper").is_dir()]
    try:
        open("extensions/silero_tts/outputs/x.wav", "w")
    except FileNotFoundError:
        found.append(False)
    """
    assert stage.script("quite-another", code).found == [False, False, False]


def test_a_source_that_leads_nowhere_ends(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    sums = " + ".join(["a"] * 3000)
    (folder / "script.py").write_text(
        f"a = a + b\nb = f'{{a}}{{b}}' + 'extensions/' + a\nc = {sums}\n"
        "def f(x):\n    return f(f(x))\nd = f(f('extensions/odd/y'))\n"
    )
    (folder / "deep.py").write_text("x = " + "(" * 500 + ")" * 500)
    assert own_names(folder, ()) == ["odd"]
