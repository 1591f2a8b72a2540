"""Prevents a model's code from running in a worker without the user's consent, whatever Transformers is asked for.

Some engines read the consent from the model's config.json, some pass a literal True. So the functions that run such
code are replaced in the module of Transformers that all engines use.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from modules.protocol.errors import ModelError

_DYNAMIC = "transformers.dynamic_module_utils"
# The package that Transformers copies a model's modules into.
_COPIES = "transformers_modules"
# Functions that read, copy, import or run a model's modules. Each version of Transformers has most of them.
_FORBIDDEN = (
    "init_hf_modules",
    "create_dynamic_module",
    "check_imports",
    "get_class_in_module",
    "get_cached_module_file",
    "get_class_from_dynamic_module",
)


class ModelCodeRefused(ModelError, OSError):
    """A model needs to run its own code, and there is no consent.

    It is an OSError, as for a missing file, because Transformers checks each model for code for `generate`, which is
    not called here, and expects an OSError if there is none.
    """

    def __init__(self) -> None:
        super().__init__(
            "The model contains its own code, which does not run without your consent. Read that code; if you "
            "trust it, start Paddock again with --trust-remote-code and the model's name, or choose another model."
        )


def enter_empty_folder(root: Path, packages: Sequence[str]) -> Path:
    """Make an empty folder the working directory, and remove `root` from the import path.

    A relative path in a model's file then finds no file, and no file below `root`, such as in models/, is a module.
    `packages`: packages in `root` that stay importable. Returns this worker's own folder, which contains the empty one.
    """
    for name in packages:
        place = importlib.import_module(name).__path__
        place[:] = [str(Path(entry).resolve()) for entry in place]
    sys.path[:] = [entry for entry in sys.path if Path(entry or os.curdir).resolve() != root.resolve()]
    own = Path(tempfile.mkdtemp(prefix="paddock-run-"))
    (own / "empty").mkdir()
    os.chdir(own / "empty")
    return own


def forbid_model_code(own: Path) -> None:
    """Make Transformers refuse to run a model's code. Call this before Transformers is first imported.

    `own`: this worker's folder. Processes that an engine starts inherit HF_MODULES_CACHE, which names a folder in it.
    A file there blocks the package that such code is copied to.
    """
    place = set_model_code_cache(own)
    (place / _COPIES).touch()
    sys.meta_path.insert(0, _Guard())
    if _DYNAMIC in sys.modules:
        disable_model_code(sys.modules[_DYNAMIC])


def set_model_code_cache(own: Path) -> Path:
    """Let Transformers copy a model's modules below `own`, apart from those of other models. Return that folder."""
    place = own / "model-code"
    place.mkdir()
    os.environ["HF_MODULES_CACHE"] = str(place)
    return place


def disable_model_code(module: ModuleType) -> None:
    """Replace the code of functions of `module`. The functions stay the same objects, also where they were imported."""
    for name in _FORBIDDEN:
        _replace(module, name, _refuse)
    resolve = getattr(module, "resolve_trust_remote_code", None)
    if isinstance(resolve, FunctionType):
        vars(module)["_resolve_without_trust"] = FunctionType(
            resolve.__code__, resolve.__globals__, resolve.__name__, resolve.__defaults__, resolve.__closure__
        )
        _replace(module, "resolve_trust_remote_code", _never_trust)


def _replace(module: ModuleType, name: str, with_: Any) -> None:
    function = getattr(module, name, None)
    if function is None:
        return
    if isinstance(function, FunctionType) and not function.__closure__:
        function.__defaults__ = function.__kwdefaults__ = None
        function.__code__ = with_.__code__
    else:  # Wrapped by a decorator: modules that imported it before keep the original.
        setattr(module, name, with_)


# These two functions run with the globals of Transformers' module, so they import what they need.


def _refuse(*_: object, **__: object) -> object:
    from modules.worker.code_guard import ModelCodeRefused

    raise ModelCodeRefused


def _never_trust(trust_remote_code: object, *args: object, **kwargs: object) -> object:
    import sys

    # Not None: Transformers would then ask on the terminal.
    return sys.modules["transformers.dynamic_module_utils"]._resolve_without_trust(False, *args, **kwargs)


class _Guard(MetaPathFinder):
    """Finds Transformers' module for such code as Python does, and replaces its functions after the import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] == _COPIES:
            raise ModelCodeRefused
        if fullname != _DYNAMIC:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _ReplacingLoader(spec.loader)
        return spec


class _ReplacingLoader(Loader):
    def __init__(self, plain: Loader) -> None:
        self._plain = plain

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._plain.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._plain.exec_module(module)
        disable_model_code(module)
