"""The page's routes about knowledge: what there is, what a chat uses, files that are added, and documents to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Request
from pydantic import AfterValidator, BaseModel

from modules.chat.knowledge.knowledge_state import EMBEDS, FAILED, READS, WAITS, KnowledgeState
from modules.chat.knowledge.model_choice import ModelChoice, describe_choice
from modules.chat.knowledge.vectors import PACKAGE_MODEL
from modules.files.data_files import fix_surrogates
from modules.protocol.model_purpose import READERS
from modules.ui.number_format import plural

if TYPE_CHECKING:
    from modules.app import App

# The number of a row of SQLite.
Row = Annotated[int, Path(ge=0, lt=2**63)]
# How long the list of models waits for their purposes.
_LIST_SECONDS = 0.5
# Characters of a document that the page shows around a passage.
_AROUND = 20_000
_PHASES = {WAITS: "Waiting", READS: "Reading", EMBEDS: "Making vectors", FAILED: "Failed"}


class KnowledgeRequest(BaseModel):
    """A change. `chat`: an id, or "" for new chats. Each route reads the fields that it needs."""

    chat: Annotated[str, AfterValidator(fix_surrogates)] = ""
    name: Annotated[str, AfterValidator(fix_surrogates)] = ""
    folder: Annotated[str, AfterValidator(fix_surrogates)] = ""
    file: Annotated[str, AfterValidator(fix_surrogates)] = ""
    model: Annotated[str, AfterValidator(fix_surrogates)] = ""
    on: bool = False


def add_knowledge_routes(routes: APIRouter, app: App) -> None:
    """Add the routes below /paddock/knowledge."""
    knowledge, chosen = app.knowledge, app.chat_preferences.knowledge
    choice = ModelChoice(knowledge, app.may_manage)

    def shown(chat: str) -> dict[str, Any]:
        used = chosen.names(chat)
        states = knowledge.states()
        names = {state.name for state in states}
        return {
            "items": [_shown(state, state.name in used) for state in states],
            "missing": [name for name in used if name not in names],
            "on": len(used),
            "folders": app.may_manage,
            "model": knowledge.embedder,
            "models": _models(app),
            "installing": choice.install.running,
            "error": choice.install.error,
        }

    @routes.get("/knowledge")
    def listed(chat: str = "") -> dict[str, Any]:
        return shown(chat)

    @routes.get("/knowledge/on")
    def used(chat: str = "") -> dict[str, list[str]]:
        """Return the names that a chat uses, without looking at any document."""
        return {"on": list(chosen.names(chat))}

    @routes.post("/knowledge/create")
    def create(request: KnowledgeRequest) -> dict[str, Any]:
        """Add a knowledge, and let the open chat use it."""
        name = knowledge.create(request.name, request.folder)
        chosen.choose(request.chat, [*chosen.names(request.chat), name])
        return shown(request.chat)

    @routes.post("/knowledge/remove")
    def remove(request: KnowledgeRequest) -> dict[str, Any]:
        knowledge.remove(request.name)
        chosen.choose(request.chat, [name for name in chosen.names(request.chat) if name != request.name])
        return shown(request.chat)

    @routes.post("/knowledge/refresh")
    def refresh(request: KnowledgeRequest) -> dict[str, Any]:
        knowledge.refresh(request.name)
        return shown(request.chat)

    @routes.post("/knowledge/switch")
    def switch(request: KnowledgeRequest) -> dict[str, Any]:
        """Let a chat use one, or not."""
        others = [name for name in chosen.names(request.chat) if name != request.name]
        chosen.choose(request.chat, [*others, request.name] if request.on else others)
        return shown(request.chat)

    @routes.post("/knowledge/model")
    def model(request: KnowledgeRequest) -> dict[str, Any]:
        """Choose the model whose vectors are used."""
        choice.choose(request.model)
        return shown(request.chat)

    @routes.put("/knowledge/files")
    async def add_file(request: Request, knowledge_name: str = "", name: str = "") -> dict[str, str]:
        """Add the file in the body."""
        content = await request.body()
        return {"name": await run_sync(knowledge.add_file, fix_surrogates(knowledge_name), name, content)}

    @routes.get("/knowledge/files")
    def files(name: str = "") -> dict[str, list[str]]:
        return {"files": knowledge.files(name)}

    @routes.post("/knowledge/files/remove")
    def remove_file(request: KnowledgeRequest) -> dict[str, list[str]]:
        knowledge.remove_file(request.name, request.file)
        return {"files": knowledge.files(request.name)}

    @routes.get("/knowledge/documents/{id}")
    def document(id: Row, start: int = 0, stop: int = 0) -> dict[str, Any]:
        """Return a document's text in three pieces: before a passage, the passage, and after it."""
        path, text = knowledge.document(id)
        start, stop = max(0, start), max(0, start, stop)
        first, last = max(0, start - _AROUND), min(len(text), stop + _AROUND)
        whole = first == 0 and last == len(text)
        return {
            "name": path,
            "before": text[first:start],
            "passage": text[start:stop],
            "after": text[stop:last],
            "note": "" if whole else "Only the part around the passage is shown.",
        }


def _models(app: App) -> list[dict[str, str]]:
    """Return the models that can be chosen, with the names to show."""
    known = app.library.purposes(app.library.names(), _LIST_SECONDS)
    found = [name for name, purpose in known.items() if purpose in READERS and purpose != "rerank"]
    installed = app.knowledge.vectors.installed
    names = dict.fromkeys(["", PACKAGE_MODEL, *sorted(found), app.knowledge.embedder])
    return [{"value": name, "label": describe_choice(name, installed)} for name in names]


def _shown(state: KnowledgeState, used: bool) -> dict[str, Any]:
    phase = _PHASES.get(state.phase, "")
    if state.total and state.phase in (READS, EMBEDS):
        phase = f"{phase}: {state.done:,} of {state.total:,}"
    facts = [plural(state.documents, "document"), plural(state.passages, "passage")]
    if state.vectors:
        facts.append(plural(state.vectors, "vector"))
    return {
        "name": state.name,
        "folder": "" if state.own else state.folder,
        "own": state.own,
        "on": used,
        "busy": state.busy,
        "phase": phase,
        "facts": " · ".join(facts),
        "notes": list(state.notes),
        "problems": [sentence for _, sentence in state.problems],
    }
