"""Which loaders there are: every folder in loaders/ with a spec.py. Shipped ones come in by the same door as others."""

from __future__ import annotations

import importlib
from pathlib import Path

from modules.protocol.errors import PaddockError
from modules.protocol.loader import LoaderSpec


class Registry:
    """Loader specs by name. `faults`: folder -> sentence, for those whose spec could not be read; the others go on."""

    def __init__(self, folder: Path) -> None:
        self.specs: dict[str, LoaderSpec] = {}
        self.faults: dict[str, str] = {}
        for path in sorted(folder.glob("*/spec.py")):
            name = path.parent.name
            try:
                spec = importlib.import_module(f"loaders.{name}.spec").SPEC
            except Exception as error:
                self.faults[name] = f"loaders/{name}/spec.py could not be read: {type(error).__name__}: {error}"
                continue
            self.specs[name] = spec

    def get(self, name: str) -> LoaderSpec:
        """The spec of that name. Raises PaddockError with the names that exist."""
        if name in self.specs:
            return self.specs[name]
        if name in self.faults:
            raise PaddockError(f"{self.faults[name]}. Mend or remove that folder.")
        names = ", ".join(name for name, spec in self.specs.items() if not spec.hidden)
        raise PaddockError(f"There is no loader named {name!r}. The loaders are: {names}.")

    def shown(self) -> list[LoaderSpec]:
        """Those a person chooses from."""
        return [spec for spec in self.specs.values() if not spec.hidden]
