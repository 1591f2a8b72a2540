"""From a chat's messages to what an engine reads: rendered, fitted to the context and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from modules.families.audio_file import audio_format, wrong_format
from modules.families.chat_fitting import fit_chat, remember_counts
from modules.families.message_content import content_text, mark_media, media_parts, media_paths
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
NO_AUDIO = "This model does not hear. Choose a model that does, or leave the sound out."


class ChatPrompts:
    """Makes the prompts of one engine. Thread-safe."""

    def __init__(self, engine: EngineBase, templates: TemplateProcess) -> None:
        self._engine = engine
        self._templates = templates
        self._tokens_of = remember_counts(engine.text_lengths)

    def render(
        self, command: ChatPrompt | Generate, info: ModelInfo, messages: Sequence[Mapping[str, object]]
    ) -> ChatPromptResult:
        """Render the messages as `command` asks. Raises PromptError."""
        if command.template:
            template, source = command.template, "chosen by hand"
        elif info.template:
            template, source = info.template, info.template_source
        else:
            template, source = CHATML, FALLBACK_NAME
        media = _media(info, messages)
        marks = {"image": self._engine.image_mark, "audio": self._engine.audio_mark} if media else {}
        marked = mark_media(messages, marks, template, self._engine.typed_media)

        def render(messages: Sequence[Mapping[str, object]], continue_last: bool) -> str:
            return self._templates.render(
                template,
                messages,
                continue_last=continue_last,
                bos=info.bos,
                eos=info.eos,
                variables=command.variables,
            )

        prompt, opening = render_reasoning_prompt(render, template, marked, command.continue_last)
        return ChatPromptResult(prompt, self._engine.count_tokens(prompt, media), source, opening, media)

    def prepare(self, command: Generate, info: ModelInfo) -> tuple[Generate, Prompted]:
        """Return the request for the engine, with a prompt or with fitted messages, and the event for the host.

        Raises PromptError where the template fails or the chat is too long and may not be cut.
        """
        engine = self._engine
        sent = engine.takes_messages or (engine.media_as_messages and bool(media_paths(command.messages)))
        as_messages = sent and command.template in ("", info.template)
        rendered, left_out = self._fit(command, info, as_messages)
        result = rendered.result
        if command.params.json_schema.strip() and not as_messages:
            # The reply is JSON from its first token on, so it has no reasoning.
            prompt = skip_reasoning(result.prompt, result.opening, command.template or info.template)
            if prompt != result.prompt:
                tokens = self._engine.count_tokens(prompt, result.media)
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
        def render(turns: Sequence[Mapping[str, object]]) -> ChatPromptResult:
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
            count=self._count_texts,
        )

    def _count_texts(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of messages' texts. Another program is not asked for each message: some 4 characters."""
        return [len(text) // 4 for text in texts] if self._engine.takes_messages else self._tokens_of(texts)

    def _count(self, info: ModelInfo, turns: Sequence[Mapping[str, object]]) -> ChatPromptResult:
        """Return the length of a chat that is rendered elsewhere: the tokens of its texts, images and sounds."""
        text = "\n".join(content_text(turn["content"]) for turn in turns)
        return ChatPromptResult(text, self._engine.count_tokens(text, _media(info, turns)), "")


def _media(info: ModelInfo, messages: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the paths of the images and sounds in a chat. Raises PromptError if the model does not take them."""
    for part in media_parts(messages):
        if part["type"] == "image" and not info.sees_images:
            raise PromptError(NO_IMAGES)
        if part["type"] == "audio" and not info.audio_formats:
            raise PromptError(NO_AUDIO)
        if part["type"] == "audio" and (kind := audio_format(part["path"])) not in info.audio_formats:
            raise PromptError(wrong_format(kind, info.audio_formats))
    return media_paths(messages)


def _as_prompt(command: Generate, result: ChatPromptResult) -> Generate:
    return replace(command, prompt=result.prompt + command.reply_prefix, messages=[], media=result.media)


def _as_chat(command: Generate, turns: Sequence[Mapping[str, object]]) -> Generate:
    messages = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    if not command.reply_prefix:
        return replace(command, messages=messages)
    # What a reply is made to begin with is an unfinished reply.
    return replace(
        command, messages=[*messages, {"role": "assistant", "content": command.reply_prefix}], continue_last=True
    )
