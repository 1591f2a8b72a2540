"""llama.cpp with Vulkan for tests, made of ready libraries, and Vulkan on the processor (Mesa's lavapipe).

The libraries are those of an npm package. They stand in for those of llama-cpp-python, whose Python files ask at import
for functions that another build may lack: a small library on top has these as functions that do nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# `python3 -m tests --all` sets it: Vulkan's shaders take minutes to compile for the first time.
VARIABLE = "PADDOCK_TEST_VULKAN"
_PACKAGE, _VERSION = "@node-llama-cpp/linux-x64-vulkan", "3.22.1"
_FOLDER = ROOT / ".test-models" / f"vulkan-llama-{_VERSION}"
_READY = "ready"
_ICD = Path("/usr/share/vulkan/icd.d")
# Each is a library that llama.cpp loads by itself.
_BACKENDS = ("libggml-cpu", "libggml-vulkan")
_LOAD_BACKENDS = """
#include <stdlib.h>
void ggml_backend_load_all_from_path(const char *folder);
__attribute__((constructor)) static void load(void) { ggml_backend_load_all_from_path(getenv("LLAMA_CPP_LIB_PATH")); }
"""
_NAMES = re.compile(r'^@ctypes_function\(\s*"(\w+)"', re.MULTILINE)


def not_here() -> str:
    """Return a sentence that says why Vulkan is not tested, or ""."""
    if not os.environ.get(VARIABLE):
        return f"Vulkan's shaders take minutes to compile at first. Set {VARIABLE}=1 to test with them."
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "The libraries with Vulkan are for Linux on x86-64."
    if missing := [name for name in ("cc", "nm", "npm") if not shutil.which(name)]:
        return f"{' and '.join(missing)} is missing, which puts the libraries with Vulkan together."
    if not list(_ICD.glob("lvp_icd*.json")):
        return "Vulkan on the processor is missing: apt install --no-install-recommends mesa-vulkan-drivers libvulkan1"
    return ""


def vulkan_environment(python: Path) -> dict[str, str]:
    """Return the variables with which the loader llamacpp, whose interpreter is `python`, uses the libraries. They are
    made at the first use."""
    if not (_FOLDER / _READY).exists():
        shutil.rmtree(_FOLDER, ignore_errors=True)
        _FOLDER.mkdir(parents=True)
        _download()
        _put_on_top(python)
        (_FOLDER / _READY).touch()
    (icd,) = list(_ICD.glob("lvp_icd*.json"))[:1]
    shaders = _FOLDER / "shaders"
    shaders.mkdir(exist_ok=True)
    return {
        "LLAMA_CPP_LIB_PATH": str(_FOLDER),
        "VK_DRIVER_FILES": str(icd),
        "VK_ICD_FILENAMES": str(icd),
        "MESA_SHADER_CACHE_DIR": str(shaders),
    }


def _download() -> None:
    command = ["npm", "pack", "--silent", "--pack-destination", str(_FOLDER), f"{_PACKAGE}@{_VERSION}"]
    subprocess.run(command, check=True, timeout=500, cwd=_FOLDER)
    (archive,) = _FOLDER.glob("*.tgz")
    with tarfile.open(archive) as package:
        for member in package.getmembers():
            if ".so" in Path(member.name).name and (content := package.extractfile(member)):
                (_FOLDER / Path(member.name).name).write_bytes(content.read())
    archive.unlink()


def _put_on_top(python: Path) -> None:
    """Make libllama.so: the package's library, the functions that it lacks, and the load of its backends."""
    (package,) = python.parent.parent.glob("lib/python*/site-packages/llama_cpp")
    wanted = {name for file in package.glob("*.py") for name in _NAMES.findall(file.read_text())}
    libraries = [file for file in sorted(_FOLDER.glob("lib*.so")) if not file.name.startswith(_BACKENDS)]
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", *map(str, libraries)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    there = {line.split()[0].partition("@")[0] for line in listed.stdout.splitlines() if " T " in line}
    source = "".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(wanted - there))
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(_FOLDER / "libllama.so"), "-Wl,--no-as-needed"]
    link = ["-L", str(_FOLDER), *(f"-l:{file.name}" for file in libraries), "-Wl,-rpath,$ORIGIN"]
    subprocess.run([*command, *link], input=source + _LOAD_BACKENDS, text=True, check=True, timeout=120)
