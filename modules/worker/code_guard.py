"""No code of a model's own runs in a worker without its owner's consent, whatever an engine asks Transformers for.

Engines ask for it in their own ways: some take the consent from the model's config.json, some pass a literal True. So
the functions that run such code are taken away where all of them meet, in the module that has them.
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
# The package that Transformers puts a model's own modules into.
_COPIES = "transformers_modules"
# All that reads, copies, imports or runs a model's own modules. A version of Transformers has most of them.
_FORBIDDEN = (
    "init_hf_modules",
    "create_dynamic_module",
    "check_imports",
    "get_class_in_module",
    "get_cached_module_file",
    "get_class_from_dynamic_module",
)


class ModelCodeRefused(ModelError, OSError):
    """A model asked to run its own code, and there is no consent.

    An OSError, as for a file that is not there: that is what Transformers expects where it looks whether a model brings
    code for `generate`, which it does for each model and which nothing here calls.
    """

    def __init__(self) -> None:
        super().__init__(
            "The model asks to run code of its own, which is not run without your consent. Read that code; if you "
            "trust it, start Paddock again with --trust-remote-code and the model's name, or choose another model."
        )


def enter_empty_folder(root: Path, packages: Sequence[str]) -> Path:
    """Make an empty folder the working directory, and take `root` out of the path of imports.

    A relative name in a model's file then leads nowhere, and no file below `root`, models/ among it, is a module.
    `packages`: those of `root` that stay importable. Returns a folder of this worker's own, which the empty one is in.
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
    """Make Transformers refuse to run a model's own code. Call before Transformers is first imported.

    `own`: a folder of this worker's. Processes that an engine starts inherit a variable that names a place in it, where
    a file stands in the way of the package that such code is copied to.
    """
    place = set_model_code_cache(own)
    (place / _COPIES).touch()
    sys.meta_path.insert(0, _Guard())
    if _DYNAMIC in sys.modules:
        disable_model_code(sys.modules[_DYNAMIC])


def set_model_code_cache(own: Path) -> Path:
    """Let Transformers copy a model's modules below `own`, where the code of no other model is. Returns the place."""
    place = own / "model-code"
    place.mkdir()
    os.environ["HF_MODULES_CACHE"] = str(place)
    return place


def disable_model_code(module: ModuleType) -> None:
    """Replace what the functions of `module` do. They stay the same objects: whoever imported one has the new one."""
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
    else:  # Wrapped by a decorator: those who imported it already keep theirs.
        setattr(module, name, with_)


# These two run with the names of Transformers' module, so they import what they need.


def _refuse(*_: Any, **__: Any) -> Any:
    from modules.worker.code_guard import ModelCodeRefused

    raise ModelCodeRefused


def _never_trust(trust_remote_code: Any, *given: Any, **named: Any) -> Any:
    import sys

    # False, not None: Transformers would ask on the terminal.
    return sys.modules["transformers.dynamic_module_utils"]._resolve_without_trust(False, *given, **named)


class _Guard(MetaPathFinder):
    """Finds Transformers' module for such code as Python would, and disarms it once it is there."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] == _COPIES:
            raise ModelCodeRefused
        if fullname != _DYNAMIC:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Disarming(spec.loader)
        return spec


class _Disarming(Loader):
    def __init__(self, plain: Loader) -> None:
        self._plain = plain

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._plain.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._plain.exec_module(module)
        disable_model_code(module)
