"""Builds one environment: creates it, installs its pins step by step, and imports the engine in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from modules.files.paths import write_atomically
from modules.protocol.errors import EnvironmentBroken
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.variants import Variant
from modules.runtime.environment_files import MARKER, folder_bytes
from modules.runtime.install_progress import InstallProgress, Report
from modules.runtime.pins import Step, steps
from modules.runtime.uv import Uv
from modules.system.interpreter import python_in, usable
from modules.system.pip_config import package_sources, read_pip_config
from modules.system.program_name import program_name

_PROBE_SECONDS = 300.0


class Builder:
    """Builds environments with `uv`."""

    def __init__(self, uv: Uv) -> None:
        self._uv = uv

    def build(
        self, spec: LoaderSpec, variant: Variant, pins: Path, path: Path, report: Report, lock_files: Sequence[int]
    ) -> None:
        """Build the environment `path` from the requirements file `pins`; blocking. Raise EnvironmentBroken, after
        which nothing is left of it."""
        begin = time.monotonic()
        shutil.rmtree(path, ignore_errors=True)
        try:
            self._install(spec, variant, pins, path, report, lock_files)
            report(f"Checking that {spec.title} starts", 0.95)
            facts = {
                "loader": spec.name,
                "variant": variant.name,
                "engine": self._probe(spec, variant, path),
                "interpreter": usable(path, ""),
                "size_bytes": folder_bytes(path),
                "seconds": round(time.monotonic() - begin, 1),
            }
            write_atomically(path / MARKER, json.dumps(facts, indent=1))
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise

    def _install(
        self, spec: LoaderSpec, variant: Variant, file: Path, path: Path, report: Report, lock_files: Sequence[int]
    ) -> None:
        sources = package_sources(read_pip_config())
        first, *later = steps(file.read_text("utf-8"), display(file))
        report(f"Creating an environment for {spec.title}", 0.0)
        self._uv.run(["venv", "--python", sys.executable, str(path)], sources, spec, lambda line: None, lock_files)
        install = ["pip", "install", "--python", str(python_in(path)), *variant.flags]
        plan: list[str] = []
        report(f"Choosing packages for {spec.title}", 0.02)
        pins = _write_pins(first, path / "pins.txt")
        choose = [*install, *first.arguments(sources.arguments), *pins, "--dry-run"]
        self._uv.run(choose, sources, spec, plan.append, lock_files)
        if variant.kind == "cpu" and any(re.match(r" \+ nvidia-(?!ml-py)", line) for line in plan):
            # For the CPU, avoid gigabytes of CUDA packages. PyTorch's own index has CPU builds. nvidia-ml-py is a small
            # one that only asks the driver.
            install += ["--torch-backend", "cpu"]
        total = max(1, sum(line.startswith(" + ") for line in plan)) + sum(step.count for step in later)
        installing = InstallProgress(spec.title, total, report)
        for number, step in enumerate((first, *later), 1):
            pins = _write_pins(step, path / ("pins.txt" if number == 1 else f"pins-{number}.txt"))
            self._uv.run(
                [*install, *step.arguments(sources.arguments), *pins], sources, spec, installing.line, lock_files
            )

    def _probe(self, spec: LoaderSpec, variant: Variant, path: Path) -> str:
        """Import the engine in its environment. Return the version that it prints."""
        python = python_in(path)
        try:
            result = self._uv.probe(python, spec, spec.probe, _PROBE_SECONDS)
            if result.returncode != 0:
                raise _import_error(spec, result.stderr, result.returncode)
            if variant.probe and (found := self._uv.probe(python, spec, variant.probe, _PROBE_SECONDS)).returncode != 0:
                ended = f"its test ended {_how(found.returncode)} without a message"
                last = (found.stderr.strip().splitlines() or [ended])[-1]
                raise EnvironmentBroken(
                    f"{spec.title} for {variant.title} was installed, but cannot use the graphics card: {last[:300]}.",
                    detail=found.stderr[-4000:],
                )
        except subprocess.TimeoutExpired:
            raise EnvironmentBroken(f"{spec.title} was installed but did not start. Try another loader.") from None
        return result.stdout.strip().splitlines()[-1] if result.stdout.strip() else ""


def _how(status: int) -> str:
    """Return how a process ended: "with status 1", "by SIGSEGV"."""
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"with status {status}"


def _import_error(spec: LoaderSpec, stderr: str, status: int) -> EnvironmentBroken:
    if missing := re.search(r"(lib[\w+-]+\.so[.\d]*): cannot open shared object", stderr):
        return EnvironmentBroken(
            f"{spec.title} needs the system library {missing[1]}, which is missing. Install it (on Debian and "
            "Ubuntu libgomp.so.1 comes with: apt install libgomp1), then: "
            f"{program_name()} install {spec.name}",
            detail=stderr[-4000:],
        )
    if status < 0:
        lacking = "This processor may lack instructions that it needs. " if "SIGILL" in _how(status) else ""
        return EnvironmentBroken(
            f"{spec.title} was installed, but its engine ended {_how(status)} when it was imported. {lacking}See the "
            "details, or try another loader.",
            detail=stderr[-4000:],
        )
    return EnvironmentBroken(
        f"{spec.title} was installed, but its engine cannot be imported. See the details, or try another loader.",
        detail=stderr[-4000:],
    )


def display(file: Path) -> str:
    """Return the path as a sentence shows it: loaders/NAME/requirements.txt."""
    return "/".join(file.parts[-3:])


def _write_pins(step: Step, file: Path) -> list[str]:
    """Write the step's pins to a file. Return uv's arguments for it."""
    file.write_text(step.text, encoding="utf-8")
    return ["-r", str(file)]


def missing_compiler(spec: LoaderSpec) -> str:
    """Return a sentence about a missing compiler, or "" if nothing is missing."""
    names = filter(None, (os.environ.get("CXX", "").split(" ")[0], "c++", "g++", "clang++", "cl"))
    if not spec.compiled or any(map(shutil.which, names)):
        return ""
    return (
        f"{spec.title} is compiled on this machine, which needs a C++ compiler. Install one (Debian and Ubuntu: "
        "apt-get install g++; macOS: xcode-select --install; Windows: Visual Studio Build Tools), then try again."
    )
