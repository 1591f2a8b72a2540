"""The page's routes for the library of prompts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import BaseModel

if TYPE_CHECKING:
    from modules.app import App


class PromptRequest(BaseModel):
    """A prompt of the library."""

    name: str = ""
    text: str = ""


def add_prompt_routes(routes: APIRouter, app: App) -> None:
    """Add the routes /paddock/prompts."""
    library = app.prompts

    @routes.get("/prompts")
    def listed() -> list[dict[str, Any]]:
        return [asdict(prompt) for prompt in library.all()]

    @routes.post("/prompts")
    def save(request: PromptRequest) -> dict[str, Any]:
        return asdict(library.save(request.name, request.text))

    @routes.post("/prompts/delete")
    def delete(request: PromptRequest) -> dict[str, Any]:
        library.delete(request.name)
        return {}
