"""A loader's Python environment: built by uv from exact pins, and valid once its engine has been imported.

Pins may be installed in steps (pins.py), and come in variants for graphics cards (variants.py).
`.envs/<loader>-<variant>-<hash of pins and Python>/` is valid if it contains the marker file, which is written last,
and if its interpreter still has the version that it was built with. A failed or killed build leaves no marker. Old
environments stay until they are pruned, so that an upgrade can be rolled back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.files.paths import write_atomically
from modules.protocol.errors import EnvironmentBroken, PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Machine
from modules.protocol.variants import AUTOMATIC, Variant
from modules.runtime.environment_build import Builder, display, missing_compiler
from modules.runtime.environment_files import MARKER as MARKER
from modules.runtime.environment_files import folder_bytes, read_marker
from modules.runtime.install_progress import Report
from modules.runtime.uv import Uv, shutdown_message
from modules.runtime.variants import (
    VariantChoice,
    VariantState,
    choose_variant,
    read_failure,
    record_failure,
    variants_of,
)
from modules.system.interpreter import python_in, usable
from modules.system.program_name import program_name
from modules.system.setup_lock import setup_lock


@dataclass(frozen=True)
class EnvironmentStatus:
    """The state of one environment.

    `installed`: it is valid. `path`: its folder, also before it is built. `size_bytes`: on disk. `engine`: the engine's
    version. `problem`: a sentence that says why it cannot be built, or "". `variant`: the one that a load uses, None
    without an environment; `reason`: why this one.
    """

    installed: bool
    path: Path
    size_bytes: int = 0
    engine: str = ""
    problem: str = ""
    variant: Variant | None = None
    reason: str = ""


class Environments:
    """Builds, verifies and finds the environments below `folder`.

    `loaders`: folders with one folder for each loader. The first one that has the loader's pins is used. A loader
    without requirements uses the host's environment. `wanted`: returns the variant that the user chose for a loader, ""
    for the best one.
    """

    def __init__(
        self,
        folder: Path,
        loaders: Sequence[Path],
        machine: Machine,
        wanted: Callable[[str], str] = lambda loader: "",
    ) -> None:
        self._folder = folder
        self._loaders = loaders
        self._wanted = wanted
        self._uv = Uv()
        self._builder = Builder(self._uv)
        # Signatures of interpreters that work, by environment. The marker file cannot always be written.
        self._interpreters: dict[Path, str] = {}
        self.machine = machine

    def close(self) -> None:
        """End running installs, and refuse later ones."""
        self._uv.close()

    def status(self, spec: LoaderSpec) -> EnvironmentStatus:
        """Return the state of the environment that a load uses."""
        if not spec.requirements:
            return EnvironmentStatus(True, Path(sys.prefix))
        try:
            choice = self.choice(spec)
        except EnvironmentBroken as error:
            return EnvironmentStatus(False, self._folder / spec.name, problem=error.message)
        status = self._status(spec, choice.state.path)
        return dataclasses.replace(status, variant=choice.state.variant, reason=choice.reason)

    def _status(self, spec: LoaderSpec, path: Path) -> EnvironmentStatus:
        marker = read_marker(path)
        if not marker or not self._usable(path, marker):
            return EnvironmentStatus(False, path, problem=missing_compiler(spec))
        size = marker.get("size_bytes")
        return EnvironmentStatus(True, path, size if isinstance(size, int) else 0, str(marker.get("engine", "")))

    def variants(self, spec: LoaderSpec) -> list[VariantState]:
        """Return the loader's variants, best first, with what keeps this machine from them. Raise EnvironmentBroken."""
        found = []
        for variant in variants_of(spec, self.machine):
            path = self._path(spec, variant)
            found.append(VariantState(variant, path, variant.obstacle(self.machine), read_failure(path)))
        return found

    def choice(self, spec: LoaderSpec, wanted: str | None = None) -> VariantChoice:
        """Return the variant that a load uses: `wanted`, else the user's choice, else the best one."""
        named = self._wanted(spec.name) if wanted is None else wanted
        return choose_variant(self.variants(spec), named, self.machine)

    def machine_for(self, spec: LoaderSpec, machine: Machine | None = None) -> Machine:
        """Return `machine` (by default this one at its start) with only those cards that the loader's variant uses."""
        machine = machine or self.machine
        kind = variant.kind if spec.variants and (variant := self.status(spec).variant) else "vulkan"
        if kind == "vulkan":
            return machine
        return dataclasses.replace(machine, gpus=tuple(gpu for gpu in machine.gpus if gpu.kind == kind))

    def python(self, spec: LoaderSpec) -> Path:
        """Return the path of the interpreter that runs this loader's worker."""
        if not spec.requirements:
            return Path(sys.executable)
        return python_in(self.choice(spec).state.path)

    def build(
        self,
        spec: LoaderSpec,
        report: Report,
        *,
        rebuild: bool = False,
        variant: str | None = None,
        retry: bool = False,
    ) -> Path:
        """Build and verify the loader's environment, unless it is valid; blocking. Return its path.

        If several threads or processes call this, one builds and the others wait. `report(text, fraction)` is called
        with the progress. `variant`: the name of a variant; by default the user's choice. A variant that was named is
        the only one to be tried. Otherwise the next one is built if one cannot be installed or does not start. `retry`:
        try again what failed earlier. Raises EnvironmentBroken with a next step.
        """
        if not spec.requirements:
            return Path(sys.prefix)
        try:
            if rebuild or retry:
                for state in self.variants(spec):
                    record_failure(state.path, "")
            return self._build_best(spec, self.choice(spec, variant), report, rebuild)
        except OSError as error:
            raise EnvironmentBroken(
                f"{spec.title} could not be installed: {self._folder} cannot be written ({error.strerror or error}). "
                f"Free some disk space or change the permissions, then run: {program_name()} install {spec.name}",
                detail=str(error),
            ) from error

    def _build_best(self, spec: LoaderSpec, choice: VariantChoice, report: Report, rebuild: bool) -> Path:
        """Build the chosen variant, or the next one that works. What failed is recorded once another one works."""
        failed: dict[Path, str] = {}
        states = [choice.state, *choice.others]
        for state, following in zip(states, [*states[1:], None], strict=True):
            try:
                path = self._build_alone(spec, state, report, rebuild)
            except EnvironmentBroken as error:
                if self._uv.closed or (following is None and state.variant not in spec.variants):
                    raise
                if following is None:
                    raise EnvironmentBroken(
                        f"{error.message} To let Paddock choose another variant, run: {program_name()} install "
                        f"{spec.name} --variant {AUTOMATIC}",
                        detail=error.detail,
                    ) from error
                failed[state.path] = error.message
                report(f"{state.variant.title}: {error.message} Trying {following.variant.title}", 0.0)
            else:
                for other, sentence in failed.items():
                    again = f"To try it again, run: {program_name()} install {spec.name}"
                    record_failure(other, f"{sentence} {again}")
                return path
        raise AssertionError("a loader has at least one variant")

    def _build_alone(self, spec: LoaderSpec, state: VariantState, report: Report, rebuild: bool) -> Path:
        def waiting() -> None:
            report(f"Waiting for another install of {spec.title}", None)

        def look() -> None:
            if self._uv.closed:
                raise EnvironmentBroken(shutdown_message(spec))

        path = state.path
        self._folder.mkdir(parents=True, exist_ok=True)
        with setup_lock(self._folder / f"{path.name}.lock", waiting, look) as lock:
            if self._status(spec, path).installed and not rebuild:
                return path
            if read_marker(path) and not rebuild:
                report(f"The Python of {spec.title} is gone or has another version. Rebuilding its environment", 0.0)
            pins = self._file(spec, state.variant)
            self._builder.build(spec, state.variant, pins, path, report, lock.inherited)
            report(f"{spec.title} is installed", 1.0)
        return path

    def _usable(self, path: Path, marker: dict[str, object]) -> bool:
        """Return True if the environment's interpreter runs and has the version that it was built with."""
        recorded = str(marker.get("interpreter", ""))
        signature = usable(path, self._interpreters.get(path, recorded))
        if signature and signature not in (recorded, self._interpreters.get(path)):
            with contextlib.suppress(PaddockError):
                write_atomically(path / MARKER, json.dumps({**marker, "interpreter": signature}, indent=1))
        self._interpreters[path] = signature
        return bool(signature)

    def prune(self, specs: list[LoaderSpec]) -> list[tuple[str, int]]:
        """Remove environments that no load would use now. Return (folder, bytes) of each."""
        current = {self.status(spec).path.name for spec in specs}
        removed = []
        for path in sorted(self._folder.glob("*-*")):
            if path.is_dir() and path.name not in current:
                removed.append((path.name, folder_bytes(path)))
                shutil.rmtree(path, ignore_errors=True)
        return removed

    def _file(self, spec: LoaderSpec, variant: Variant) -> Path:
        files = [folder / spec.name / variant.requirements for folder in self._loaders]
        return next((file for file in files if file.is_file()), files[0])

    def _path(self, spec: LoaderSpec, variant: Variant) -> Path:
        file = self._file(spec, variant)
        try:
            pins = file.read_bytes()
        except OSError as error:
            raise EnvironmentBroken(
                f"The requirements of {spec.title}, {display(file)}, cannot be read ({error.strerror}). Restore it."
            ) from error
        version = f"{sys.version_info.major}.{sys.version_info.minor}".encode()
        digest = hashlib.sha256(pins + version + " ".join(variant.flags).encode()).hexdigest()[:12]
        return self._folder / f"{spec.name}-{f'{variant.name}-' if variant in spec.variants else ''}{digest}"
