"""Before anything else is imported: `.venv`, the host's packages, a fresh start inside. Standard library only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from modules.system.child_environment import install_environment
from modules.system.interpreter import foreign_variables, python_in, usable
from modules.system.pip_config import package_sources, read_pip_config
from modules.system.setup_lock import SetupLock, setup_lock

OLDEST = (3, 10)
_MARKER = "paddock-host.txt"
_INTERPRETER = "interpreter "
# Set by one start for the next: it runs in .venv, and it follows a repair.
_AGAIN = "PADDOCK_STARTED_AGAIN"
_REPAIRED = "PADDOCK_REPAIRED"
_WAITING = "Another start of Paddock is setting up .venv. Waiting until it has ended ..."
_NETWORK = "The packages could not be fetched. Check the network, or pip's index and proxy settings, and start again."
_VENV = "Python could not make a virtual environment; the lines above say why. Mend that, and start again."
# What a failed step said -> what to do. The first that is found counts.
_ADVICE = (
    (
        r"ensurepip is not|No module named '?(venv|ensurepip)",
        "Python could not make a virtual environment. On Debian and Ubuntu: apt install python3-venv",
    ),
    (r"No space left|disk quota|os error 28", "The disk is full. Free about a gigabyte, and start again."),
    (
        r"Permission denied|Read-only file system|Operation not permitted",
        "Paddock could not write to its folder. Move it to a folder of yours, or change the permissions.",
    ),
    (
        r"SOCKS",
        "pip cannot use the SOCKS proxy that the environment names. Set an HTTP proxy, or unset it, and start again.",
    ),
)


def ensure(root: Path, argv: list[str], requirements: tuple[str, ...] = ("host.txt",)) -> None:
    """Return at once inside a complete `.venv` (or with --no-venv); else build it and start `argv` again in there."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"Paddock needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}. Install one."
        )
    again = os.environ.pop(_AGAIN, "")
    if "--no-venv" in argv:
        return
    folder = root / ".venv"
    pins = [root / "requirements" / name for name in requirements]
    built = False
    if not _complete(folder, pins):
        try:
            with _handle_sigterm(), setup_lock(_lock_of(folder), lambda: _say(_WAITING)) as lock:
                # Another start may have made it while this one waited.
                if built := not _complete(folder, pins):
                    _build(folder, pins, lock)
        except KeyboardInterrupt:
            sys.exit("\nStopped before Paddock was set up. The next start goes on from here.")
        except OSError as error:
            sys.exit(f"\n{_advice(str(error), f'Paddock could not be set up ({error}). Mend that, and start again.')}")
    if built or Path(sys.prefix).resolve() != folder.resolve() or foreign_variables(os.environ):
        if again:
            sys.exit("\nThe Python in .venv starts, but not as that of .venv. Delete .venv, and start again.")
        _start_again(python_in(folder), argv)


def repair(root: Path, argv: list[str], error: ImportError) -> NoReturn:
    """Install the host's packages again where one of them cannot be imported, then start again. Raises `error` where no
    package is to blame, and SystemExit with a sentence where that does not help."""
    if (error.name or "modules").partition(".")[0] in ("modules", "loaders", "extensions", "tests"):
        raise error
    if "--no-venv" in argv:
        sys.exit(f"\n{error}. Install requirements/host.txt into this Python, or start without --no-venv.")
    if os.environ.get(_REPAIRED):
        sys.exit(f"\n{error}, though all packages were installed again. Delete .venv, and start again.")
    _say(f"Paddock's own packages are damaged ({error}), so they are installed again.")
    folder = root / ".venv"
    try:
        with _handle_sigterm(), setup_lock(_lock_of(folder), lambda: _say(_WAITING)) as lock:
            (folder / _MARKER).unlink(missing_ok=True)
            lock.interrupted_step = "packages"
            _build(folder, [root / "requirements" / "host.txt"], lock)
    except (KeyboardInterrupt, OSError) as problem:
        sys.exit(f"\n{_advice(str(problem), 'They could not be installed. Start again.')}")
    os.environ[_REPAIRED] = "1"
    _start_again(python_in(folder), argv)


def _lock_of(folder: Path) -> Path:
    return folder.resolve().with_name(".venv.lock")


def _digest(path: Path) -> str:
    return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _complete(folder: Path, pins: list[Path]) -> bool:
    """Whether the packages of `pins` are installed whole, in an environment whose interpreter is still the same."""
    noted = _noted(folder)
    if not {_digest(path) for path in pins} <= noted:
        return False
    known = next((line for line in noted if line.startswith(_INTERPRETER)), "")
    signature = usable(folder, known.removeprefix(_INTERPRETER))
    if signature and known != _INTERPRETER + signature:
        with contextlib.suppress(OSError):
            _note(folder, noted - {known} | {_INTERPRETER + signature})
    return bool(signature)


def _noted(folder: Path) -> set[str]:
    """Digests of the requirement files that were installed whole, and the interpreter's signature."""
    try:
        return set((folder / _MARKER).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return set()


def _note(folder: Path, lines: set[str]) -> None:
    written = folder / f"{_MARKER}.{os.getpid()}"
    written.write_text("\n".join(sorted(lines)), encoding="utf-8")
    written.replace(folder / _MARKER)


def _build(folder: Path, pins: list[Path], lock: SetupLock) -> None:
    begin = time.monotonic()
    python = python_in(folder)
    half_made = lock.interrupted_step == "venv"
    changed = bool(_noted(folder)) and not usable(folder, "")
    if half_made or changed or not _has_pip(python):
        if changed:
            _say("The Python that .venv was made with is gone or is another version now, so .venv is made again.")
        shutil.rmtree(folder.resolve(), ignore_errors=True)
        _say("Making a Python environment in .venv ...")
        with lock.step("venv"):
            # Not sys.executable: that may be the one in .venv.
            maker = getattr(sys, "_base_executable", None) or sys.executable
            _run([maker, "-m", "venv", str(folder)], _VENV, lock)
    sources = package_sources(read_pip_config(str(python)))
    uv = next(line for path in pins for line in path.read_text().splitlines() if line.startswith("uv=="))
    again = lock.interrupted_step == "packages"
    with lock.step("packages"):
        _say("Fetching the installer (uv) ...")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", uv.split()[0]]
        _run([*pip, *(["--force-reinstall"] if again else [])], _NETWORK, lock, {"PIP_USER": "0"})
        _say("Installing Paddock's own packages ...")
        named = [part for path in pins for part in ("-r", str(path))]
        _run(
            [str(python), "-m", "uv", "pip", "install", "--python", str(python), *named, *sources.arguments]
            # uv takes a package for installed that it had only begun to write.
            + (["--reinstall"] if again else []),
            _NETWORK,
            lock,
            {**sources.environment, "UV_PYTHON_DOWNLOADS": "never"},
        )
    # What was installed before into an environment that is another now is not there.
    kept = set() if half_made or changed else {line for line in _noted(folder) if not line.startswith(_INTERPRETER)}
    _note(folder, kept | {_digest(path) for path in pins} | {_INTERPRETER + usable(folder, "")})
    _say(f"Set up in {time.monotonic() - begin:.0f} s.")


def _has_pip(python: Path) -> bool:
    """Whether the environment's interpreter runs and has pip: one half made by a killed start does not."""
    try:
        return subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: list[str], advice: str, lock: SetupLock, environment: dict[str, str] | None = None) -> None:
    said: list[str] = []
    with subprocess.Popen(
        command,
        env={**_clean_environment(), **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=lock.inherited,
        # A group of its own, so that what it starts can be ended with it.
        start_new_session=os.name != "nt",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line)
                # The list of what was installed, fifty lines of names, helps nobody.
                if not line.startswith((" + ", " ~ ", " - ")):
                    _say(f"  {line.rstrip()}")
        except BaseException:
            _kill(process)
            raise
    if process.returncode != 0:
        sys.exit(f"\n{_advice(''.join(said), advice)}\nNothing else was changed.")


def _advice(said: str, otherwise: str) -> str:
    return next((advice for words, advice in _ADVICE if re.search(words, said, re.IGNORECASE)), otherwise)


def _kill(process: subprocess.Popen[str]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _handle_sigterm() -> Iterator[None]:
    """Take SIGTERM for Ctrl+C while the block runs: what was started ends, too."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _clean_environment() -> dict[str, str]:
    """The environment without secrets, and without what leads .venv's interpreter to what is not its own, or pip to
    elsewhere."""
    dropped = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}
    return {name: value for name, value in install_environment().items() if name not in dropped}


def _start_again(python: Path, argv: list[str]) -> NoReturn:
    foreign = foreign_variables(os.environ)
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    environment[_AGAIN] = "1"
    try:
        if os.name == "nt":
            # Windows has no exec: the shell would take the prompt back while the child still runs.
            sys.exit(subprocess.run([str(python), *argv], env=environment, check=False).returncode)
        os.execve(python, [str(python), *argv], environment)
    except OSError as error:
        sys.exit(f"\nThe Python in .venv could not be started ({error}). Delete .venv, and start again.")


def _say(text: str) -> None:
    print(text, flush=True)
