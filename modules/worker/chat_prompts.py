"""From a chat's messages to what an engine reads: rendered, fitted to the context and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from modules.families.chat_fitting import fit_chat
from modules.families.message_content import content_text, image_paths, mark_images
from modules.families.turn_order import RenderedTurns, render_turns
from modules.protocol.commands import ChatPrompt, Generate
from modules.protocol.errors import PromptError
from modules.protocol.events import ChatPromptResult, ModelInfo, Prompted
from modules.protocol.reply_room import reply_room
from modules.worker.chat_template import CHATML, FALLBACK_NAME
from modules.worker.engine import EngineBase
from modules.worker.reasoning_prompt import render_reasoning_prompt, skip_reasoning
from modules.worker.template_process import TemplateProcess

NO_IMAGES = "This model does not see images. Choose a model that does, or leave the images out."


class ChatPrompts:
    """Makes the prompts of one engine. Thread-safe."""

    def __init__(self, engine: EngineBase, templates: TemplateProcess) -> None:
        self._engine = engine
        self._templates = templates

    def render(
        self, command: ChatPrompt | Generate, info: ModelInfo, messages: list[dict[str, Any]]
    ) -> ChatPromptResult:
        """Render the messages as `command` asks. Raises PromptError."""
        if command.template:
            template, source = command.template, "chosen by hand"
        elif info.template:
            template, source = info.template, info.template_source
        else:
            template, source = CHATML, FALLBACK_NAME
        images = _images(info, messages)
        marked = mark_images(messages, self._engine.image_mark if images else "", template, self._engine.typed_images)

        def render(messages: list[dict[str, Any]], continue_last: bool) -> str:
            return self._templates.render(
                template,
                messages,
                continue_last=continue_last,
                bos=info.bos,
                eos=info.eos,
                variables=command.variables,
            )

        prompt, opening = render_reasoning_prompt(render, template, marked, command.continue_last)
        return ChatPromptResult(prompt, self._engine.count_tokens(prompt, images), source, opening, images)

    def prepare(self, command: Generate, info: ModelInfo) -> tuple[Generate, Prompted]:
        """Return the request for the engine, with a prompt or with fitted messages, and the event for the host.

        Raises PromptError where the template fails or the chat is too long and may not be cut.
        """
        engine = self._engine
        sent = engine.takes_messages or (engine.images_as_messages and bool(image_paths(command.messages)))
        as_messages = sent and command.template in ("", info.template)
        rendered, left_out = self._fit(command, info, as_messages)
        result = rendered.result
        if command.params.json_schema.strip() and not as_messages:
            # The reply is JSON from its first token on, so it has no reasoning.
            prompt = skip_reasoning(result.prompt, result.opening, command.template or info.template)
            if prompt != result.prompt:
                tokens = self._engine.count_tokens(prompt, result.images)
                result = replace(result, prompt=prompt, tokens=tokens, opening="")
        request = _as_chat(command, rendered.turns) if as_messages else _as_prompt(command, result)
        tokens = result.tokens
        if command.fill_context and info.context:
            least = reply_room(command.params.max_new_tokens, info.context)
            longest = max(least, info.context - tokens)
            request = replace(request, params=replace(request.params, max_new_tokens=longest))
        opening = "" if as_messages else result.opening
        begun = content_text(command.messages[-1]["content"]) if command.continue_last else opening
        request = replace(request, opening=begun + command.reply_prefix)
        return request, Prompted(command.id, tokens, left_out, list(rendered.notes), opening)

    def _fit(self, command: Generate, info: ModelInfo, as_messages: bool) -> tuple[RenderedTurns, int]:
        def render(turns: list[dict[str, Any]]) -> ChatPromptResult:
            return self._count(info, turns) if as_messages else self.render(command, info, turns)

        if not command.overflow:
            return render_turns(render, command.messages), 0
        return fit_chat(
            render,
            command.messages,
            context=info.context,
            max_new_tokens=command.params.max_new_tokens,
            refuse=command.overflow == "refuse",
            keep_first=command.keep_first,
            left_out=command.left_out,
        )

    def _count(self, info: ModelInfo, turns: Sequence[Mapping[str, object]]) -> ChatPromptResult:
        """Return the length of a chat that is rendered elsewhere: the tokens of its texts and images."""
        text = "\n".join(content_text(turn["content"]) for turn in turns)
        return ChatPromptResult(text, self._engine.count_tokens(text, _images(info, turns)), "")


def _images(info: ModelInfo, messages: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the paths of the images in a chat. Raises PromptError if the model does not see them."""
    images = image_paths(messages)
    if images and not info.sees_images:
        raise PromptError(NO_IMAGES)
    return images


def _as_prompt(command: Generate, result: ChatPromptResult) -> Generate:
    return replace(command, prompt=result.prompt + command.reply_prefix, messages=[], images=result.images)


def _as_chat(command: Generate, turns: Sequence[Mapping[str, object]]) -> Generate:
    messages = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    if not command.reply_prefix:
        return replace(command, messages=messages)
    # What a reply is made to begin with is an unfinished reply.
    return replace(
        command, messages=[*messages, {"role": "assistant", "content": command.reply_prefix}], continue_last=True
    )
