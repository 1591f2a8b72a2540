"""What the loader reports about a loaded model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loaders.xllamacpp.spec import Settings
from modules.families.audio_file import MP3, WAV
from modules.protocol.events import ModelInfo
from modules.worker.llama.gguf_keys import GgufKeys
from modules.worker.llama.model_notes import context_notes


def server_notes(settings: Settings, context: int, wanted: int, trained: int) -> list[str]:
    """Return sentences about the context of a chat, in tokens, where `wanted` were asked for."""
    notes = context_notes(settings, context, trained)
    if context < wanted:
        notes.append(
            f"A chat gets {context} tokens, not {wanted}: llama.cpp's server gives no more than the trained "
            "context. The loader llamacpp can exceed it."
        )
    return notes


def describe_model(
    props: Mapping[str, Any], meta: Mapping[str, Any], keys: GgufKeys, device: str, notes: list[str]
) -> ModelInfo:
    """Return the facts of the model for the host. `props`, `meta`: the server's answers to /props and /v1/models."""
    taken = props.get("modalities") or {}
    template = str(keys.values.get("tokenizer.chat_template", ""))
    return ModelInfo(
        context=props["default_generation_settings"]["n_ctx"],
        trained_context=meta["n_ctx_train"],
        slots=props["total_slots"],
        device=device,
        dtype=str(meta["ftype"]).removeprefix("(guessed) "),
        architecture=keys.architecture,
        parameters=meta["n_params"],
        template=template,
        template_source="GGUF metadata" if template else "",
        bos=props["bos_token"],
        eos=props["eos_token"],
        memory_bytes=meta["size"],
        notes=notes,
        sees_images=bool(taken.get("vision")),
        audio_formats=[WAV, MP3] if taken.get("audio") else [],
    )
