"""Find out what kind of server it is, which of its models to use, and its facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from loaders.remote.dialects import DIALECTS
from loaders.remote.http_client import HttpClient
from loaders.remote.openai_dialect import ModelDescription, OpenAi
from loaders.remote.server_errors import ServerError
from modules.protocol.errors import ModelError


def probe_server(remote: HttpClient) -> tuple[OpenAi, ModelDescription, dict[str, Any]]:
    """Return (dialect, description of the model, the server's list entry). Raises ServerError, ModelError."""
    entries = _entries(remote)
    kind = remote.file.server
    kind = _kind(remote, entries) if kind == "auto" else kind
    model, entry, notes = _model(remote, entries, kind)
    dialect = DIALECTS[kind](remote, model)
    try:
        about = dialect.about(entry)
        if dialect.counts:
            dialect.tokenize("a", False)
    except (ServerError, KeyError, TypeError, ValueError, AttributeError):
        # It lacks features of its kind (switched off, or behind a proxy), so use only the common ones.
        notes.append(f"The server does not offer all features of {dialect.title}, so only the common ones are used.")
        dialect = OpenAi(remote, model)
        about = dialect.about(entry)
    return dialect, dataclasses.replace(about, notes=notes), entry


def _entries(remote: HttpClient) -> list[dict[str, Any]]:
    """Return the models that the server lists; [] if it has no list."""
    try:
        answer = remote.get(f"{remote.file.api}/models")
    except ServerError as failure:
        if failure.status in (404, 405, 501) and remote.file.model:
            return []
        raise
    found = answer.get("data") if isinstance(answer, dict) else answer
    if not isinstance(found, list):
        raise ModelError(
            f"{remote.file.api} answers, but not as an OpenAI-compatible API does. Check the address: it mostly ends "
            "in the port, or in /v1."
        )
    return [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def _kind(remote: HttpClient, entries: Sequence[Mapping[str, object]]) -> str:
    owners = {str(entry.get("owned_by", "")).lower() for entry in entries}
    if "vllm" in owners:
        return "vllm"
    if owners & {"llamacpp", "llama.cpp"}:
        return "llama.cpp"
    if owners == {"local"} and all("loaded" in entry for entry in entries):
        return "paddock"
    try:
        info = remote.get(f"{remote.file.root}/info")
    except (ServerError, ModelError):
        return "openai"
    return "tgi" if isinstance(info, dict) and "max_total_tokens" in info else "openai"


def _model(remote: HttpClient, entries: list[dict[str, Any]], kind: str) -> tuple[str, dict[str, Any], list[str]]:
    """Return (name, list entry, notes about the choice)."""
    wanted, names = remote.file.model, [str(entry["id"]) for entry in entries]
    by_name = dict(zip(names, entries, strict=True))
    there = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    if kind == "paddock":
        return _loaded(remote, by_name, wanted, there)
    if wanted and (wanted in by_name or not names):
        return wanted, by_name.get(wanted, {}), []
    if wanted and kind == "openai":
        return wanted, {}, [f"The server does not list a model named {wanted}; it is asked for all the same."]
    if wanted:
        raise ModelError(f"{remote.file.address} has no model named {wanted}. Its models are: {there}.")
    if len(names) == 1:
        return names[0], entries[0], []
    if not names:
        raise ModelError(f"{remote.file.address} has no model loaded. Load one there, then try again.")
    raise ModelError(f"{remote.file.address} has several models. Name one in the file (model: …): {there}.")


def _loaded(
    remote: HttpClient, by_name: dict[str, dict[str, Any]], wanted: str, there: str
) -> tuple[str, dict[str, Any], list[str]]:
    """Check the model of another Paddock, which always answers with the model that is loaded there."""
    if wanted and wanted not in by_name:
        raise ModelError(f"{remote.file.address} has no model named {wanted}. Its models are: {there}.")
    loaded = next((name for name, entry in by_name.items() if entry.get("loaded")), "")
    if not loaded:
        raise ModelError(f"The Paddock at {remote.file.address} has no model loaded. Load one there, then try again.")
    if wanted and wanted != loaded:
        raise ModelError(
            f"The Paddock at {remote.file.address} has {loaded} loaded, not {wanted}. Load that there, or leave model "
            "out of the file."
        )
    return loaded, by_name[loaded], []
