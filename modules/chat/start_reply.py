"""Start a reply: run the hooks of its turn, make the prompt, and hand it to the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from modules.chat.attached_files import AttachedFiles
from modules.chat.characters import Characters
from modules.chat.hook_results import finish_with_hooks, note_hooks
from modules.chat.hook_state import Preamble, preamble_for
from modules.chat.knowledge.knowledge import Knowledge
from modules.chat.knowledge_prompt import PromptDocuments
from modules.chat.messages import ChatOptions, Message, prompt_text
from modules.chat.parts import plain
from modules.chat.parts_reader import PartsReader, reply_markers
from modules.chat.prompt import (
    FittedPrompt,
    chat_request,
    continued_text,
    cut_facts,
    fit,
    note_prompt,
    prompt_facts,
    sampling_of,
    template_variables,
)
from modules.chat.reply_request import ReplyRequest, StartedReply
from modules.chat.roleplay.lorebooks import Lorebooks
from modules.chat.roleplay.named_reader import NamedReader
from modules.chat.roleplay.scene import Scene
from modules.chat.roleplay.scene_composer import SceneComposer, SceneRequest
from modules.chat.store import ChatStore
from modules.chat.summaries import ChatSummaries, with_summary
from modules.chat.tool_call_parser import ToolCallParser
from modules.chat.tool_formats import call_format
from modules.chat.tool_turns import split_rounds
from modules.chat.turn_hooks import TurnHooks
from modules.families.chat_fitting import CountTokens, remember_counts
from modules.families.turn_order import Render
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
        summaries: ChatSummaries,
        knowledge: Knowledge | None = None,
        lorebooks: Lorebooks | None = None,
    ) -> None:
        self._store = store
        self._summaries = summaries
        self._documents = PromptDocuments(files, knowledge)
        self._model = model
        self._characters = characters
        self._extensions = extensions
        self._counter = lru_cache(2)(self._count_for)
        self._scenes = SceneComposer(characters, lorebooks, files.tokens)

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
            turn = None if request.impersonates else request.turn or self._turn_of(chat_id, request)
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
        chat, covered, notes, scene = self._request(chat_id, request, meta)
        meta |= scene.meta
        generation = self._model.generate_chat(chat)
        fitted = prompt_facts(generation.prompted)
        note_prompt(meta, fitted, request.path, notes, covered)
        return StartedReply(generation, self._reader(request, fitted.opening, scene), meta)

    def _request(
        self, chat_id: str, request: ReplyRequest, meta: dict[str, Any]
    ) -> tuple[Generate, int, list[str], Scene]:
        """Return (the command, messages that a summary stands for in it, notes, the scene). `meta` has the context."""
        options = request.options
        preamble, notes = self._preamble(chat_id, options)
        scene = self._scene(chat_id, request, int(meta["context"]))
        params = scene.stopping(request.params)
        system, covered = self._with_summary(chat_id, scene.around(preamble).system, request.path)
        path, used = self._documents.prepare(system, request.path[covered:], options, meta, params)
        chat = chat_request(
            system,
            scene.place(path, request.continues),
            options,
            sampling_of(params, options),
            continue_last=request.continues,
            variables=template_variables(options),
            tools=request.tools,
            must_call=request.must_call,
            template=self._own_template,
        )
        return chat, covered, [*notes, *scene.notes, *used], scene

    def _with_summary(self, chat_id: str, system: str, path: Sequence[Message]) -> tuple[str, int]:
        """Return the system message with the summary of the path's oldest messages, and how many it stands for."""
        summary = self._summaries.find(chat_id, path)
        return with_summary(system, summary), summary.upto if summary else 0

    def left_out_next(self, chat_id: str, request: ReplyRequest, path: Sequence[Message]) -> list[Message]:
        """Return the messages of `path` that a prompt will leave out which continues it with another question.

        Raises PaddockError.
        """
        question = Message("", None, "user", plain("?"), 0.0)
        next_one = replace(request, path=[*path, question], previous=None)
        context = self._model.loaded().context
        chat, covered, *_ = self._request(chat_id, next_one, {"context": context})
        fitted = fit(self._render(chat), chat, context, self._counter(self._model.state.model))
        place = cut_facts(next_one.path, fitted.left_out, covered).get("left_out", 0)
        return list(path[:place]) if place > covered else []

    def _scene(self, chat_id: str, request: ReplyRequest, context: int) -> Scene:
        options = request.options
        character = options.character or self._store.head(chat_id).character
        asked = SceneRequest(
            chat_id, request.path, options, character, context, request.impersonates, triggers=request.kinds
        )
        return self._scenes.compose(asked)

    def _reader(self, request: ReplyRequest, begun: str = "", scene: Scene | None = None) -> PartsReader:
        """Return what splits the reply into parts. `begun`: the text that a new reply begins with."""
        template = request.options.template or self._own_template
        markers = reply_markers(template)
        schemas = {tool.name: tool.parameters for tool in request.tools}
        calls = partial(ToolCallParser, call_format(template), schemas) if schemas else None
        if request.prefix:
            return PartsReader(markers, split_rounds(request.path[-1].parts)[-1], calls=calls)
        reader = NamedReader(markers, names=scene.starts if scene else (), calls=calls)
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
        preamble, notes = self._preamble(chat_id, request.options)
        scene = self._scene(chat_id, request, context)
        notes = (*notes, *scene.notes)
        meta |= scene.meta
        path, prefix = turn.path(request.path), request.prefix
        question = next((prompt_text(message) for message in reversed(path) if message.role == "user"), "")
        whole = turn.prompt(question, request.path, request.continues)
        # After the hook, which may change the state. A group's hooks ran before it was known who speaks.
        system = scene.around(preamble if request.options.group else turn.preamble).system
        params = scene.stopping(sampling_of(turn.params, turn.options))
        system, covered = self._with_summary(chat_id, system, path)
        if whole is None:
            path, used = self._documents.prepare(system, path[covered:], turn.options, meta, params)
            path, notes = scene.place(path, request.continues), (*notes, *used)
        fitted, chat = self._prompt_for_hooks(request, turn, whole, system, path, params, context)
        params = chat.params if chat else params
        whole_prefix, shown = ("", "") if prefix else turn.pipeline.bot_prefix(turn.state)
        prompt = fitted.prompt + whole_prefix if fitted else ""
        chat = replace(chat, reply_prefix=whole_prefix) if chat else None
        generation = turn.generate(self._model, prompt, question, params, chat)
        fitted = fitted or prompt_facts(generation.prompted)
        note_prompt(meta, fitted, request.path, notes, 0 if whole else covered)
        if prefix:
            before = continued_text(request.path[-1])
        else:
            before = prefix = fitted.opening + shown
        note_hooks(meta, turn)
        hidden = whole_prefix != shown
        on_end = finish_with_hooks(turn, generation, before, prefix, hidden, list(meta.get("notes", ())))
        return StartedReply(generation, self._reader(request, prefix, scene), meta, on_end)

    def _prompt_for_hooks(
        self,
        request: ReplyRequest,
        turn: TurnHooks,
        whole: str | None,
        system: str,
        path: Sequence[Message],
        params: SamplingParams,
        context: int,
    ) -> tuple[FittedPrompt | None, Generate | None]:
        """Return the prompt, and what the worker makes it from.

        The prompt is None if no hook gets its text. The other is None for `whole`, the prompt that a hook made.
        """
        if whole is not None:
            return FittedPrompt(whole), None
        options = turn.options
        chat = chat_request(
            system,
            path,
            options,
            params,
            continue_last=request.continues,
            variables=template_variables(options),
            tools=request.tools,
            must_call=request.must_call,
            template=self._own_template,
        )
        if not turn.wants_prompt:
            return None, chat
        fitted = fit(self._render(chat, turn), chat, context, self._counter(self._model.state.model))
        return fitted, replace(chat, messages=list(fitted.turns), overflow="")

    def _render(self, chat: Generate, turn: TurnHooks | None = None) -> Render:
        """Return a renderer that counts tokens as the extensions of the turn do."""

        def render(messages: Sequence[Mapping[str, object]]) -> ChatPromptResult:
            result = self._model.chat_prompt(messages, chat.template, chat.continue_last, chat.variables)
            length = turn.pipeline.length(result.prompt) if turn else None
            return result if length is None else replace(result, tokens=length)

        return render

    def _count_for(self, model: str) -> CountTokens:
        """Return what counts the tokens of messages for the loaded model, whose name is `model`."""
        return remember_counts(lambda texts: [len(self._model.tokenize(text)) for text in texts])

    def _preamble(self, chat_id: str, options: ChatOptions) -> tuple[Preamble, tuple[str, ...]]:
        """Return what comes before the first message, and notes about it."""
        character = options.character or self._store.head(chat_id).character
        return preamble_for(self._characters, character, options, chat_id)
