"""The page's scripts and styles as one file each."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from modules.ui.joined_files import PageFiles
from modules.ui.joined_scripts import ScriptJoiner
from modules.ui.routes import STATIC
from modules.ui.source_map import encode

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _get(files: PageFiles, name: str, etag: str = "") -> Response:
    headers = [(b"if-none-match", etag.encode())] if etag else []
    return files.answer(name, Request({"type": "http", "headers": headers}))


def _write(folder: Path, **files: str) -> Path:
    (folder / "part").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", "/").replace("_css", ".css").replace("_js", ".js")).write_text(text)
    return folder


def _join(folder: Path) -> str:
    return ScriptJoiner(folder.resolve()).join("main.js", "page.js", "page.js.map")[0]


def _numbers(segment: str) -> list[int]:
    """Decode a segment of a source map: Base64 digits with five bits each, the lowest first, and a sign."""
    numbers, number, shift = [], 0, 0
    for digit in map(_ALPHABET.index, segment):
        number |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            numbers.append(-(number >> 1) if number & 1 else number >> 1)
            number, shift = 0, 0
    return numbers


def test_every_script_and_style_of_the_page_is_joined() -> None:
    joiner = ScriptJoiner(STATIC.resolve())
    joiner.join("main.js", "page.js", "page.js.map")
    assert set(joiner.times) == set(STATIC.resolve().rglob("*.js"))
    style = bytes(_get(PageFiles(STATIC), "page.css").body).decode()
    names = [path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.css") if path.name != "main.css"]
    assert sorted(re.findall(r"^/\* ([\w/]+\.css) \*/$", style, re.MULTILINE)) == sorted(names)


def test_scripts_use_what_others_export(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    _write(
        tmp_path,
        main_js='import {\n  twice as double,\n  Counter,\n} from "./part/tools.js";\n'
        'import { name } from "./name.js";\n'
        "console.log(double(21), new Counter().next(), name);\n",
        part__tools_js='import { name } from "../name.js";\nconst step = 1;\n'
        "export function twice(n) { return n * 2; }\nexport class Counter { next() { return `${name} ${step}`; } }\n",
        # The same name as in another script.
        name_js='const step = "n";\nexport const name = `${step}ame`;\n',
    )
    (tmp_path / "page.mjs").write_text(_join(tmp_path))
    done = subprocess.run([node, tmp_path / "page.mjs"], capture_output=True, text=True, check=True)
    assert done.stdout == "42 name 1 name\n"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"main_js": 'import { a } from "./a.js";', "a_js": 'import { b } from "./main.js";'},
            "main.js → a.js → main.js",
        ),
        ({"main_js": 'import { b } from "./a.js";', "a_js": "export const a = 1;"}, "imports b, which is not in a.js"),
        ({"main_js": "export default 1;"}, "main.js has a statement that cannot be joined: export default 1;"),
        ({"main_js": 'import * as a from "./a.js";', "a_js": ""}, "cannot be joined: import * as a"),
        (
            {"main_js": 'import "./part/a.js";', "part__a_js": "const here = import.meta.url;"},
            "part/a.js uses import.meta",
        ),
    ],
)
def test_what_cannot_be_joined_is_named(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        _join(_write(tmp_path, **files))


def test_the_source_map_gives_the_file_and_line_of_each_line() -> None:
    files = PageFiles(STATIC)
    lines = bytes(_get(files, "page.js").body).decode().splitlines()
    found = json.loads(bytes(_get(files, "page.js.map").body))
    sources = [text.splitlines() for text in found["sourcesContent"]]
    seen: dict[str, int] = {}
    source = line = 0
    for number, segment in enumerate(found["mappings"].split(";")):
        if segment:
            column, to_source, to_line, _ = _numbers(segment)
            source, line = source + to_source, line + to_line
            seen[found["sources"][source]] = seen.get(found["sources"][source], 0) + 1
            original = sources[source][line]
            if not re.match(r"import|export|\}|  [\w ]+,$", original):
                assert (column, lines[number]) == (0, original)
    assert seen == {name: len(text) for name, text in zip(found["sources"], sources, strict=True)}


@pytest.mark.parametrize("number", [0, 1, -1, 15, 16, -16, 1000, -123456])
def test_numbers_of_a_source_map_are_read_as_they_were_written(number: int) -> None:
    assert _numbers(encode(number)) == [number]


@pytest.mark.parametrize("name", ["page.js", "page.css", "page.js.map", "icon.svg"])
def test_a_browser_with_the_right_copy_gets_no_content(name: str) -> None:
    files = PageFiles(STATIC)
    first = _get(files, name)
    assert first.status_code == 200 and first.headers["cache-control"] == "no-cache"
    again = _get(files, name, first.headers["etag"])
    assert again.status_code == 304 and not again.body and again.headers["etag"] == first.headers["etag"]
    assert _get(files, name, '"other"').status_code == 200


def test_a_changed_file_is_joined_again(tmp_path: Path) -> None:
    import os

    files = PageFiles(
        _write(tmp_path, main_js='import "./a.js";', a_js="one();", main_css='@import "a.css";', a_css="a{}")
    )
    first = {name: _get(files, name) for name in ("page.js", "page.css")}
    _write(tmp_path, a_js="two();", a_css="b{}")
    for path in tmp_path.glob("a.*"):
        os.utime(path, ns=(1, 1))
    assert b"two();" in bytes(_get(files, "page.js", first["page.js"].headers["etag"]).body)
    assert b"b{}" in bytes(_get(files, "page.css", first["page.css"].headers["etag"]).body)
