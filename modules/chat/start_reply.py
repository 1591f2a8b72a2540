"""Start a reply: run the hooks of its turn, make the prompt, and hand it to the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from modules.chat.attached_files import AttachedFiles
from modules.chat.characters import Characters
from modules.chat.hook_state import Preamble, preamble_for
from modules.chat.messages import ChatOptions, Message, prompt_text
from modules.chat.parts import with_measures
from modules.chat.parts_reader import PartsReader, reply_markers
from modules.chat.prompt import FittedPrompt, chat_request, continued_text, fit, prompt_facts
from modules.chat.reply import Reply
from modules.chat.reply_request import ReplyRequest, StartedReply
from modules.chat.store import ChatStore
from modules.chat.tool_call_parser import ToolCallParser
from modules.chat.tool_formats import find_tool_format
from modules.chat.tool_turns import split_rounds
from modules.chat.turn_hooks import TurnHooks
from modules.families.reasoning import EFFORT, THINKING_SWITCHES
from modules.families.turn_order import Render
from modules.generation.generation import Generation
from modules.plugins import extension_generations
from modules.plugins.failures import MessageFailed
from modules.plugins.manager import ExtensionManager
from modules.protocol.commands import Generate
from modules.protocol.events import ChatPromptResult
from modules.protocol.sampling import SamplingParams
from modules.runtime.loaded_model import LoadedModel


class ReplyStarter:
    """Starts replies on the loaded model, with the hooks of the extensions that are on."""

    def __init__(
        self,
        store: ChatStore,
        model: LoadedModel,
        characters: Characters,
        extensions: ExtensionManager | None,
        files: AttachedFiles,
    ) -> None:
        self._store = store
        self._files = files
        self._model = model
        self._characters = characters
        self._extensions = extensions

    @property
    def has_hooks(self) -> bool:
        """Return True if extensions take part in replies now."""
        return self._extensions is not None and bool(self._extensions.running)

    def turn(
        self,
        chat_id: str,
        path: Sequence[Message],
        params: SamplingParams,
        options: ChatOptions,
        own: Sequence[Message] = (),
    ) -> TurnHooks | None:
        """Return the hooks of a turn that begins after `path`, or None without extensions.

        `own`: messages of the turn that are in the chat already. Raises MessageFailed.
        """
        if self._extensions is None or not self.has_hooks:
            return None
        preamble, _ = self._preamble(chat_id, options)
        return TurnHooks(self._extensions, chat_id, path, params, options, preamble, self._model.state, own)

    def start(self, chat_id: str, request: ReplyRequest) -> StartedReply:
        """Start the reply. A hook that fails gives a generation that ended with its error.

        Raises PaddockError without a model, or for a prompt that cannot be made.
        """
        state = self._model.state
        context = state.info.context if state.info else 0
        meta: dict[str, Any] = {"model": state.model, "loader": state.loader, "context": context}
        try:
            if request.failed is not None:
                raise request.failed
            turn = request.turn or self._turn_of(chat_id, request)
            if turn is None:
                return self._generate(chat_id, request, meta)
            return self._generate_with_hooks(chat_id, request, turn, context, meta)
        except MessageFailed as error:
            return StartedReply(extension_generations.failed(error), self._reader(request), meta)

    def _turn_of(self, chat_id: str, request: ReplyRequest) -> TurnHooks | None:
        """Return the hooks of the turn that the last question of the request's path began."""
        path = request.path
        questions = (place for place, message in enumerate(path) if message.role == "user")
        last = max(questions, default=max(0, len(path) - 1))
        rewritten = [request.previous] if request.previous is not None and not request.continues else []
        return self.turn(chat_id, path[:last], request.params, request.options, [*path[last:], *rewritten])

    def _generate(self, chat_id: str, request: ReplyRequest, meta: dict[str, Any]) -> StartedReply:
        options = request.options
        preamble, notes = self._preamble(chat_id, options)
        tokens = request.params.max_new_tokens
        path, used = self._files.prepare(preamble.system, request.path, int(meta["context"]), tokens)
        chat = chat_request(
            preamble.system,
            path,
            options,
            _sampling(request.params, options),
            continue_last=request.continues,
            variables=_template_variables(options),
            tools=request.tools,
            template=self._own_template,
        )
        generation = self._model.generate_chat(chat)
        fitted = prompt_facts(generation.prompted)
        _note_prompt(meta, fitted, (*notes, *used))
        return StartedReply(generation, self._reader(request, fitted.opening), meta)

    def _reader(self, request: ReplyRequest, begun: str = "") -> PartsReader:
        """Return what splits the reply into parts. `begun`: the text that a new reply begins with."""
        template = request.options.template or self._own_template
        markers = reply_markers(template)
        schemas = {tool.name: tool.parameters for tool in request.tools}
        calls = partial(ToolCallParser, find_tool_format(template), schemas) if schemas else None
        if request.prefix:
            return PartsReader(markers, split_rounds(request.path[-1].parts)[-1], calls=calls)
        reader = PartsReader(markers, calls=calls)
        reader.feed(begun)
        return reader

    @property
    def _own_template(self) -> str:
        """The loaded model's chat template."""
        info = self._model.state.info
        return info.template if info else ""

    def _generate_with_hooks(
        self, chat_id: str, request: ReplyRequest, turn: TurnHooks, context: int, meta: dict[str, Any]
    ) -> StartedReply:
        _, notes = self._preamble(chat_id, request.options)
        path, prefix = turn.path(request.path), request.prefix
        question = next((prompt_text(message) for message in reversed(path) if message.role == "user"), "")
        whole = turn.prompt(question, request.path, request.continues)
        params = _sampling(turn.params, turn.options)
        if whole is None:
            path, used = self._files.prepare(turn.preamble.system, path, context, params.max_new_tokens)
            notes = (*notes, *used)
        fitted, chat = self._prompt_for_hooks(request, turn, whole, path, params, context)
        params = chat.params if chat else params
        whole_prefix = shown = ""
        if not prefix:
            whole_prefix, shown = turn.pipeline.bot_prefix(turn.state)
        prompt = fitted.prompt + whole_prefix if fitted else ""
        chat = replace(chat, reply_prefix=whole_prefix) if chat else None
        generation = turn.generate(self._model, prompt, question, params, chat)
        fitted = fitted or prompt_facts(generation.prompted)
        _note_prompt(meta, fitted, notes)
        if prefix:
            before = continued_text(request.path[-1])
        else:
            before = prefix = fitted.opening + shown
        _note_hooks(meta, turn)
        hidden = whole_prefix != shown
        on_end = _finish_with_hooks(turn, generation, before, prefix, hidden, list(meta.get("notes", ())))
        return StartedReply(generation, self._reader(request, prefix), meta, on_end)

    def _prompt_for_hooks(
        self,
        request: ReplyRequest,
        turn: TurnHooks,
        whole: str | None,
        path: Sequence[Message],
        params: SamplingParams,
        context: int,
    ) -> tuple[FittedPrompt | None, Generate | None]:
        """Return the prompt, and what the worker makes it from.

        The prompt is None if no hook gets its text. The other is None for `whole`, the prompt that a hook made.
        """
        if whole is not None:
            return FittedPrompt(whole), None
        options, system = turn.options, turn.preamble.system
        chat = chat_request(
            system,
            path,
            options,
            params,
            continue_last=request.continues,
            variables=_template_variables(options),
            tools=request.tools,
            template=self._own_template,
        )
        if not turn.wants_prompt:
            return None, chat
        fitted = fit(self._render(chat, turn), chat, context)
        return fitted, replace(chat, messages=list(fitted.turns), overflow="")

    def _render(self, chat: Generate, turn: TurnHooks) -> Render:
        """Return a renderer that counts tokens as the extensions do."""

        def render(messages: list[dict[str, object]]) -> ChatPromptResult:
            result = self._model.chat_prompt(messages, chat.template, chat.continue_last, chat.variables)
            length = turn.pipeline.length(result.prompt)
            return result if length is None else replace(result, tokens=length)

        return render

    def _preamble(self, chat_id: str, options: ChatOptions) -> tuple[Preamble, tuple[str, ...]]:
        """Return what comes before the first message, and notes about it."""
        return preamble_for(self._characters, options.character or self._store.head(chat_id).character, options)


def _sampling(params: SamplingParams, options: ChatOptions) -> SamplingParams:
    return replace(params, truncate=params.truncate and options.overflow == "cut")


def _template_variables(options: ChatOptions) -> dict[str, object]:
    names: dict[str, Any] = {"name1": options.name1, "name2": options.name2}
    if options.thinking is not None:
        names |= dict.fromkeys(THINKING_SWITCHES, options.thinking)
    if options.effort:
        names[EFFORT] = options.effort
    return names


def _note_prompt(meta: dict[str, object], fitted: FittedPrompt, notes: Sequence[str]) -> None:
    if fitted.left_out:
        meta["left_out"] = fitted.left_out
    if notes or fitted.notes:
        meta["notes"] = [*notes, *fitted.notes]


def _note_hooks(meta: dict[str, Any], turn: TurnHooks) -> None:
    """Add what extensions changed and their notes to a reply's meta, after the notes that are there."""
    of_hooks = turn.meta()
    notes = list(dict.fromkeys([*meta.pop("notes", ()), *of_hooks.pop("notes", ())]))
    meta.update(of_hooks)
    if notes:
        meta["notes"] = notes


def _finish_with_hooks(
    turn: TurnHooks, generation: Generation, before: str, prefix: str, hidden: bool, notes: list[str]
) -> Callable[[Reply], None]:
    """Return the function that runs the hooks on the whole reply and stores the result in it.

    `before`: text before the generation's as prompts hold it; `prefix`: the same as it is shown; `hidden`: the prompt
    ends with text that is not shown; `notes`: those of the prompt.
    """

    def finish(reply: Reply) -> None:
        if generation.error is not None and not generation.text:
            return
        written = before + generation.final_text
        if hidden:
            # Drop the space between the hidden text and the reply.
            written = written.lstrip(" ")
        meta: dict[str, Any] = {"notes": notes}
        try:
            final = turn.final_text(written)
        except MessageFailed as error:
            final = written
            meta |= {"error": error.message, "detail": error.detail, "code": error.code, "lower": []}
        _note_hooks(meta, turn)
        if final != written:
            meta["internal"] = written
        reply.meta = {**reply.meta, **meta}
        if final != prefix + generation.text:
            reply.final = with_measures(reply.reader.split(final), reply.round_parts)

    return finish
