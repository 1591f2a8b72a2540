"""What a training learns from: files and folders, data sets of the hub, and past chats, as examples."""

from __future__ import annotations

from pathlib import Path

from modules.families.training_data import Example, TrainingData, to_example
from modules.jobs.job_spec import JobError
from modules.jobs.text_files import ENDINGS_TEXT, file_values
from modules.jobs.texts import OnStep, TextSources, find_text_files, is_named_source, is_text_file

# Bytes of one file that are read.
_LARGEST = 1 << 30


def read_training_texts(source: str, texts: TextSources, report: OnStep = lambda step: None) -> TrainingData:
    """Return the examples of a source, as TextSources has it; a file may also hold pairs. Rows that are none are named.

    A data set of the hub is downloaded where it must be, and is raw text. Raises PaddockError where nothing in the
    source can be trained on.
    """
    data = _of_texts(source, texts, report) if is_named_source(source) else _of_files(Path(source))
    if not data.examples:
        said = f" {data.notes()[0]}" if data.broken else ""
        name = source if is_named_source(source) else Path(source).name
        raise JobError(
            f"{name} has no example to train on.{said} A line is a JSON object with messages, "
            "conversations, instruction and output, prompt and completion, or text."
        )
    return data


def _of_texts(source: str, texts: TextSources, report: OnStep) -> TrainingData:
    found = texts.calibration(source, report)
    data = TrainingData(broken=list(found.broken))
    for row in found.rows:
        _add(data, row, found.source)
    return data


def _of_files(path: Path) -> TrainingData:
    data = TrainingData()
    for file in find_text_files(path):
        if not is_text_file(file):
            raise JobError(f"{file.name} is not a kind of file that is read. Choose a {ENDINGS_TEXT} file.")
        for place, value in file_values(file, data.broken, _LARGEST):
            _add(data, value, place)
    return data


def _add(data: TrainingData, value: object, place: str) -> None:
    found = to_example(value)
    if isinstance(found, Example):
        data.examples.append(found)
    else:
        data.broken.append(f"{place}: {found}")
