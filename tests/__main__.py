"""Usage: python3 -m tests [--fast | --all | --lint] [ARGUMENTS for pytest]

Install what the tests need, then run every test that this machine can run. Tests that cannot run here are skipped by
name, with the reason. The tests are shared among several processes: one more than there are processor cores, because
tests often wait, and at most six.

  --fast   Leave out tests of engines, browsers, installations and foreign extensions (tests/support/fast.py). Takes
           less than three minutes on two processor cores, and names the slowest tests.
  --all    Run the tests of vLLM, of Vulkan, of programs that speak to the API (tests/clients) and those that take
           minutes each (tests/support/long_tests.py) too, and start Paddock five times from nothing
           (tests/first_starts.py).
  --lint   Run ruff, mypy and ESLint instead of tests.

--all sets the environment variables PADDOCK_TEST_VLLM, PADDOCK_TEST_VULKAN, PADDOCK_TEST_CLIENTS and PADDOCK_TEST_LONG
to 1. Each also works alone, and a test that is skipped names those that it needs.

Other arguments go to pytest, such as `-x`, `-k NAME` or `tests/chat`. With a path, tests run in one process. Use
`-n COUNT` for another number of processes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

MOST_PROCESSES = 6
# Seconds after which a test that stands still fails. One may have to compile llama.cpp first, beside others.
TEST_SECONDS = 2400
# The same for --fast, where no test waits for an installation.
FAST_TEST_SECONDS = 240
_OPTIONS = ("--fast", "--all", "--lint", "--no-venv")
# With these, pytest has to run in the process that has the terminal.
_NEED_TERMINAL = ("--pdb", "--trace", "-s", "--capture=no")


def main() -> int:
    """Set up, run the tests or the static checks, and return the exit status."""
    from modules.system import bootstrap

    root = Path(__file__).resolve().parent.parent
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return 0
    # Hundreds of processes import the same packages. Images of containers often forbid to keep their bytecode.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    bootstrap.ensure(root, ["-m", "tests", *sys.argv[1:]], ("host.txt", "dev.txt"))
    options = {argument for argument in sys.argv[1:] if argument in _OPTIONS}
    arguments = [argument for argument in sys.argv[1:] if argument not in _OPTIONS]
    if "--lint" in options:
        from tests.lint import lint

        return lint(root)
    if "--fast" in options:
        slowest = ["--durations=10", "--durations-min=2"]
        arguments[:0] = ["-p", "tests.support.fast", f"--timeout={FAST_TEST_SECONDS}", *slowest]
    if "--all" in options:
        for name in ("VLLM", "CLIENTS", "VULKAN", "LONG"):
            os.environ[f"PADDOCK_TEST_{name}"] = "1"
    return _run(root, arguments) or ("--all" in options and _first_starts())


def _run(root: Path, arguments: list[str]) -> int:
    import pytest

    limit = f"--timeout={TEST_SECONDS}"
    return int(pytest.main(["--rootdir", str(root), limit, *process_arguments(arguments), *arguments]))


def _first_starts() -> int:
    from tests.first_starts import main as first_starts

    return first_starts(5)


def process_arguments(arguments: list[str]) -> list[str]:
    """Return the arguments that make pytest-xdist share the tests among processes, for pytest's other `arguments`."""
    shared = ["--dist=loadscope"]
    if any(argument.startswith(("-n", "--numprocesses")) for argument in arguments):
        return shared
    paths = [argument for argument in arguments if Path(argument.partition("::")[0]).exists()]
    if paths or set(arguments) & set(_NEED_TERMINAL):
        return []
    return [f"-n{min(_cores() + 1, MOST_PROCESSES)}", *shared] if _cores() > 1 else []


def _cores() -> int:
    """Return the number of processor cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
