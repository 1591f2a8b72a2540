"""Reads an extension's source without running it: names of the host, and packages, that it needs."""

from __future__ import annotations

import ast
import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path

from modules.plugins.submodules import unfetched

# Import name -> package name, if they differ.
_PACKAGES = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "discord": "discord.py",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "speech_recognition": "SpeechRecognition",
    "telegram": "python-telegram-bot",
    "TTS": "coqui-tts",
    "yaml": "pyyaml",
}
_MOST_FILES = 3000
_HOST = ("modules", "extensions", "user_data", "gradio")
_GUARDS = {"ImportError", "ModuleNotFoundError", "AttributeError", "Exception", "BaseException", "KeyError"}


@dataclass
class Source:
    """What an extension's source uses.

    `names`: names of the host, such as "modules.shared.args.lora_dir" and "modules.shared.gradio['mode']". `packages`:
    top-level imports that are not installed; `guarded`: those among them that are optional. `replaced`: modules of the
    host that the extension has its own file for. `optional`: names that it tests with hasattr. `unfetched`: paths of
    Git submodules that are missing; `submodules`: those among them that it imports from.
    """

    names: set[str] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)
    guarded: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    optional: set[str] = field(default_factory=set)
    submodules: set[str] = field(default_factory=set)
    unfetched: list[str] = field(default_factory=list)

    def needs(self) -> list[str]:
        """Return what must be installed or fetched, such as "pip:einops" and "submodule:parts"."""
        packages = self.packages - self.guarded - {path.partition("/")[0] for path in self.submodules}
        return [
            *sorted(f"pip:{_PACKAGES.get(name, name)}" for name in packages),
            *sorted(f"submodule:{path}" for path in self.submodules),
        ]


def read(folder: Path, entry: str, name: str) -> Source:
    """Read the file `entry` and the files of its folder that it imports, directly or indirectly.

    A file that cannot be parsed is skipped: running it reports the error.
    """
    source = Source(unfetched=unfetched(folder))
    todo, seen = [folder / entry], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        try:
            tree = ast.parse(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, SyntaxError, RecursionError):
            continue
        reader = _File(source, folder, path, name)
        reader.visit(tree)
        todo += reader.local
    return source


def packages_of(folder: Path) -> set[str]:
    """Return every package that any file of the folder imports and that is not installed."""
    source = Source()
    for path in sorted(folder.rglob("*.py"))[:_MOST_FILES]:
        try:
            tree = ast.parse(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, SyntaxError, RecursionError):
            continue
        _File(source, folder, path, folder.name).visit(tree)
    return source.packages


class _File(ast.NodeVisitor):
    """Reads one file. `local`: files of the same extension that it imports."""

    def __init__(self, source: Source, folder: Path, path: Path, name: str) -> None:
        self.local: list[Path] = []
        self._source = source
        self._folder = folder
        self._path = path
        self._own = (f"extensions.{name}", f"user_data.extensions.{name}")
        self._aliases: dict[str, str] = {}
        self._guarded = 0

    def visit_Try(self, node: ast.Try) -> None:
        """Treat names in a `try` block as optional if a handler catches the error."""
        guarded = any(_caught(handler) & _GUARDS for handler in node.handlers)
        self._guarded += guarded
        for child in node.body:
            self.visit(child)
        self._guarded -= guarded
        for part in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(part)

    def visit_Import(self, node: ast.Import) -> None:
        """Read `import a.b as c`."""
        for alias in node.names:
            self._import(alias.name)
            bound = alias.asname or alias.name.partition(".")[0]
            if alias.name.partition(".")[0] == "modules":
                self._aliases[bound] = alias.name if alias.asname else "modules"
                self._host(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Read `from a.b import c as d`."""
        if node.level:
            base = self._path.parents[node.level - 1]
            inner = base.joinpath(*(node.module or "").split("."))
            self._files(inner)
            for alias in node.names:
                self._files(inner / alias.name)
            return
        module = node.module or ""
        self._import(module)
        for alias in node.names:
            whole = f"{module}.{alias.name}"
            if module.partition(".")[0] == "modules":
                self._host(module if alias.name == "*" else whole)
                self._aliases[alias.asname or alias.name] = whole
            else:
                self._import(whole, only_local=True)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Read an attribute such as `shared.args.lora_dir`."""
        whole = self._whole(node)
        if whole is None:
            self.generic_visit(node)
        elif isinstance(node.ctx, ast.Load):
            self._use(whole)
        else:
            # A name that the extension sets itself exists later.
            self._aliases.setdefault(f"={whole}", whole)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Read an item such as `shared.gradio['mode']` or `shared.settings['name1']`."""
        whole = self._whole(node.value)
        constant = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if whole in ("modules.shared.gradio", "modules.shared.settings") and isinstance(constant, str):
            if isinstance(node.ctx, ast.Load):
                self._use(f"{whole}[{constant!r}]")
            else:
                self._aliases.setdefault(f"={whole}[{constant!r}]", "")
        else:
            self.visit(node.value)
        self.visit(node.slice)

    def visit_Call(self, node: ast.Call) -> None:
        """Read `gradio('mode', 'history')` of modules.utils, and `hasattr(shared.model, 'to')`."""
        if isinstance(node.func, ast.Name) and node.func.id == "hasattr" and len(node.args) == 2:
            whole, attribute = self._whole(node.args[0]), node.args[1]
            if whole and isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
                self._source.optional.add(f"{whole}.{attribute.value}")
        if self._whole(node.func) == "modules.utils.gradio":
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    self._use(f"modules.shared.gradio[{argument.value!r}]")
        self.generic_visit(node)

    def _whole(self, node: ast.expr) -> str | None:
        """Return the host's name that an expression refers to, or None."""
        if isinstance(node, ast.Name):
            return self._aliases.get(node.id)
        if isinstance(node, ast.Attribute) and (inner := self._whole(node.value)):
            return f"{inner}.{node.attr}"
        return None

    def _use(self, name: str) -> None:
        if not self._guarded and f"={name}" not in self._aliases:
            self._source.names.add(name)

    def _host(self, name: str) -> None:
        """Record an imported name of the host. An extension may have its own copy of the module."""
        parts = name.split(".")
        if len(parts) > 1 and (
            self._files(self._folder / "modules" / parts[1]) or self._files(self._folder / parts[1])
        ):
            self._source.replaced.add(".".join(parts[:2]))
        self._use(name)

    def _import(self, name: str, only_local: bool = False) -> None:
        top = name.partition(".")[0]
        own = next((own for own in self._own if name == own or name.startswith(f"{own}.")), None)
        if own:
            self._files(self._folder.joinpath(*name[len(own) + 1 :].split(".")))
        elif any(self._files(place.joinpath(*name.split("."))) for place in (self._folder, self._path.parent)):
            # Also beside the file: many extensions add their own folder to sys.path.
            return
        elif not only_local and top not in _HOST and top not in sys.stdlib_module_names and not _installed(top):
            self._source.packages.add(top)
            if self._guarded:
                self._source.guarded.add(top)

    def _files(self, path: Path) -> bool:
        found = [file for file in (path.with_name(f"{path.name}.py"), path / "__init__.py") if file.is_file()]
        self.local += found
        places = ((inner, self._folder / inner) for inner in self._source.unfetched)
        self._source.submodules.update(inner for inner, place in places if path.is_relative_to(place))
        return bool(found)


def _caught(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {"Exception"}
    parts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {part.id if isinstance(part, ast.Name) else getattr(part, "attr", "") for part in parts}


def _installed(top: str) -> bool:
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False
