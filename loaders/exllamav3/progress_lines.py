"""What ExLlamaV3's converter prints, as progress."""

from __future__ import annotations

import io
import re
import sys

from modules.worker.engine import Report

# " -- Quantized: model.layers.3     bpw: 4.00 …"
_DONE = re.compile(r" -- Quantized: \S*?\.(\d+)\s")


class ProgressLines(io.TextIOBase):
    """A text stream that reports each layer whose line is written, from `begin` to `end` of the whole work.

    All that is written reaches stderr too, for the job's log.
    """

    def __init__(self, layers: int, report: Report, begin: float, end: float) -> None:
        self._layers, self._report = max(1, layers), report
        self._begin, self._end = begin, end
        self._rest = ""

    def write(self, text: str) -> int:
        """Take a piece of the output, which need not end with a line."""
        sys.stderr.write(text)
        *lines, self._rest = f"{self._rest}{text}".split("\n")
        for line in lines:
            # Parts for images or drafts, whose layers are counted from 0 again, come after all layers of the text.
            if (found := _DONE.match(f"{line} ")) and (done := int(found[1]) + 1) <= self._layers:
                fraction = self._begin + (self._end - self._begin) * done / self._layers
                self._report(f"Quantized layer {done} of {self._layers}", fraction)
        return len(text)

    def flush(self) -> None:
        """Send what was written on."""
        sys.stderr.flush()
