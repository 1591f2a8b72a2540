"""A loader's Python environment: built by uv from exact pins, and valid once its engine has been imported.

Pins may be installed in steps (pins.py). `.envs/<loader>-<hash of pins and Python>/` is valid if it contains the marker
file, which is written last, and if its interpreter still has the version that it was built with. A failed or killed
build leaves no marker. Old environments stay until they are pruned, so that an upgrade can be rolled back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.files.data_files import DataFileError, read_json
from modules.files.paths import write_atomically
from modules.protocol.errors import EnvironmentBroken, PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Machine
from modules.runtime.pins import Step, steps
from modules.runtime.uv import Uv, shutdown_message
from modules.system.interpreter import python_in, usable
from modules.system.pip_config import package_sources, read_pip_config
from modules.system.program_name import program_name
from modules.system.setup_lock import setup_lock

MARKER = "paddock.json"
_PROBE_SECONDS = 300.0

Report = Callable[[str, "float | None"], None]


@dataclass(frozen=True)
class EnvironmentStatus:
    """The state of one environment.

    `installed`: it is valid. `path`: its folder, also before it is built. `size_bytes`: on disk. `engine`: the engine's
    version. `problem`: a sentence that says why it cannot be built, or "".
    """

    installed: bool
    path: Path
    size_bytes: int = 0
    engine: str = ""
    problem: str = ""


class Environments:
    """Builds, verifies and finds the environments below `folder`.

    `loaders`: folders with one folder for each loader. The first one that has the loader's pins is used. A loader
    without requirements uses the host's environment.
    """

    def __init__(self, folder: Path, loaders: Sequence[Path], machine: Machine) -> None:
        self._folder = folder
        self._loaders = loaders
        self._uv = Uv()
        # Signatures of interpreters that work, by environment. The marker file cannot always be written.
        self._interpreters: dict[Path, str] = {}
        self.machine = machine

    def close(self) -> None:
        """End running installs, and refuse later ones."""
        self._uv.close()

    def status(self, spec: LoaderSpec) -> EnvironmentStatus:
        """Return the state of the loader's environment."""
        if not spec.requirements:
            return EnvironmentStatus(True, Path(sys.prefix))
        try:
            path = self._path(spec)
        except EnvironmentBroken as error:
            return EnvironmentStatus(False, self._folder / spec.name, problem=error.message)
        marker = _marker(path)
        if not marker or not self._usable(path, marker):
            return EnvironmentStatus(False, path, problem=_missing_compiler(spec))
        size = marker.get("size_bytes")
        return EnvironmentStatus(True, path, size if isinstance(size, int) else 0, str(marker.get("engine", "")))

    def python(self, spec: LoaderSpec) -> Path:
        """Return the path of the interpreter that runs this loader's worker."""
        if not spec.requirements:
            return Path(sys.executable)
        return python_in(self._path(spec))

    def build(self, spec: LoaderSpec, report: Report, *, rebuild: bool = False) -> Path:
        """Build and verify the loader's environment, unless it is valid; blocking. Return its path.

        If several threads or processes call this, one builds and the others wait. `report(text, fraction)` is called
        with the progress. Raises EnvironmentBroken with a next step.
        """
        if not spec.requirements:
            return Path(sys.prefix)
        try:
            return self._build_alone(spec, self._path(spec), report, rebuild)
        except OSError as error:
            raise EnvironmentBroken(
                f"{spec.title} could not be installed: {self._folder} cannot be written ({error.strerror or error}). "
                f"Free some disk space or change the permissions, then run: {program_name()} install {spec.name}",
                detail=str(error),
            ) from error

    def _build_alone(self, spec: LoaderSpec, path: Path, report: Report, rebuild: bool) -> Path:
        def waiting() -> None:
            report(f"Waiting for another install of {spec.title}", None)

        def look() -> None:
            if self._uv.closed:
                raise EnvironmentBroken(shutdown_message(spec))

        self._folder.mkdir(parents=True, exist_ok=True)
        with setup_lock(self._folder / f"{path.name}.lock", waiting, look) as lock:
            if self.status(spec).installed and not rebuild:
                return path
            if _marker(path) and not rebuild:
                report(f"The Python of {spec.title} is gone or has another version. Rebuilding its environment", 0.0)
            self._build(spec, path, report, lock.inherited)
            report(f"{spec.title} is installed", 1.0)
        return path

    def _build(self, spec: LoaderSpec, path: Path, report: Report, lock_files: Sequence[int]) -> None:
        begin = time.monotonic()
        shutil.rmtree(path, ignore_errors=True)
        try:
            self._install(spec, path, report, lock_files)
            report(f"Checking that {spec.title} starts", 0.95)
            facts = {
                "loader": spec.name,
                "engine": self._probe(spec, path),
                "interpreter": usable(path, ""),
                "size_bytes": folder_bytes(path),
                "seconds": round(time.monotonic() - begin, 1),
            }
            write_atomically(path / MARKER, json.dumps(facts, indent=1))
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise

    def _usable(self, path: Path, marker: dict[str, object]) -> bool:
        """Return True if the environment's interpreter runs and has the version that it was built with."""
        recorded = str(marker.get("interpreter", ""))
        signature = usable(path, self._interpreters.get(path, recorded))
        if signature and signature not in (recorded, self._interpreters.get(path)):
            with contextlib.suppress(PaddockError):
                write_atomically(path / MARKER, json.dumps({**marker, "interpreter": signature}, indent=1))
        self._interpreters[path] = signature
        return bool(signature)

    def _probe(self, spec: LoaderSpec, path: Path) -> str:
        """Import the engine in its environment. Return the version that it prints."""
        try:
            result = self._uv.probe(python_in(path), spec, _PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            raise EnvironmentBroken(f"{spec.title} was installed but did not start. Try another loader.") from None
        if result.returncode != 0:
            if missing := re.search(r"(lib[\w+-]+\.so[.\d]*): cannot open shared object", result.stderr):
                raise EnvironmentBroken(
                    f"{spec.title} needs the system library {missing[1]}, which is missing. Install it (on Debian and "
                    "Ubuntu libgomp.so.1 comes with: apt install libgomp1), then: "
                    f"{program_name()} install {spec.name}",
                    detail=result.stderr[-4000:],
                )
            raise EnvironmentBroken(
                f"{spec.title} was installed, but its engine cannot be imported. See the details, or try another "
                "loader.",
                detail=result.stderr[-4000:],
            )
        return result.stdout.strip().splitlines()[-1] if result.stdout.strip() else ""

    def prune(self, specs: list[LoaderSpec]) -> list[tuple[str, int]]:
        """Remove environments that do not match the current pins of a loader. Return (folder, bytes) of each."""
        current = {self.status(spec).path.name for spec in specs}
        removed = []
        for path in sorted(self._folder.glob("*-*")):
            if path.is_dir() and path.name not in current:
                removed.append((path.name, folder_bytes(path)))
                shutil.rmtree(path, ignore_errors=True)
        return removed

    def _pins(self, spec: LoaderSpec) -> Path:
        """Return the loader's requirements file: `NAME-cuda.txt` if it exists and the machine has an NVIDIA GPU."""
        files = [folder / spec.name / spec.requirements for folder in self._loaders]
        file = next((file for file in files if file.is_file()), files[0])
        cuda = file.with_name(f"{file.stem}-cuda{file.suffix}")
        return cuda if self.machine.has("cuda") and cuda.is_file() else file

    def _path(self, spec: LoaderSpec) -> Path:
        file = self._pins(spec)
        try:
            pins = file.read_bytes()
        except OSError as error:
            raise EnvironmentBroken(
                f"The requirements of {spec.title}, {_display(file)}, cannot be read ({error.strerror}). Restore it."
            ) from error
        version = f"{sys.version_info.major}.{sys.version_info.minor}".encode()
        return self._folder / f"{spec.name}-{hashlib.sha256(pins + version).hexdigest()[:12]}"

    def _install(self, spec: LoaderSpec, path: Path, report: Report, lock_files: Sequence[int]) -> None:
        sources = package_sources(read_pip_config())
        file = self._pins(spec)
        first, *later = steps(file.read_text("utf-8"), _display(file))
        report(f"Creating an environment for {spec.title}", 0.0)
        self._uv.run(["venv", "--python", sys.executable, str(path)], sources, spec, lambda line: None, lock_files)
        install = ["pip", "install", "--python", str(python_in(path)), *sources.arguments]
        plan: list[str] = []
        report(f"Choosing packages for {spec.title}", 0.02)
        pins = _write_pins(first, path / "pins.txt")
        self._uv.run([*install, *pins, "--dry-run"], sources, spec, plan.append, lock_files)
        if not self.machine.gpus and any(re.match(r" \+ nvidia-(?!ml-py)", line) for line in plan):
            # Without an accelerator, avoid gigabytes of CUDA packages. PyTorch's own index has CPU builds. nvidia-ml-py
            # is a small one that only asks the driver.
            install += ["--torch-backend", "cpu"]
        total = max(1, sum(line.startswith(" + ") for line in plan)) + sum(step.count for step in later)
        installing = _InstallProgress(spec.title, total, report)
        self._uv.run([*install, *pins], sources, spec, installing.line, lock_files)
        for number, step in enumerate(later, 2):
            pins = _write_pins(step, path / f"pins-{number}.txt")
            self._uv.run([*install, *pins, *step.flags], sources, spec, installing.line, lock_files)


def _display(file: Path) -> str:
    """Return the path as a sentence shows it: loaders/NAME/requirements.txt."""
    return "/".join(file.parts[-3:])


def _marker(path: Path) -> dict[str, object]:
    """Return the content of the marker file, or {} if it is missing or cannot be read."""
    try:
        marker = read_json(path / MARKER)
    except (OSError, DataFileError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _write_pins(step: Step, file: Path) -> list[str]:
    """Write the step's pins to a file. Return uv's arguments for it."""
    file.write_text(step.text, encoding="utf-8")
    return ["-r", str(file)]


class _InstallProgress:
    """Turns uv's output into progress: the current download, and how many packages are done."""

    def __init__(self, title: str, total: int, report: Report) -> None:
        self._title = title
        self._total = total
        self._report = report
        self._done = 0
        self._open: list[str] = []

    def line(self, line: str) -> None:
        words = line.split()
        if words[:1] in (["Downloading"], ["Building"]) and len(words) > 1:
            self._open.append(" ".join(words[1:]))
        elif words[:1] in (["Downloaded"], ["Built"]) and len(words) > 1:
            self._done += 1
            self._open = [text for text in self._open if not text.startswith(words[1])]
        else:
            return
        verb = f"fetching {self._open[-1]}" if self._open else "unpacking"
        fraction = 0.05 + 0.85 * min(1.0, self._done / self._total)
        self._report(f"Installing {self._title}: {verb} ({self._total} packages)", fraction)


def _missing_compiler(spec: LoaderSpec) -> str:
    """Return a sentence about a missing compiler, or "" if nothing is missing."""
    names = filter(None, (os.environ.get("CXX", "").split(" ")[0], "c++", "g++", "clang++", "cl"))
    if not spec.compiled or any(map(shutil.which, names)):
        return ""
    return (
        f"{spec.title} is compiled on this machine, which needs a C++ compiler. Install one (Debian and Ubuntu: "
        "apt-get install g++; macOS: xcode-select --install; Windows: Visual Studio Build Tools), then try again."
    )


def folder_bytes(path: Path) -> int:
    """Return the bytes of all files below `path`. Links are not followed; a file with two names counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                facts = Path(folder, name).lstat()
            except OSError:
                continue
            if (facts.st_dev, facts.st_ino) not in seen:
                seen.add((facts.st_dev, facts.st_ino))
                total += facts.st_size
    return total
