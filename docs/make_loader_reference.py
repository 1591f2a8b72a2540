"""Write the generated part of docs/loaders.md from the code: `python3 docs/make_loader_reference.py`."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"


def reference() -> str:
    """Return the generated part as Markdown."""
    import paddock
    from modules.protocol.commands import Command
    from modules.protocol.events import Event
    from modules.protocol.schema import SettingInfo

    parts = ["## `LoaderSpec`", "", *_documented(paddock.LoaderSpec), "", "## `setting()`", ""]
    parts += [f"Takes the default first, then by name: {_fields(SettingInfo)}.", "", *_documented(SettingInfo), ""]
    parts += ["## `Engine`", "", inspect.getdoc(paddock.Engine) or "", "", *_methods(paddock.Engine), ""]
    for title, union in (("Commands", Command), ("Events", Event)):
        parts += [f"## {title}", ""]
        for kind in typing.get_args(union):
            fields = _fields(kind)
            parts += [f"- `{kind.__name__}`{f' ({fields})' if fields else ''}: {_one_line(kind)}"]
        parts += [""]
    return "\n".join(parts).rstrip() + "\n"


def _documented(kind: type[Any]) -> list[str]:
    """Return the lines of a class's docstring, with each line `name: text` as an entry of a list."""
    lines: list[str] = []
    for line in (inspect.getdoc(kind) or "").splitlines():
        name, colon, rest = line.partition(": ")
        names = name.replace(",", " ").split()
        is_entry = colon and names and all(part.isidentifier() for part in names) and not line.startswith(" ")
        lines.append(f"- `{name}`: {rest}" if is_entry else line.strip() if line.startswith(" ") else line)
    return lines


def _methods(kind: type[Any]) -> list[str]:
    lines = []
    for name, member in vars(kind).items():
        if inspect.isfunction(member) and not name.startswith("_"):
            names = ", ".join(list(inspect.signature(member).parameters)[1:])
            required = " Required." if getattr(member, "__isabstractmethod__", False) else ""
            lines.append(f"- `{name}({names})`: {_one_line(member)}{required}")
    return lines


def _fields(kind: type[Any]) -> str:
    return ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind))


def _one_line(documented: Any) -> str:
    return " ".join((inspect.getdoc(documented) or "").split())


def page(text: str) -> str:
    """Return docs/loaders.md with its generated part replaced."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{reference()}{END}{rest.partition(END)[2]}"


def main() -> None:
    """Write docs/loaders.md."""
    from modules.files.paths import write_atomically

    path = ROOT / "docs" / "loaders.md"
    write_atomically(path, page(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
