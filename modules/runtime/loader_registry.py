"""The loaders that can be used: folders with a spec.py. Shipped and third-party loaders are read in the same way."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.schema import SETTING_TYPES, coerce, describe
from modules.system.loader_import import forget_loader_modules, import_loader_module


class Registry:
    """Loader specs by name.

    `faults`: name -> sentence, for loaders whose spec cannot be used; the others work. `roots`: the folders that hold
    folders of loaders.
    """

    def __init__(self, folder: Path) -> None:
        self.roots = [folder]
        self.specs: dict[str, LoaderSpec] = {}
        self.faults: dict[str, str] = {}
        self._shipped = folder
        for path in sorted(folder.glob("*/spec.py")):
            self.add(path.parent)

    def add(self, folder: Path) -> bool:
        """Read the loader in `folder`, which runs its spec.py. Return True if it can be used.

        If it cannot be used, `faults` has the reason.
        """
        name, own = folder.name, folder.parent != self._shipped
        file = f"{folder.parent.name}/{name}/spec.py" if own else f"loaders/{name}/spec.py"
        self.faults.pop(name, None)
        if name in self.specs:
            self.faults[name] = f"{file} has the name of a loader that already exists. Rename its folder"
            return False
        try:
            # What a spec prints must not end up in an answer of the command line.
            with contextlib.redirect_stdout(sys.stderr):
                spec = import_loader_module(name, "spec", folder if own else None).SPEC
                fault = _fault(spec, folder)
        except Exception as error:
            fault = f"cannot be read: {type(error).__name__}: {error}"
        except SystemExit:
            fault = "ends the program when it is imported"
        if fault:
            self.faults[name] = f"{file} {fault}"
            if own:
                # So that a corrected file is read when it is added again.
                forget_loader_modules(name)
            return False
        self.specs[name] = spec
        if folder.parent not in self.roots:
            self.roots.append(folder.parent)
        return True

    def get(self, name: str) -> LoaderSpec:
        """Return the spec of that name. Raises PaddockError with the names that exist."""
        if name in self.specs:
            return self.specs[name]
        if name in self.faults:
            raise PaddockError(f"{self.faults[name]}. Correct or remove that folder.")
        names = ", ".join(name for name, spec in self.specs.items() if not spec.hidden)
        raise PaddockError(f"There is no loader named {name!r}. The loaders are: {names}.")

    def shown(self) -> list[LoaderSpec]:
        """Return the loaders that a person can load models with."""
        return [spec for spec in self.specs.values() if not spec.hidden and not spec.only_quantizes]


def _fault(spec: object, folder: Path) -> str:
    """Return why a spec cannot be used, worded to follow its file's name; "" if it can.

    Raises what reading its settings raises.
    """
    if not isinstance(spec, LoaderSpec):
        return f"has a {type(spec).__name__} named SPEC; it must be a LoaderSpec"
    if spec.name != folder.name:
        return f"has the name {spec.name!r}; a loader must have the name of its folder"
    schemas = (spec.settings, *(method.settings for method in spec.quantizers), *filter(None, [spec.training]))
    for setting in (entry for schema in schemas for entry in describe(schema)):
        if setting.kind not in SETTING_TYPES:
            names = ", ".join(kind.__name__ for kind in SETTING_TYPES)
            return f"has a setting {setting.name!r} of the type {setting.kind.__name__}; possible types are {names}"
        coerce(setting, setting.default)
    needed = [] if spec.only_quantizes else ["worker.py"]
    needed += [*filter(None, [spec.requirements]), *(["quantizer.py"] if spec.quantizers else [])]
    needed += ["trainer.py"] if spec.training else []
    for file in needed:
        if not (folder / file).is_file():
            return f"needs the file {file} beside it, which is missing"
    return ""
