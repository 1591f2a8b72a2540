"""A fake quantizer: copies the model, or goes wrong on request, so that jobs can be tested without an engine."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from pathlib import Path

from loaders.echo.spec import QuantizerSettings
from modules.protocol.commands import Quantize
from modules.protocol.errors import ModelError
from modules.worker.engine import Report
from modules.worker.quantizer import Quantized, QuantizerBase

_FIRST, _AGAIN = "This is the first run.", "An earlier run was here."


class Quantizer(QuantizerBase):
    """Writes a part of the model, then behaves as the settings say."""

    def quantize(self, request: Quantize, settings: QuantizerSettings, report: Report) -> Quantized:
        source, target = Path(request.source), Path(request.target)
        (target / "part.bin").write_bytes(b"half of a model")
        report("Copied half of the model", 0.5)
        if settings.behaviour == "refuse":
            raise ModelError("The echo loader refuses this model, as its settings ask. Choose another behaviour.")
        if settings.behaviour == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if settings.behaviour == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if settings.behaviour == "hang":
            threading.Event().wait()
        notes = ["Nothing was quantized."]
        if settings.behaviour == "resume":
            notes = [_go_on(Path(request.checkpoints) / "half"), _go_on(Path(request.measurements) / "tiny")]
            if notes[0] == _FIRST:
                raise ModelError("The echo loader stops halfway, as its settings ask. Run the job again.")
        (target / "part.bin").unlink()
        for file in source.iterdir():
            if file.is_file():
                shutil.copyfile(file, target / file.name)
        report("Copied all of the model", 1.0)
        return Quantized({"echo": "1"}, notes)


def _go_on(mark: Path) -> str:
    """Leave a file for the next run. Return whether an earlier one left it."""
    note = _AGAIN if mark.exists() else _FIRST
    mark.touch()
    return note
