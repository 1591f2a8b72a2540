"""`python3 -m modules.plugins.hook_reference` writes the generated part of docs/extensions.md from the code.

The hooks come from hooks.py, the keys of the manifest and of `setting()` from their classes, and the settings of the
shipped extensions from their schemas. A test compares the page with the output.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from pathlib import Path
from typing import Any

from modules.files.paths import write_atomically
from modules.plugins import hooks
from modules.plugins.extension_host import ApiRequest, Host
from modules.plugins.extension_import import forget, read_extension
from modules.plugins.folders import discover
from modules.plugins.hook_signatures import declared
from modules.plugins.manifest import Manifest
from modules.plugins.shipped import SHIPPED
from modules.protocol.schema import SettingInfo, describe

BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
ROOT = Path(__file__).resolve().parents[2]


def reference() -> str:
    """Return the generated part as Markdown."""
    parts = ["## Hooks", ""]
    for name in sorted(declared(), key=_line):
        parts += [f"### {name}", "", *_hook(name), ""]
    parts += ["## The `host` object", "", *_members(Host), "", "## The `ApiRequest` object", ""]
    parts += [*_members(ApiRequest), "", "## Keys of extension.yaml", "", _manifest(), ""]
    options = ", ".join(f"`{field.name}`" for field in dataclasses.fields(SettingInfo))
    parts += [f"A setting takes `default`, `type` (bool, int, float, str or list; else the default's), {options}.", ""]
    parts += ["## Shipped extensions", "", *_shipped()]
    return "\n".join(parts).rstrip() + "\n"


def _line(name: str) -> int:
    """Return the line where a hook is declared. The page lists hooks in this order."""
    return int(inspect.unwrap(getattr(hooks, name)).__code__.co_firstlineno)


def _hook(name: str) -> list[str]:
    takes = ", ".join(f"`{argument}`" for argument in declared()[name])
    return [
        *_markdown(inspect.getdoc(getattr(hooks, name)) or ""),
        "",
        f"Takes: {takes}." if takes else "Takes nothing.",
    ]


def _markdown(docstring: str) -> list[str]:
    """Return a docstring as Markdown lines with fenced examples. Consecutive paragraphs of code are one example."""
    lines: list[str] = []
    code: list[str] = []
    for paragraph in [*docstring.split("\n\n"), ""]:
        if _is_code(paragraph):
            code.append(textwrap.dedent(paragraph))
            continue
        if code:
            lines += ["", "```python", *"\n\n".join(code).splitlines(), "```"]
            code = []
        if paragraph:
            lines += ["", *paragraph.splitlines()]
    return lines[1:]


def _is_code(paragraph: str) -> bool:
    """Return True if a paragraph is code. The example of a one-paragraph docstring is not indented further."""
    return paragraph.startswith((" ", "def ", "async def "))


def _members(kind: type[object]) -> list[str]:
    lines = [inspect.cleandoc(kind.__doc__ or ""), ""]
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        function = member.fget if isinstance(member, property) else member
        if callable(function) and function.__doc__:
            takes = [
                str(entry).replace("'", "")
                for entry in inspect.signature(function).parameters.values()
                if entry.name != "self"
            ]
            call = "" if isinstance(member, property) else f"({', '.join(takes)})"
            lines.append(f"- `{name}{call}`: {' '.join(function.__doc__.split())}")
    return lines


def _manifest() -> str:
    names = [field.name for field in dataclasses.fields(Manifest) if field.name != "extra"]
    return f"All optional: {', '.join(f'`{name}`' for name in names)}. {' '.join((Manifest.__doc__ or '').split())}"


def _shipped() -> list[str]:
    found = discover([ROOT / "extensions"])
    lines = []
    for name in SHIPPED:
        entry = found[name]
        lines.append(f"- **{entry.title}** (`extensions/{name}`): {entry.manifest.description}")
        schema = entry.manifest.settings or _settings_in_code(entry)
        for setting in describe(schema) if schema else ():
            lines.append(
                f"  - `{setting.name}`: {setting.info.label}; {setting.allowed()}; default {setting.default!r}."
            )
    return lines


def _settings_in_code(entry: Any) -> type[object] | None:
    """Return the class Settings of an extension.py. The module is imported only if it has one."""
    tree = ast.parse((entry.path / entry.kind).read_text(encoding="utf-8"))
    if not any(isinstance(node, ast.ClassDef) and node.name == "Settings" for node in tree.body):
        return None
    host = Host(entry.name, entry.path, entry.path, None, dict, lambda values: None)
    schema: type[Any] = read_extension(entry, host).Settings
    describe(schema)
    forget(entry.name)
    return schema


def page(text: str) -> str:
    """Return the text of docs/extensions.md with a new generated part."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference()}{END}{after}"


def main() -> None:
    """Write the page."""
    path = ROOT / "docs" / "extensions.md"
    write_atomically(path, page(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
