"""The page's routes for notebooks: their list, their text, and the tokens of what the model wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel

from modules.files.data_files import fix_surrogates
from modules.protocol.errors import PaddockError
from modules.ui.notebook import Notebook, follow_notebook
from modules.ui.notebook_tokens import ALTERNATIVES, why_no_tokens
from modules.ui.notebooks import Notebooks
from modules.ui.sse import sse_response

if TYPE_CHECKING:
    from modules.app import App

_Text = Annotated[str, AfterValidator(fix_surrogates)]


class NotebookRequest(BaseModel):
    """A page's request about the notebook with this name, "" for the first one. Routes read the fields they need."""

    notebook: _Text = ""
    text: _Text = ""
    author: _Text = ""
    title: _Text = ""
    tokens: bool = False


def add_notebook_routes(routes: APIRouter, app: App) -> None:
    """Add the routes below /paddock/notebook and /paddock/notebooks."""
    notebooks = Notebooks(app)
    _list_routes(routes, notebooks)

    @routes.get("/notebook/events")
    async def events(notebook: str = "") -> StreamingResponse:
        found = await asyncio.to_thread(notebooks.get, notebook)
        return sse_response(follow_notebook(app, found))

    @routes.get("/notebook/tokens")
    def tokens(notebook: str = "") -> dict[str, Any]:
        """Return the tokens of the last generation, or why there are none."""
        found = notebooks.get(notebook)
        shown = found.tokens.shown(found.text()) if found.tokens else {"revision": "", "start": 0, "tokens": []}
        return {**shown, "why_not": why_no_tokens(app)}

    @routes.post("/notebook/next")
    def likeliest(request: NotebookRequest) -> dict[str, Any]:
        """Return the likeliest tokens after a text: [{"text", "probability"}]."""
        found = app.page_model.next_token_probabilities(request.text, ALTERNATIVES)
        return {"top": [{"text": one["text"], "probability": one["probability"]} for one in found]}

    @routes.post("/notebook/count")
    def count(request: NotebookRequest) -> dict[str, Any]:
        ready = app.supervisor.state.phase == "ready"
        return {"tokens": len(app.supervisor.tokenize(request.text, special=True)) if ready else None}

    def generate(notebook: Notebook, request: NotebookRequest) -> None:
        top = ALTERNATIVES if request.tokens else -1
        notebook.generate(request.text, app.sampling.params(), request.author, top)

    verbs: dict[str, Callable[[Notebook, NotebookRequest], None]] = {
        "write": lambda notebook, request: notebook.write(request.text, request.author),
        "generate": generate,
        "stop": lambda notebook, request: notebook.stop(),
        "undo": lambda notebook, request: notebook.undo(),
        "redo": lambda notebook, request: notebook.redo(),
    }

    @routes.post("/notebook/{verb}")
    def act(verb: str, request: NotebookRequest) -> dict[str, Any]:
        if verb not in verbs:
            raise PaddockError(f"The notebook has no action named {verb!r}. The actions are: {', '.join(verbs)}.")
        verbs[verb](notebooks.get(request.notebook), request)
        return {"result": None}


def _list_routes(routes: APIRouter, notebooks: Notebooks) -> None:
    @routes.get("/notebooks")
    def listed() -> dict[str, list[str]]:
        return {"names": notebooks.names()}

    @routes.post("/notebooks/create")
    def create(request: NotebookRequest) -> dict[str, str]:
        return {"name": notebooks.create(request.title)}

    @routes.post("/notebooks/rename")
    def rename(request: NotebookRequest) -> dict[str, str]:
        return {"name": notebooks.rename(request.notebook, request.title)}

    @routes.post("/notebooks/delete")
    def discard(request: NotebookRequest) -> dict[str, str]:
        notebooks.discard(request.notebook)
        return {"name": request.notebook}

    @routes.post("/notebooks/restore")
    def restore(request: NotebookRequest) -> dict[str, str]:
        return {"name": notebooks.restore(request.notebook)}
