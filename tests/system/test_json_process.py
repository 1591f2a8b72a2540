"""A process that answers in JSON ends when its owner says so, and not before."""

from __future__ import annotations

import signal
import sys

import psutil
import pytest

from modules.system.json_process import JsonProcess


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to one process")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signals_to_all_processes_leave_it_to_its_owner(name: str) -> None:
    process = JsonProcess("modules.ui.code_colours")
    try:
        before = set(psutil.Process().children())
        assert process.ask({"code": "1", "language": "python"}, 60.0)
        (child,) = set(psutil.Process().children()) - before
        child.send_signal(signal.Signals[name])
        assert process.ask({"code": "2", "language": "python"}, 60.0) == {"html": '<span class="mi">2</span>\n'}
        assert child.is_running()
    finally:
        process.close()
