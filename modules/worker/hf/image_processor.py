"""Loads the processor of a Transformers model that sees images or hears."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from modules.worker.hf.audio_input import hears
from modules.worker.hf.model_files import has_consent, read_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

_FILES = ("preprocessor_config.json", "processor_config.json")
# What a model takes beside text.
IMAGES, SOUND, EITHER = "images", "sound", "images or sound"
_MISSING = {
    IMAGES: "it has no part for images",
    SOUND: "it has no part for sound at 16 kHz",
    EITHER: "it has no part for images, and none for sound at 16 kHz",
}


def load_processor(
    folder: Path, tokenizer: PreTrainedTokenizerBase, takes: str = IMAGES
) -> tuple[ProcessorMixin | None, str]:
    """Return the processor of the model in `folder`, or None with a sentence that says why there is none.

    `tokenizer`: the model's, as it was loaded. `takes`: what the model takes beside text, IMAGES, SOUND or EITHER.
    """
    if takes != SOUND and importlib.util.find_spec("PIL") is None:
        return None, "This loader's environment cannot read images."
    if not folder.is_dir() or not any((folder / name).is_file() for name in _FILES):
        return None, f"Its folder has no preprocessor_config.json, so {takes} cannot be prepared for it."
    try:
        return _load(folder, tokenizer, takes), ""
    except Exception as error:
        return None, f"Its processor for {takes} cannot be loaded ({error})."


def _load(folder: Path, tokenizer: PreTrainedTokenizerBase, takes: str) -> ProcessorMixin:
    from transformers import AutoConfig, AutoImageProcessor, AutoProcessor

    options: dict[str, object] = {
        "local_files_only": True,
        "trust_remote_code": has_consent("PADDOCK_TRUST_REMOTE_CODE"),
    }
    try:
        processor = AutoProcessor.from_pretrained(str(folder), **options)
        if hasattr(processor, "image_processor") or hears(processor):
            return processor
    except (ImportError, ValueError, OSError):
        # A processor that also reads videos wants torchvision for them. Images need only Pillow.
        found = _processor_class(folder, type(AutoConfig.from_pretrained(str(folder), **options)))
        if found is None or "video_processor" not in found.get_attributes():
            raise
    else:
        raise ValueError(_MISSING[takes])
    images = AutoImageProcessor.from_pretrained(str(folder), **options)
    values = _own_values(folder, found)
    return _for_images(found)(image_processor=images, tokenizer=tokenizer, video_processor=None, **values)


def _processor_class(folder: Path, config: type) -> type[ProcessorMixin] | None:
    """Return the class that the folder names, or that belongs to its configuration; None if neither exists."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    for name in _FILES:
        if (folder / name).is_file() and (named := read_json(folder / name).get("processor_class")):
            kind: type[ProcessorMixin] | None = getattr(transformers, str(named), None)
            return kind
    by_config: type[ProcessorMixin] | None = PROCESSOR_MAPPING.get(config)
    return by_config


def _own_values(folder: Path, kind: type[ProcessorMixin]) -> dict[str, object]:
    """Return what processor_config.json says for the processor itself, such as the number of an image's tokens."""
    file = folder / "processor_config.json"
    known = set(inspect.signature(kind.__init__).parameters) - {*kind.get_attributes(), "self", "kwargs"}
    return {name: value for name, value in read_json(file).items() if name in known} if file.is_file() else {}


def _for_images(kind: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """Return a subclass of a processor that needs no part for videos."""
    module = sys.modules[kind.__module__]
    if getattr(module, "num2words", True) is None:
        # SmolVLM's processor asks for this package, with which it counts the pictures of a video.
        vars(module)["num2words"] = str

    class ImagesOnly(kind):  # type: ignore[misc]
        def check_argument_for_proper_class(self, argument_name: str, argument: object) -> object:
            if argument is None and argument_name == "video_processor":
                return None
            return super().check_argument_for_proper_class(argument_name, argument)

    return ImagesOnly
