"""Settings for drafts: tokens that are guessed cheaply and checked by the model several at once (speculative decoding).

The names are exllamav2's. A draft never changes which text is likely: the model checks each token of it. Standard
library only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from modules.protocol.errors import ModelError, SettingError
from modules.protocol.memory_demand import Demand, DraftDemand
from modules.protocol.schema import DRAFTS, setting


@dataclass(frozen=True)
class DraftSettings:
    """Where drafts come from. Both may be on: the text is asked first, then the draft model.

    `most_different`: how many tokens at the end of the vocabulary the model or its draft model may have alone.
    `unused_only`: only where they are marked as unused. `same_rows`: both need embeddings of the same size, with what
    pads them.
    """

    most_different: ClassVar[int] = 0
    unused_only: ClassVar[bool] = False
    same_rows: ClassVar[bool] = False

    ngram_draft: bool = setting(
        False,
        label="Draft from the text",
        group=DRAFTS,
        help="Guesses that the text goes on as it did where its last words stood before. Faster where replies repeat "
        "the text: code, quotations, tables. Without a draft model, and without more memory.",
    )
    draft_model: str = setting(
        "",
        label="Draft model",
        group=DRAFTS,
        help="A small model with the same tokenizer, by its name beside this one. It writes ahead, and this model "
        "checks several tokens at once. Faster where this model is at least some ten times larger; takes the memory "
        "of both. Empty: none.",
    )
    draft_tokens: int = setting(
        0,
        label="Draft tokens",
        minimum=0,
        maximum=64,
        unit="tokens",
        group=DRAFTS,
        advanced=True,
        help="The most that are guessed at a time. 0 is automatic.",
    )


@dataclass(frozen=True)
class HeadDraftSettings(DraftSettings):
    """Drafts also from heads that some models carry."""

    mtp_draft: bool = setting(
        False,
        label="Draft from the model's own heads",
        group=DRAFTS,
        help="For models that carry heads which predict several tokens (MTP). In place of a draft model.",
    )


def find_draft_model(name: str, model: Path) -> Path:
    """Return the path of a draft model: a full path, or a name beside the model or its folder. Raises ModelError."""
    given = Path(name.strip()).expanduser()
    places = [given] if given.is_absolute() else [model.parent / given, model.parent.parent / given]
    for path in places:
        if path.exists():
            return path
    raise ModelError(
        f"There is no draft model {name.strip()[:200]} beside {model.name}. Copy it there, or correct Draft model "
        "(draft_model)."
    )


def draft_demand(name: str, model: Path, demand: Demand) -> DraftDemand | None:
    """Return the demand of a draft model, None if there is none, or it is not there. `demand`: its own, in which the
    worker's process is left out."""
    try:
        path = find_draft_model(name, model) if name.strip() else None
    except (ModelError, OSError):
        return None
    own = replace(demand, process=0, gpu_process=0, extra_weights=0, draft=None)
    return DraftDemand(str(path), own) if path else None


def draft_bytes(name: str, model: Path) -> int:
    """Return the bytes of the draft model's weights on disk; 0 if there is none, or it is not there."""
    if not name.strip():
        return 0
    try:
        path = find_draft_model(name, model)
        files = [path] if path.is_file() else [*path.glob("*.safetensors"), *path.glob("*.gguf")]
        return sum(file.stat().st_size for file in files)
    except (ModelError, OSError):
        return 0


def other_vocabulary(draft: str, model: str, counts: tuple[int, int]) -> ModelError:
    """Return the error for a draft model with another tokenizer. `counts`: tokens of the draft and of the model."""
    sizes = f" ({counts[0]:,} and {counts[1]:,} tokens)" if counts[0] != counts[1] else ""
    return ModelError(
        f"{draft} cannot be the draft model of {model}: their vocabularies differ{sizes}. Choose a draft model of the "
        "same family, or none."
    )


def no_heads(model: str) -> ModelError:
    """Return the error for a model without heads that predict several tokens."""
    return ModelError(
        f"{model} carries no heads to draft from. Switch off Draft from the model's own heads (mtp_draft)."
    )


def check_one_model(settings: HeadDraftSettings) -> None:
    """Raise SettingError if drafts are to come from a draft model and from heads."""
    if settings.mtp_draft and settings.draft_model.strip():
        raise SettingError(
            "Drafts come from a draft model or from the model's own heads. Empty Draft model (draft_model), or switch "
            "off Draft from the model's own heads (mtp_draft)."
        )
