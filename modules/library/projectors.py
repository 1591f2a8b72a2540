"""Find the projectors for images and sound beside a GGUF model, and whether they fit it, from the headers of both."""

from __future__ import annotations

import re
from pathlib import Path

from modules.files.printable_name import printable_name
from modules.library.facts_builder import FactsBuilder
from modules.library.folder import ModelFolder
from modules.library.gguf import GgufHeader, read_header
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import Projector

# Of several that fit, the most exact one that takes no more than 16 bits a weight.
_PRECISIONS = ("f16", "bf16", "q8_0", "f32")
_PRECISION = re.compile(r"(?<![a-z0-9])(bf16|f16|f32|fp16|fp32|i?q\d(?:_[a-z0-9]+)*)(?![a-z0-9])")
# Kinds of projectors that belong to one family of models: the beginning of their name, and of the architecture's.
_FAMILIES = {"qwen2": "qwen2", "qwen3": "qwen3", "gemma3": "gemma3", "gemma4": "gemma4", "glm4v": "glm4"}


def note_projectors(folder: ModelFolder, model: str, found: FactsBuilder) -> None:
    """Note the projectors in `folder` that may belong to the file `model`, whose facts are in `found`."""
    names = [name for name in folder.projectors if len(folder.ggufs) == 1 or _same_name(name, model)]
    projectors = [_read(folder.path / name, found) for name in names]
    found.projectors = sorted(projectors, key=lambda one: (bool(one.problem), precision_rank(one.name), one.name))
    if fitting := next((one for one in found.projectors if not one.problem), None):
        for kind, is_read in (("vision", fitting.vision), ("audio", fitting.audio)):
            if is_read:
                found.add(kind, True, f"{fitting.name}, whose embedding size fits")
    elif found.projectors:
        found.warnings.append(f"It gets no images and no sound: {found.projectors[0].problem}")


def _read(path: Path, model: FactsBuilder) -> Projector:
    name = printable_name(path.name)
    try:
        header, size = read_header(path), path.stat().st_size
    except (ModelError, OSError) as error:
        return Projector(name, str(path), problem=getattr(error, "message", f"{name} cannot be read ({error})."))
    kinds = ("clip.vision.projector_type", "clip.projector_type", "clip.audio.projector_type")
    kind = next(filter(None, map(header.text, kinds)), "")
    # The first projectors were all for images, and do not say so.
    audio = header.metadata.get("clip.has_audio_encoder") is True
    vision = header.metadata.get("clip.has_vision_encoder", not audio) is True
    return Projector(name, str(path), size, kind, _problem(name, header, kind, model), vision, audio)


def _problem(name: str, header: GgufHeader, kind: str, model: FactsBuilder) -> str:
    """Return why a projector does not fit the model, or ""."""
    if header.text("general.architecture") != "clip":
        return f"{name} is no projector for images or sound. Choose another file, or remove it."
    if header.metadata.get("clip.has_vision_encoder") is False and not header.metadata.get("clip.has_audio_encoder"):
        return f"{name} reads neither images nor sound. Choose another file, or remove it."
    hidden, architecture = model.get("hidden", 0), model.get("architecture", "")
    wide = _widths(header)
    if hidden and wide and hidden not in wide:
        made = max(_stated_widths(header), default=max(wide))
        return (
            f"{name} was made for models with an embedding size of {made}, and this model's is {hidden}. Put the "
            "projector that was made from the same model beside it."
        )
    family = next((theirs for ours, theirs in _FAMILIES.items() if kind.startswith(ours)), "")
    if family and architecture and not architecture.startswith(family):
        return (
            f"{name} is a projector for {family} models ({kind}), and this model is {architecture}. Put the projector "
            "that was made from the same model beside it."
        )
    return ""


def _widths(header: GgufHeader) -> set[int]:
    """Return the sizes that the projector's output may have: of the tensors behind its encoder."""
    outer = [tensor for tensor in header.tensors if not tensor.name.startswith(("v.", "a."))]
    return {side for tensor in outer for side in tensor.shape} | _stated_widths(header)


def _stated_widths(header: GgufHeader) -> set[int]:
    return {header.number(f"clip.{part}.projection_dim") for part in ("vision", "audio")} - {0}


def _same_name(projector: str, model: str) -> bool:
    """Return True if the name of a projector is general, or that of the model: among several models it counts."""
    base = _bare(projector)
    return not base or _bare(model).startswith(base)


def _bare(name: str) -> str:
    """Return a file's name without its ending, "mmproj", its precision, and what separates them."""
    stem = Path(name.lower()).stem.replace("mmproj", "")
    return re.sub(r"[^a-z0-9]+", "", _PRECISION.sub("", stem)).removeprefix("model")


def precision_rank(name: str) -> int:
    """Return the place of a projector among others of the same model, by the precision in its name: 0 is the best."""
    precision = _PRECISION.search(name.lower())
    found = precision[1].replace("fp", "f") if precision else "f16"
    return _PRECISIONS.index(found) if found in _PRECISIONS else len(_PRECISIONS)
