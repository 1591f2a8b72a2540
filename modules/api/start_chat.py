"""Start the one reply of a request in another API's shape, whose body was turned into that of a chat completion."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from modules.api.account_gate import app_of
from modules.api.api_generations import ApiGenerations
from modules.api.body_fields import whole_field
from modules.api.model_turns import ModelTurns
from modules.api.openai_format import OpenAIAnswer
from modules.api.request_record import note_generations
from modules.api.start_generation import start_generation
from modules.app import App
from modules.generation.generation import Generation


async def start_chat(
    app: App, request: Request, turns: ModelTurns, generations: ApiGenerations, body: Mapping[str, object]
) -> tuple[OpenAIAnswer, Generation]:
    """Start the reply with the model that `body` names. Raises PaddockError, or ClientDisconnect."""
    whole_field(body, "n", 1, 1, 1)
    async with turns.use(body, request) as model:
        answer, generation = await run_in_threadpool(
            lambda: start_generation(app_of(app, request), model, body, is_chat=True)
        )
    generations.add(generation)
    note_generations(request, [generation])
    return answer, generation
