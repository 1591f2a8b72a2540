"""The page's own files: scripts and styles as one file each, so that a browser needs two requests instead of 120.

No build tool is needed. The files are joined when a browser first asks for them, and again once one has changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from modules.files.paths import safe_join
from modules.ui.joined_scripts import ScriptJoiner

SCRIPT, STYLE, MAP = "page.js", "page.css", "page.js.map"
# Each is joined with all files that it imports.
_FIRST_SCRIPT, _FIRST_STYLE = "main.js", "main.css"
_STYLE_IMPORT = re.compile(r'^@import "([^"\n]+)";$', re.MULTILINE)
# A browser asks each time whether a file has changed, so that it never mixes files of two versions.
_REVALIDATE = "no-cache"


@dataclass(frozen=True)
class _Made:
    """A joined file, and the modification times of the files in it."""

    content: bytes
    media_type: str
    times: dict[Path, int]

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


class PageFiles:
    """The files of a folder as answers, with page.js, its source map and page.css beside them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._makers: dict[str, Callable[[], dict[str, _Made]]] = {
            SCRIPT: self._scripts,
            MAP: self._scripts,
            STYLE: self._styles,
        }
        self._made: dict[str, _Made] = {}

    def answer(self, name: str, request: Request) -> Response:
        """Return a file, status 304 if the browser's copy is right, or 404. Raise PaddockError for a path outside."""
        response = self._joined(name) if name in self._makers else self._file(name)
        if response.status_code == 200 and response.headers["etag"] in request.headers.get("if-none-match", ""):
            headers = {key: response.headers[key] for key in ("etag", "cache-control")}
            return Response(status_code=304, headers=headers)
        return response

    def _file(self, name: str) -> Response:
        path = safe_join(self._folder, name)
        if not path.is_file():
            return JSONResponse({"error": f"There is no file named {name}."}, status_code=404)
        return FileResponse(path, headers={"Cache-Control": _REVALIDATE}, stat_result=path.stat())

    def _joined(self, name: str) -> Response:
        made = self._made.get(name)
        if made is None or any(_time(path) != time for path, time in made.times.items()):
            self._made |= self._makers[name]()
            made = self._made[name]
        return Response(
            made.content, media_type=made.media_type, headers={"Cache-Control": _REVALIDATE, "ETag": made.etag}
        )

    def _scripts(self) -> dict[str, _Made]:
        joiner = ScriptJoiner(self._folder)
        script, source_map = joiner.join(_FIRST_SCRIPT, SCRIPT, MAP)
        return {
            SCRIPT: _Made(script.encode(), "text/javascript", joiner.times),
            MAP: _Made(source_map.encode(), "application/json", joiner.times),
        }

    def _styles(self) -> dict[str, _Made]:
        first = self._folder / _FIRST_STYLE
        paths = [first, *(self._folder / name for name in _STYLE_IMPORT.findall(first.read_text(encoding="utf-8")))]
        times = {path: _time(path) for path in paths}
        parts = [f"/* {path.relative_to(self._folder)} */\n{path.read_text(encoding='utf-8')}" for path in paths[1:]]
        return {STYLE: _Made("\n".join(parts).encode(), "text/css", times)}


def _time(path: Path) -> int:
    """Return the time of a file's last change, or 0 if it is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
