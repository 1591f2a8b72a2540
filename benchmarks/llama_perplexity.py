"""llama.cpp's own perplexity program, built from the source archive of llama-cpp-python that the loader pins."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from benchmarks.server import ROOT
from modules.system.pip_config import package_sources, read_pip_config
from modules.system.processors import available_processors

_PACKAGE, _TARGET = "llama-cpp-python", "llama-perplexity"
# Only the program, in one file, and nothing that is downloaded while it is built.
_OPTIONS = ("BUILD_SHARED_LIBS=OFF", "LLAMA_CURL=OFF", "LLAMA_OPENSSL=OFF", "LLAMA_BUILD_TESTS=OFF", "GGML_CCACHE=OFF")
# At its end the program may lose the last lines that it prints, so it reads some chunks more than are wanted.
_MORE_CHUNKS = 2


def build_program(cache: Path) -> Path:
    """Return the program in a folder of `cache`, built there once: some minutes of all cores but one."""
    version = _pinned_version()
    folder = cache / f"{_TARGET}-{version}"
    program = folder / _TARGET
    if program.exists():
        return program
    if not shutil.which("cmake"):
        raise RuntimeError(
            "cmake is not installed, and the program is built with it. Install cmake and a C++ compiler."
        )
    with tempfile.TemporaryDirectory(prefix="llama-perplexity-") as name:
        source, build = _source(version, Path(name)), Path(name) / "build"
        options = [f"-D{option}" for option in (*_OPTIONS, "CMAKE_BUILD_TYPE=Release")]
        _run(["cmake", "-S", str(source), "-B", str(build), *options])
        jobs = max(1, len(available_processors()) - 1)
        _run(["nice", "cmake", "--build", str(build), "--target", _TARGET, "--parallel", str(jobs)])
        folder.mkdir(parents=True, exist_ok=True)
        partial = program.with_suffix(".part")
        shutil.copy2(next(build.rglob(_TARGET)), partial)
        partial.rename(program)
    return program


def measure(program: Path, model: Path, text: Path, window: int, chunks: int) -> float:
    """Return the perplexity of the first `chunks` chunks of `window` tokens of the file `text`."""
    command = [str(program), "-m", str(model), "-f", str(text), "-c", str(window), "-b", str(window)]
    said = _run([*command, "--chunks", str(chunks + _MORE_CHUNKS), "-t", str(len(available_processors()))])
    # After each chunk, it prints the perplexity of all so far: [1]41.2458,[2]33.0413,
    if not (found := re.search(rf"\[{chunks}\]([\d.]+)", said)):
        raise RuntimeError(f"{_TARGET} gave no figure: {said[-2000:]}")
    return float(found[1])


def _pinned_version() -> str:
    pins = (ROOT / "loaders" / "llamacpp" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return next(line.split("==")[1] for line in pins if line.startswith(f"{_PACKAGE}=="))


def _source(version: str, place: Path) -> Path:
    """Download and unpack the source archive; return the folder of llama.cpp in it."""
    from uv import find_uv_bin

    uv = [find_uv_bin(), "run", "--no-project", "--quiet", "--with", "pip"]
    pip = ["python", "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", _PACKAGE, "--dest", str(place)]
    _run([*uv, *package_sources(read_pip_config()).arguments, *pip, f"{_PACKAGE}=={version}"])
    with tarfile.open(next(place.glob("*.tar.gz"))) as archive:
        archive.extractall(place, filter="data")
    return next(path for path in place.glob("*/vendor/llama.cpp") if path.is_dir())


def _run(command: list[str]) -> str:
    """Run a program; return what it wrote to both streams. Raises RuntimeError with its last lines where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stdout[-3000:]}")
    return done.stdout
