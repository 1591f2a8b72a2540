"""Text for calibration and evaluation: files and folders, data sets of the hub, past chats, and the samples that ship.

A row is {"text": str}, or {"messages": [{"role", "content"}, …]}, which the model's own template turns into text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modules.families.calibration import FEWEST_TOKENS, CalibrationSettings
from modules.jobs.hub_texts import HUB_TEXTS, HubText, fetch_text, saved_text
from modules.jobs.job_spec import JobError
from modules.jobs.text_files import ENDINGS, ENDINGS_TEXT, LARGEST, Row, file_rows, first_lines

SAMPLES = Path(__file__).parent / "samples"
_CALIBRATION, _HELD_OUT = "calibration.jsonl", "held_out.jsonl"
_CHAT = "chat:"
# Tokens that a chat template writes around a message, at most.
_TOKENS_AROUND = 24

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class TextRows:
    """`rows` in order; `source`: where they came from; `sha256`: of their content; `broken`: lines passed over."""

    rows: list[Row]
    source: str
    sha256: str
    broken: list[str]

    def notes(self) -> list[str]:
        """Return sentences on the rows that were passed over: how many, and the first of them by name."""
        if not self.broken:
            return []
        rows = "1 row was" if len(self.broken) == 1 else f"{len(self.broken)} rows were"
        return [f"{rows} passed over in {self.source}.", *self.broken[:5]]


@dataclass(frozen=True)
class TextSources:
    """Where the text of a job comes from.

    A source is a path, a name of HUB_TEXTS, "chat:" and a chat's title or id, or "" for the sample that ships.
    datasets: the folder of downloaded files. chat: returns the messages of the chat with that title or id, as rows of
    {"role", "content"}; raises PaddockError. endpoint: the hub; None takes HF_ENDPOINT.
    """

    datasets: Path
    chat: Callable[[str], list[dict[str, str]]]
    endpoint: str | None = None

    def check(self, source: str) -> None:
        """Raise PaddockError where it is known, without the network, that the text cannot be had."""
        if source in HUB_TEXTS:
            return
        self.calibration(source, lambda step: None)

    def check_calibration(self, source: str, settings: CalibrationSettings) -> None:
        """Raise PaddockError where it is known, without the network, that the text cannot be had or is too short."""
        if source not in HUB_TEXTS:
            _check_amount(self.calibration(source, lambda step: None), settings)

    def calibration_at_hand(self, source: str) -> TextRows | None:
        """Return rows for calibration; None where they must be downloaded first. Raises PaddockError."""
        if source in HUB_TEXTS and saved_text(self.datasets, HUB_TEXTS[source].calibration) is None:
            return None
        return self.calibration(source, lambda step: None)

    def calibration(self, source: str, report: OnStep) -> TextRows:
        """Return rows for calibration; they are downloaded where they must be. Raises PaddockError."""
        if source in HUB_TEXTS:
            return self._of_hub(HUB_TEXTS[source].calibration, report)
        return self._of_chat(source) if source.startswith(_CHAT) else calibration_rows(source)

    def evaluation(self, source: str, report: OnStep) -> TextRows:
        """Return rows that a model is measured on. Raises PaddockError."""
        if source in HUB_TEXTS:
            return self._of_hub(HUB_TEXTS[source].evaluation, report)
        return self._of_chat(source) if source.startswith(_CHAT) else evaluation_rows(source)

    def _of_hub(self, text: HubText, report: OnStep) -> TextRows:
        file = saved_text(self.datasets, text) or fetch_text(self.datasets, text, report, self.endpoint)
        broken: list[str] = []
        # In WikiText, empty lines are no faults.
        rows = first_lines(file, text.first_rows, broken) if text.first_rows else file_rows(file, [])
        texts = text.arrange([row["text"] for row in rows])
        return _text_rows([{"text": part} for part in texts if part.strip()], text.title, broken)

    def _of_chat(self, source: str) -> TextRows:
        name = source.removeprefix(_CHAT)
        messages = self.chat(name)
        if not any(message["content"].strip() for message in messages):
            raise JobError(f"The chat {name} has no messages. Choose another one.")
        return _text_rows([{"messages": messages}], f"the chat {name}", [])


def _check_amount(text: TextRows, settings: CalibrationSettings) -> None:
    """Raise JobError where it is plain, before a tokenizer has read the text, that it is too short for calibration."""
    most = settings.samples * settings.length
    if most < FEWEST_TOKENS:
        raise JobError(
            f"{settings.samples} samples of {settings.length} tokens are {most} tokens, and {FEWEST_TOKENS} are the "
            "fewest that are of use. Raise Samples (samples) or Length of a sample (length)."
        )
    parts = [part for row in text.rows for part in ([row["text"]] if "text" in row else _turns(row))]
    # A token takes one byte of the text or more; the chat template adds some to each message.
    if sum(len(part.encode("utf-8", "replace")) + _TOKENS_AROUND for part in parts) < FEWEST_TOKENS:
        raise JobError(
            f"The calibration text has {sum(map(len, parts))} characters, and {FEWEST_TOKENS} tokens, which are some "
            f"{4 * FEWEST_TOKENS} characters, are the fewest that are of use. Choose a longer text, or leave "
            "--calibration out: a mixed sample ships."
        )


def _turns(row: Row) -> list[str]:
    return [turn["content"] for turn in row["messages"]]


def is_named_source(source: str) -> bool:
    """Return True for a source that is not a path: a data set of the hub, or a chat."""
    return source in HUB_TEXTS or source.startswith(_CHAT)


def calibration_rows(path: str) -> TextRows:
    """Return the rows of the file or folder at `path`, "" for the shipped calibration sample. Raises JobError."""
    return _read(Path(path) if path else SAMPLES / _CALIBRATION, path or "the calibration sample that ships")


def evaluation_rows(path: str) -> TextRows:
    """Return the rows of the file or folder at `path`, "" for the shipped held-out sample. Raises JobError."""
    return _read(Path(path) if path else SAMPLES / _HELD_OUT, path or "the held-out sample that ships")


def find_text_files(path: Path) -> list[Path]:
    """Return the file at `path`, or those of a folder that are read, in the order of their names. Raises JobError."""
    if not path.exists():
        raise JobError(
            f"There is no text at {path}. Name a {ENDINGS_TEXT} file, a folder of such files, "
            f"{', '.join(HUB_TEXTS)}, or chat: and the title of a chat."
        )
    return sorted(file for file in path.rglob("*") if is_text_file(file)) if path.is_dir() else [path]


def is_text_file(file: Path) -> bool:
    """Return True for a file whose ending is one of ENDINGS."""
    return file.name.lower().endswith(ENDINGS)


def _read(path: Path, source: str) -> TextRows:
    files = find_text_files(path)
    rows: list[Row] = []
    broken: list[str] = []
    size = 0
    for file in files:
        for row in file_rows(file, broken):
            size += len(row["text"]) if "text" in row else sum(map(len, _turns(row)))
            if size > LARGEST:
                raise JobError(f"{path} holds more than {LARGEST >> 20} MB of text. Choose a part of it.")
            rows.append(row)
    if not rows:
        hint = f" {len(broken)} lines are broken, the first: {broken[0]}." if broken else ""
        raise JobError(f"{path} holds no text.{hint} Choose a file with some pages of text like what the model writes.")
    return _text_rows(rows, source, broken)


def _text_rows(rows: list[Row], source: str, broken: list[str]) -> TextRows:
    digest = hashlib.sha256(json.dumps(rows, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace"))
    return TextRows(rows, source, digest.hexdigest(), broken)
