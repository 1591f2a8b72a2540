"""Sentences of jobs in the words of the page: jobs name settings and options as the command line takes them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

from modules.protocol.errors import PaddockError

_PAIR = r"\w+=[^\s,]*[^\s.,]"
_SET = re.compile(rf"--set ({_PAIR}(?: {_PAIR})*)")
_AGAIN = re.compile(r"([Rr])un it again: .*? jobs resume \d+")
# Options that are fields or buttons of the page, and what the page calls them.
_OPTIONS = {
    "--name": "name",
    "--calibration": "Calibration text",
    "--text": "Text",
    "--data": "Data",
    "--device": "Hardware",
    " (--to folder)": "",
    " (--to gguf)": "",
}
_OPTION = re.compile("|".join(rf"{re.escape(option)}(?![\w-])" for option in _OPTIONS))


def page_words(text: str, labels: Mapping[str, str]) -> str:
    """Return `text` with the page's fields and buttons in place of options. `labels`: setting -> label of its field.

    "--set imatrix=auto" becomes "set Importance matrix to auto".
    """
    text = _AGAIN.sub(r"\1un it again with the button below", text)
    text = _SET.sub(lambda found: " and ".join(_in_words(pair, labels) for pair in found[1].split()), text)
    return _OPTION.sub(lambda found: _OPTIONS[found[0]], text)


@contextlib.contextmanager
def errors_in_page_words(labels: Mapping[str, str]) -> Iterator[None]:
    """Let a PaddockError speak the words of the page."""
    try:
        yield
    except PaddockError as error:
        error.message = page_words(error.message, labels)
        raise


def _in_words(pair: str, labels: Mapping[str, str]) -> str:
    name, _, value = pair.partition("=")
    label = labels.get(name, name)
    switches = {"true": "on", "false": "off"}
    return f"switch {switches[value]} {label}" if value in switches else f"set {label} to {value}"
