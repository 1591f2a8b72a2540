"""Join a script of the page with all scripts that it imports, with a source map for the browser's tools."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from modules.ui.source_map import MappedSource, line_map

_IMPORT = re.compile(r'^import\s+(?:\{([^}]*)\}\s*from\s*)?"(\.{1,2}/[^"\n]+)";', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) ([\w$]+))", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


@dataclass(frozen=True)
class _Script:
    """A script as a part of the joined one: the same lines, without the words `import` and `export`."""

    name: str
    source: str
    body: str
    exports: list[str]


@dataclass
class ScriptJoiner:
    """Joins the scripts of a folder. Each becomes a function that returns its exports, so no names collide.

    `times`: the modification time of each file that was read, in nanoseconds.
    """

    folder: Path
    times: dict[Path, int] = field(default_factory=dict)
    _scripts: dict[Path, _Script] = field(default_factory=dict)
    _begun: list[Path] = field(default_factory=list)

    def join(self, first: str, name: str, map_name: str) -> tuple[str, str]:
        """Return the script `name`, which is `first` with what it imports, and its source map.

        Raise ValueError if scripts import each other in a circle, or contain what cannot be joined.
        """
        self._add(self.folder / first)
        lines, sources = ["const files = {};"], []
        # A script comes after those that it imports, because its entry is made once they are read.
        for script in self._scripts.values():
            lines.append(f'files["{script.name}"] = (() => {{')
            body = script.body.splitlines()
            sources.append(MappedSource(script.name, script.source, len(lines), len(body)))
            lines += [*body, f"return {{ {', '.join(script.exports)} }};", "})();"]
        lines += [f"//# sourceMappingURL={map_name}", ""]
        return "\n".join(lines), json.dumps(line_map(name, sources))

    def _add(self, path: Path) -> _Script:
        if path in self._begun:
            circle = " → ".join(map(self._name, [*self._begun[self._begun.index(path) :], path]))
            raise ValueError(f"The page's scripts cannot be joined, because they import each other: {circle}")
        if path not in self._scripts:
            self._begun.append(path)
            self._scripts[path] = self._read(path)
            self._begun.pop()
        return self._scripts[path]

    def _read(self, path: Path) -> _Script:
        name = self._name(path)
        self.times[path] = path.stat().st_mtime_ns
        source = path.read_text(encoding="utf-8")
        body = _IMPORT.sub(lambda found: self._bind(path, found), source)
        exports = [found[1] for found in _EXPORT.finditer(body)]
        # Spaces in place of the word, so that columns stay the same.
        body = _EXPORT.sub(" " * len("export "), body)
        if left := _LEFT.search(body):
            raise ValueError(f"{name} has a statement that cannot be joined: {left[0]}")
        if "import.meta" in body and path.parent != self.folder:
            raise ValueError(f"{name} uses import.meta. Joined, it would get the address of the folder above.")
        return _Script(name, source, body, exports)

    def _bind(self, path: Path, found: re.Match[str]) -> str:
        """Return a statement with as many lines as the import has, which takes the names from the imported script."""
        imported = self._add((path.parent / found[2]).resolve())
        names = [one.split(" as ") for one in map(str.strip, (found[1] or "").split(",")) if one]
        if unknown := [one[0] for one in names if one[0] not in imported.exports]:
            raise ValueError(f"{self._name(path)} imports {', '.join(unknown)}, which is not in {imported.name}")
        bound = ", ".join(": ".join(one) for one in names)
        return (f'const {{ {bound} }} = files["{imported.name}"];' if bound else "") + "\n" * found[0].count("\n")

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()
