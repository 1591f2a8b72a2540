"""Redirects imports in text-generation-webui's extensions only: `modules.*` is the facade, `gradio` the bridge, and
`extensions.<name>` the extension of that name.

Each module of a script has its own builtins, with the `__import__` below. The process's builtins are not changed.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from modules.compat.script_finder import ScriptFinder
from modules.plugins.extension_import import PACKAGE, package
from modules.protocol.errors import PaddockError


class HostNameMissing(PaddockError, ModuleNotFoundError):
    """A script needs a name of text-generation-webui that the facade lacks. `missing`: that name."""

    def __init__(self, missing: str) -> None:
        super().__init__(f"It needs {missing}, which Paddock does not have. Report it, or use another extension.")
        self.missing = self.name = missing


class Redirect:
    """Loads scripts.

    `facade(name)` returns the module `modules`, `modules.*`, or `extensions.*` if it belongs to the host, and raises
    HostNameMissing. `gradio()` returns the module that scripts import as gradio. `folder_of(name)` returns the folder
    of the extension of that name, None if there is none, and raises ImportError for one that may not run.
    """

    def __init__(
        self,
        facade: Callable[[str], ModuleType],
        gradio: Callable[[], ModuleType],
        folder_of: Callable[[str], Path | None],
    ) -> None:
        self._facade = facade
        self._gradio = gradio
        self._folder_of = folder_of
        # Extension -> its folder; and extension -> its `modules`, if it has its own copies of host modules.
        self._folders: dict[str, Path] = {}
        self._views: dict[str, _View] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._importlib = _Importlib(self._import_module)
        # Standard modules that scripts get a replacement for.
        self.replacements: dict[str, ModuleType] = {"signal": _Signal("signal")}
        self._user_data = ModuleType("user_data")
        self._shown: dict[str, ModuleType] = {}
        self._finder = ScriptFinder(self._is_script, self._builtins)
        place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(place, self._finder)

    def close(self) -> None:
        """Stop redirecting imports."""
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self._finder)
        for name, module in self._shown.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]

    def load(self, name: str, folder: Path, file: str = "script") -> ModuleType:
        """Import a module of the extension `name` from its `folder`. Raises what its code raises."""
        self._package(name, folder)
        return importlib.import_module(f"{PACKAGE}.{name}.{file}")

    def resolve(self, name: str, owner: str = "") -> ModuleType | None:
        """Return the module for an absolute name in a script, or None if it is not redirected.

        `owner`: the extension whose code imports. Raises ImportError, or what another extension's code raises.
        """
        top, _, rest = name.partition(".")
        if top == "modules":
            return self._of_host(name, owner)
        if top == "gradio":
            return self._of_gradio(rest)
        if top == "importlib":
            importlib.import_module(name)
            return self._importlib if not rest else None
        if name in self.replacements:
            return self.replacements[name]
        if top == "user_data":
            if not rest:
                return self._user_data
            top, _, rest = rest.partition(".")
        return self._of_extension(rest, owner) if top == "extensions" else None

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> object:
        owner = self._owner(globals or {})
        try:
            module = self.resolve(name, owner) if level == 0 else None
        except HostNameMissing:
            # `from extensions.other_name import part`: the parts show if the extension means itself.
            if not fromlist or not name.startswith("extensions."):
                raise
            for item in fromlist:
                self.resolve(f"{name}.{item}", owner)
            module = self.resolve(name, owner)
        if module is None and not (level == 0 and name.startswith("importlib.") and not fromlist):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if not fromlist:
            return self.resolve(name.partition(".")[0], owner)
        assert module is not None
        for item in fromlist:
            if item != "*" and not hasattr(module, item):
                self._submodule(name, item, owner)
                module = self.resolve(name, owner)
        return module

    def _import_module(self, name: str, package: str | None = None) -> ModuleType:
        name = importlib.util.resolve_name(name, package)
        return self.resolve(name) or importlib.import_module(name)

    def _submodule(self, name: str, item: str, owner: str) -> None:
        """Import `item` of `from name import item` as a module, if `name` has no such attribute."""
        full = f"{name}.{item}"
        try:
            self.resolve(full, owner)
        except ModuleNotFoundError as error:
            # Python reports other names that cannot be imported.
            if isinstance(error, HostNameMissing) or error.name not in (full, item):
                raise

    def _of_host(self, name: str, owner: str) -> ModuleType:
        """Return a module of the facade.

        A missing one may be in the extension's own folder, to be copied into text-generation-webui.
        """
        if name == "modules" and owner in self._views:
            return self._views[owner]
        try:
            return self._facade(name)
        except HostNameMissing:
            rest = name.partition(".")[2]
            inner = next((inner for inner in (name, rest) if self._has_file(owner, inner)), "")
            if not inner:
                raise
            module = importlib.import_module(f"{PACKAGE}.{owner}.{inner}")
            view = self._views.setdefault(owner, _View(self._facade("modules")))
            setattr(view, rest.partition(".")[0], module)
            return module

    def _of_gradio(self, rest: str) -> ModuleType:
        module: Any = self._gradio()
        for place, part in enumerate(parts := rest.split(".") if rest else []):
            if not hasattr(module, part):
                return importlib.import_module(f"gradio.{'.'.join(parts[: place + 1])}")
            module = getattr(module, part)
        return module  # type: ignore[no-any-return]

    def _of_extension(self, rest: str, owner: str) -> ModuleType:
        package(PACKAGE, None)
        top = sys.modules[PACKAGE]
        self._user_data.__dict__["extensions"] = top
        if not rest:
            return top
        name, _, inner = rest.partition(".")
        if f"{PACKAGE}.{name}" not in sys.modules:
            alias: ModuleType | None = getattr(top, name, None)
            if alias is not None and alias.__name__ in sys.modules and not inner:
                return alias
            folder = self._folder_of(name)
            if folder is None and (known := self._of_host_extension(f"extensions.{rest}")):
                return known
            # Every folder has a script.py, so it is no evidence.
            if folder is None and (alike(name, owner) if inner in ("", "script") else self._has_file(owner, inner)):
                # The extension means itself: its folder has another name here than the author's.
                setattr(top, name, own := sys.modules[f"{PACKAGE}.{owner}"])
                return importlib.import_module(f"{PACKAGE}.{owner}.{inner}") if inner else own
            if folder is None:
                raise HostNameMissing(f"extensions.{name}")
            self._package(name, folder)
        return importlib.import_module(f"{PACKAGE}.{rest}") if inner else sys.modules[f"{PACKAGE}.{name}"]

    def _of_host_extension(self, name: str) -> ModuleType | None:
        """Return an extension that ships with text-generation-webui, or a module of it; None if it is neither.

        It is also put into sys.modules, where other code looks for it.
        """
        parent, _, last = name.rpartition(".")
        try:
            module = self._facade(name)
        except HostNameMissing:
            return None
        setattr(sys.modules[PACKAGE] if parent == "extensions" else self._of_host_extension(parent), last, module)
        self._shown[name] = sys.modules[name] = module
        return module

    def _package(self, name: str, folder: Path) -> None:
        self._folders[name] = folder.resolve()
        package(PACKAGE, None)
        package(f"{PACKAGE}.{name}", folder)
        setattr(sys.modules[PACKAGE], name, sys.modules[f"{PACKAGE}.{name}"])

    def _is_script(self, path: str) -> bool:
        if not self._folders:
            return False
        whole = Path(path).resolve()
        return any(whole.is_relative_to(folder) for folder in self._folders.values())

    def _owner(self, globals: Mapping[str, object]) -> str:
        """Return the extension whose code has these globals; "" if unknown."""
        file = globals.get("__file__")
        if not isinstance(file, str):
            return ""
        whole = Path(file).resolve()
        return next((name for name, folder in self._folders.items() if whole.is_relative_to(folder)), "")

    def _has_file(self, owner: str, inner: str) -> bool:
        """Return True if the extension's folder has a module of that name."""
        if owner not in self._folders:
            return False
        path = self._folders[owner].joinpath(*inner.split("."))
        return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def alike(name: str, owner: str) -> bool:
    """Return True if a folder's name contains this one, as `repository-my-extension` contains `my_extension`."""
    plain = (text.lower().replace("_", "-") for text in (name, owner))
    return next(plain) in next(plain)


class _View(ModuleType):
    """`modules` with an extension's own copies of host modules."""

    def __init__(self, package: ModuleType) -> None:
        super().__init__("modules")
        self._package = package

    def __getattr__(self, name: str) -> object:
        return getattr(self._package, name)


class _Importlib(ModuleType):
    """importlib, with an `import_module` that redirects like `import`."""

    def __init__(self, import_module: Callable[..., ModuleType]) -> None:
        super().__init__("importlib")
        self.import_module = import_module

    def __getattr__(self, name: str) -> object:
        return getattr(importlib, name)


class _Signal(ModuleType):
    """signal, without changing handlers: Ctrl+C ends Paddock including its scripts."""

    def signal(self, number: Any, handler: object) -> object:
        """Return the current handler, and change nothing."""
        return signal.getsignal(number)

    def __getattr__(self, name: str) -> object:
        return getattr(signal, name)
