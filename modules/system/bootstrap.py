"""Creates `.venv`, installs the host's packages and restarts in it, before other imports. Standard library only."""

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
# Set for the restarted process: it runs in .venv, and it follows a repair.
_AGAIN = "PADDOCK_STARTED_AGAIN"
_REPAIRED = "PADDOCK_REPAIRED"
_WAITING = "Another start of Paddock is setting up .venv. Waiting until it has finished ..."
_NETWORK = (
    "The packages could not be downloaded. Check the network, or pip's index and proxy settings, and start again."
)
_VENV = "Python could not create a virtual environment; see the lines above. Fix the cause, and start again."
# Output of a failed step -> what to do. The first match is used.
_ADVICE = (
    (
        r"ensurepip is not|No module named '?(venv|ensurepip)",
        "Python could not create a virtual environment. On Debian and Ubuntu: apt install python3-venv",
    ),
    (r"No space left|disk quota|os error 28", "The disk is full. Free about a gigabyte, and start again."),
    (
        r"Permission denied|Read-only file system|Operation not permitted",
        "Paddock could not write to its folder. Move it to a folder that you own, or change the permissions.",
    ),
    (
        r"SOCKS",
        "pip cannot use the SOCKS proxy of the environment variables. Set an HTTP proxy, or unset it, and start again.",
    ),
)


def ensure(root: Path, argv: list[str], requirements: tuple[str, ...] = ("host.txt",)) -> None:
    """Return at once inside a complete `.venv` (or with --no-venv). Else build it and restart with `argv` inside it."""
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
            with _handle_sigterm(), setup_lock(_lock_of(folder), lambda: _print(_WAITING)) as lock:
                # Another start may have built it while this one waited.
                if built := not _complete(folder, pins):
                    _build(folder, pins, lock)
        except KeyboardInterrupt:
            sys.exit("\nStopped before Paddock was set up. The next start continues from here.")
        except OSError as error:
            sys.exit(
                f"\n{_advice(str(error), f'Paddock could not be set up ({error}). Fix the cause, and start again.')}"
            )
    if built or Path(sys.prefix).resolve() != folder.resolve() or foreign_variables(os.environ):
        if again:
            sys.exit("\nThe Python in .venv does not run as that of .venv. Delete .venv, and start again.")
        _restart(python_in(folder), argv)


def repair(root: Path, argv: list[str], error: ImportError) -> NoReturn:
    """Reinstall the host's packages because one of them cannot be imported, then restart.

    Raises `error` if it does not come from a package, and SystemExit with a sentence if the repair does not help.
    """
    if (error.name or "modules").partition(".")[0] in ("modules", "loaders", "extensions", "tests"):
        raise error
    if "--no-venv" in argv:
        sys.exit(f"\n{error}. Install requirements/host.txt into this Python, or start without --no-venv.")
    if os.environ.get(_REPAIRED):
        sys.exit(f"\n{error}, although all packages were reinstalled. Delete .venv, and start again.")
    _print(f"Paddock's packages are damaged ({error}) and will be reinstalled.")
    folder = root / ".venv"
    try:
        with _handle_sigterm(), setup_lock(_lock_of(folder), lambda: _print(_WAITING)) as lock:
            (folder / _MARKER).unlink(missing_ok=True)
            lock.interrupted_step = "packages"
            _build(folder, [root / "requirements" / "host.txt"], lock)
    except (KeyboardInterrupt, OSError) as problem:
        sys.exit(f"\n{_advice(str(problem), 'They could not be installed. Start again.')}")
    os.environ[_REPAIRED] = "1"
    _restart(python_in(folder), argv)


def _lock_of(folder: Path) -> Path:
    return folder.resolve().with_name(".venv.lock")


def _digest(path: Path) -> str:
    return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _complete(folder: Path, pins: list[Path]) -> bool:
    """Return True if all packages of `pins` are installed, in an environment whose interpreter has not changed."""
    recorded = _recorded(folder)
    if not {_digest(path) for path in pins} <= recorded:
        return False
    known = next((line for line in recorded if line.startswith(_INTERPRETER)), "")
    signature = usable(folder, known.removeprefix(_INTERPRETER))
    if signature and known != _INTERPRETER + signature:
        with contextlib.suppress(OSError):
            _record(folder, recorded - {known} | {_INTERPRETER + signature})
    return bool(signature)


def _recorded(folder: Path) -> set[str]:
    """Return the digests of the completely installed requirement files, and the interpreter's signature."""
    try:
        return set((folder / _MARKER).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return set()


def _record(folder: Path, lines: set[str]) -> None:
    written = folder / f"{_MARKER}.{os.getpid()}"
    written.write_text("\n".join(sorted(lines)), encoding="utf-8")
    written.replace(folder / _MARKER)


def _build(folder: Path, pins: list[Path], lock: SetupLock) -> None:
    begin = time.monotonic()
    python = python_in(folder)
    incomplete = lock.interrupted_step == "venv"
    changed = bool(_recorded(folder)) and not usable(folder, "")
    if incomplete or changed or not _has_pip(python):
        if changed:
            _print("The Python of .venv is gone or has another version, so .venv is rebuilt.")
        shutil.rmtree(folder.resolve(), ignore_errors=True)
        _print("Creating a Python environment in .venv ...")
        with lock.step("venv"):
            # Not sys.executable, which may be the one in .venv.
            maker = getattr(sys, "_base_executable", None) or sys.executable
            _run([maker, "-m", "venv", str(folder)], _VENV, lock)
    sources = package_sources(read_pip_config(str(python)))
    uv = next(line for path in pins for line in path.read_text().splitlines() if line.startswith("uv=="))
    again = lock.interrupted_step == "packages"
    with lock.step("packages"):
        _print("Downloading the installer (uv) ...")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", uv.split()[0]]
        _run([*pip, *(["--force-reinstall"] if again else [])], _NETWORK, lock, {"PIP_USER": "0"})
        _print("Installing Paddock's packages ...")
        named = [part for path in pins for part in ("-r", str(path))]
        _run(
            [str(python), "-m", "uv", "pip", "install", "--python", str(python), *named, *sources.arguments]
            # uv treats a package that it only began to write as installed.
            + (["--reinstall"] if again else []),
            _NETWORK,
            lock,
            {**sources.environment, "UV_PYTHON_DOWNLOADS": "never"},
        )
    # Packages of an earlier environment are gone.
    earlier = (
        set() if incomplete or changed else {line for line in _recorded(folder) if not line.startswith(_INTERPRETER)}
    )
    _record(folder, earlier | {_digest(path) for path in pins} | {_INTERPRETER + usable(folder, "")})
    _print(f"Set up in {time.monotonic() - begin:.0f} s.")


def _has_pip(python: Path) -> bool:
    """Return True if the environment's interpreter runs and has pip. One left by a killed start may have none."""
    try:
        return subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: list[str], advice: str, lock: SetupLock, environment: dict[str, str] | None = None) -> None:
    output: list[str] = []
    with subprocess.Popen(
        command,
        env={**_clean_environment(), **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=lock.inherited,
        # A new process group, so that the processes it starts can be killed with it.
        start_new_session=os.name != "nt",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                output.append(line)
                # Hide the list of installed packages, about fifty lines.
                if not line.startswith((" + ", " ~ ", " - ")):
                    _print(f"  {line.rstrip()}")
        except BaseException:
            _kill(process)
            raise
    if process.returncode != 0:
        sys.exit(f"\n{_advice(''.join(output), advice)}\nNothing else was changed.")


def _advice(output: str, default: str) -> str:
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, output, re.IGNORECASE)), default)


def _kill(process: subprocess.Popen[str]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _handle_sigterm() -> Iterator[None]:
    """Treat SIGTERM as Ctrl+C while the block runs, so that started processes are ended too."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _clean_environment() -> dict[str, str]:
    """Return the environment variables without secrets, and without those that lead Python or pip to other folders."""
    dropped = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}
    return {name: value for name, value in install_environment().items() if name not in dropped}


def _restart(python: Path, argv: list[str]) -> NoReturn:
    foreign = foreign_variables(os.environ)
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    environment[_AGAIN] = "1"
    try:
        if os.name == "nt":
            # Windows has no exec: the shell would show its prompt while the child still runs.
            sys.exit(subprocess.run([str(python), *argv], env=environment, check=False).returncode)
        os.execve(python, [str(python), *argv], environment)
    except OSError as error:
        sys.exit(f"\nThe Python in .venv could not be started ({error}). Delete .venv, and start again.")


def _print(text: str) -> None:
    print(text, flush=True)
