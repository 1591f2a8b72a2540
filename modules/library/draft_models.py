"""Which models in the models folder can be the draft model of another: smaller, with the same vocabulary."""

from __future__ import annotations

import contextlib
import time
from functools import lru_cache
from pathlib import Path

from modules.families.draft_vocabulary import DraftVocabulary, tokenizer_vocabulary
from modules.families.drafts import DraftSettings, find_draft_model
from modules.files.paths import PathError
from modules.library import gguf
from modules.library.detect import detect
from modules.library.json_files import read_object
from modules.library.scan import ModelLibrary
from modules.protocol.errors import ModelError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import ModelFacts
from modules.protocol.model_purpose import generates_text

_TOKENIZER = "tokenizer.json"


def fitting_drafts(library: ModelLibrary, facts: ModelFacts, spec: LoaderSpec, seconds: float) -> list[str]:
    """Return the names that the setting draft_model of `spec` may have for a model, the smallest first.

    Models that cannot be read within `seconds` are left out. What was read is cached, so the next call gets further.
    """
    end = time.monotonic() + seconds
    model, found = Path(facts.path), []
    # Engines that run packed weights read plain ones too, and drafts are often plain.
    readable = {*spec.formats, "safetensors"}
    with contextlib.suppress(ModelError, OSError):
        own = vocabulary(model)
        for name in library.names() if own else []:
            if time.monotonic() > end:
                break
            with contextlib.suppress(ModelError, PathError, OSError):
                other = library.facts(name)
                fits = _is_smaller(other, facts) and other.format in readable and not other.problems
                path = _file(Path(other.path))
                # A file that is alone in its folder has the folder's name in the library.
                named = name if path.is_dir() or name.endswith(path.name) else f"{name}/{path.name}"
                # The loader finds it by this name, and its vocabulary is read last because that takes longest.
                fits = fits and find_draft_model(named, model).samefile(path)
                if fits and _tokens_fit(spec, own, vocabulary(path), facts.vocabulary == other.vocabulary):
                    found.append((other.size_bytes, named))
    return [name for _, name in sorted(found)]


def _tokens_fit(spec: LoaderSpec, own: DraftVocabulary | None, other: DraftVocabulary | None, same_rows: bool) -> bool:
    """Return True if the loader can use a draft model with the vocabulary `other`. `same_rows`: the models have
    embeddings of the same size."""
    if own is None or other is None or not issubclass(spec.settings, DraftSettings):
        return False
    needs = spec.settings
    fits = own.fits(other, needs.most_different, unused_only=needs.unused_only)
    return fits and (same_rows or not needs.same_rows)


def draft_facts(path: str) -> ModelFacts | None:
    """Return the facts of a draft model, a file or a folder, from a cache while it does not change. None if it cannot
    be read: the load says why."""
    with contextlib.suppress(ModelError, OSError):
        state = Path(path).stat()
        return _detected(path, state.st_size, state.st_mtime_ns)
    return None


def vocabulary(path: Path) -> DraftVocabulary | None:
    """Return what is compared of a model's vocabulary, None if it is not known. Raises ModelError and OSError."""
    path = _file(path)
    file = path / _TOKENIZER if path.is_dir() else path
    if not file.is_file():
        return None
    state = file.stat()
    return _vocabulary(file, state.st_size, state.st_mtime_ns)


def _file(path: Path) -> Path:
    """Return the GGUF file of a folder that holds one and no other model, else `path`."""
    files = [] if path.is_file() or (path / "config.json").is_file() else [*path.glob("*.gguf")]
    return files[0] if len(files) == 1 else path


def _is_smaller(other: ModelFacts, facts: ModelFacts) -> bool:
    is_file = other.format == "gguf"
    return generates_text(other.purpose) and other.parameters < facts.parameters and is_file == (facts.format == "gguf")


@lru_cache(maxsize=16)
def _detected(path: str, size: int, changed: int) -> ModelFacts:
    return detect(Path(path), Path(path).name)


@lru_cache(maxsize=256)
def _vocabulary(file: Path, size: int, changed: int) -> DraftVocabulary | None:
    if file.name != _TOKENIZER:
        return gguf.read_vocabulary(file)
    return tokenizer_vocabulary(read_object(file))
