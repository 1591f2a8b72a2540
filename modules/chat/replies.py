"""Replies from the moment they are asked for until they are stored: one in each chat, any number of chats at once."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from modules.chat.characters import Characters
from modules.chat.database import StorageError
from modules.chat.hook_state import Preamble, preamble_for
from modules.chat.messages import ChatOptions, LiveReply, Message, NotSaved, prompt_text
from modules.chat.prompt import FittedPrompt, fit
from modules.chat.reply_saver import Reply, ReplySaver
from modules.chat.store import ChatStore
from modules.chat.turn_hooks import TurnHooks
from modules.chat.turn_order import Render
from modules.generation.generation import Generation
from modules.plugins import extension_generations as answers
from modules.plugins.failures import MessageFailed
from modules.plugins.manager import ExtensionManager
from modules.protocol.sampling import SamplingParams
from modules.runtime.model_state import ChatPromptResult
from modules.runtime.supervisor import Supervisor

_LOG = logging.getLogger(__name__)
# How long a new reply waits for one that was just stopped: the engine needs a token's time, and the saver a write's.
_STOP_SECONDS = 10.0
_CLOSE_SECONDS = 5.0


class Replies:
    """Begins, follows and ends replies. `tell(chat_id)` is called when one begins or ends; `flush_seconds`: how often
    the text that is arriving is stored. Thread-safe."""

    def __init__(
        self,
        store: ChatStore,
        supervisor: Supervisor,
        characters: Characters,
        tell: Callable[[str], None],
        flush_seconds: float,
        extensions: ExtensionManager | None = None,
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._characters = characters
        self._tell = tell
        self._extensions = extensions
        self._lock = threading.Lock()
        self._claims: dict[str, Reply] = {}
        self._unsaved: dict[str, Reply] = {}
        self._saver = ReplySaver(self._save, flush_seconds, retry=5 * flush_seconds)

    @contextlib.contextmanager
    def claim(self, chat_id: str) -> Iterator[Reply]:
        """The right to change the end of this chat: while the block runs, and until a reply begun in it is over.

        Waits for a reply that is ending; raises NotSaved while one is being written, or does not end.
        """
        self._store.head(chat_id)
        mine = Reply(chat_id)
        while True:
            with self._lock:
                other = self._claims.setdefault(chat_id, mine)
            if other is mine:
                break
            if not (other.stopping or other.done):
                raise NotSaved("A reply is being written in this chat. Stop it, or wait until it ends.")
            if not other.over.wait(_STOP_SECONDS):
                raise NotSaved(
                    "The reply was stopped, but the engine has not ended it yet. Wait a few seconds, then try again."
                )
        try:
            yield mine
        finally:
            if mine.generation is None:
                self._release(mine)

    def _release(self, reply: Reply) -> None:
        with self._lock:
            if self._claims.get(reply.chat_id) is reply:
                del self._claims[reply.chat_id]
        reply.over.set()

    def begin(
        self,
        reply: Reply,
        parent: str | None,
        path: Sequence[Message],
        params: SamplingParams,
        options: ChatOptions,
        before: Message | None = None,
        turn: TurnHooks | None = None,
        failed: MessageFailed | None = None,
    ) -> str:
        """Make the prompt from `path`, start the engine on it and add the reply below `parent`; returns its id.

        `reply` is what `claim` gave; `before`: the reply that goes on where it ends `path`, else the one that is
        written again; `turn`: where extensions have had a say already; `failed`: what they failed with, which the reply
        then tells. Raises PaddockError, and then no reply was added.
        """
        state = self._supervisor.state
        context = state.info.context if state.info else 0
        goes_on = before is not None and bool(path) and path[-1].id == before.id
        prefix = path[-1].text if goes_on else ""
        meta: dict[str, Any] = {"model": state.model, "loader": state.loader, "context": context}
        try:
            if failed is not None:
                raise failed
            own = () if before is None or goes_on else (before,)
            turn = turn or self._turn_of(reply.chat_id, path, params, options, own)
            generation, prefix = self._generate(reply, path, params, options, prefix, turn, context, meta)
        except MessageFailed as error:
            generation = answers.failed(error)
        try:
            # Within the lock: whoever sees the message hears from `living` that it is being written.
            with self._lock:
                message_id = self._store.add(reply.chat_id, parent, "assistant", prefix, meta, living=True)
                reply.message_id, reply.prefix, reply.meta = message_id, prefix, meta
                reply.generation = generation
                stopping = reply.stopping
        except BaseException:
            generation.cancel()
            raise
        self._saver.follow(reply)
        if stopping:
            generation.cancel()
        self._tell(reply.chat_id)
        return message_id

    def _generate(
        self,
        reply: Reply,
        path: Sequence[Message],
        params: SamplingParams,
        options: ChatOptions,
        prefix: str,
        turn: TurnHooks | None,
        context: int,
        meta: dict[str, Any],
    ) -> tuple[Generation, str]:
        """(the reply's generation, what its text begins with); `meta` hears what there is to tell of the prompt."""
        opening, notes = self._opening(reply.chat_id, options)
        shown = path
        path = turn.path(path) if turn else path
        asked = next((prompt_text(message) for message in reversed(path) if message.role == "user"), "")
        whole = turn.prompt(asked, shown, bool(prefix)) if turn else None
        if turn:
            params, options, opening = turn.params, turn.options, turn.opening
        if whole is not None:
            fitted = FittedPrompt(whole)
        else:
            fitted = fit(
                self._render(options, bool(prefix), turn),
                opening.system,
                path,
                options,
                context,
                params.max_new_tokens,
            )
        if fitted.left_out:
            meta["left_out"] = fitted.left_out
        if notes or fitted.notes:
            meta["notes"] = [*notes, *fitted.notes]
        params = replace(params, truncate=params.truncate and options.overflow == "cut")
        if turn is None:
            return self._supervisor.generate(fitted.prompt, params), prefix or fitted.opening
        return self._with_extensions(turn, reply, fitted, asked, params, shown, prefix, meta)

    @property
    def hooked(self) -> bool:
        """Whether extensions take part in replies now."""
        return self._extensions is not None and self._extensions.active

    def turn(
        self, chat_id: str, path: Sequence[Message], params: SamplingParams, options: ChatOptions
    ) -> TurnHooks | None:
        """A turn that begins after `path`, where extensions are on; None costs nothing. Raises MessageFailed."""
        return self._make_turn(chat_id, path, params, options, ())

    def _turn_of(
        self,
        chat_id: str,
        path: Sequence[Message],
        params: SamplingParams,
        options: ChatOptions,
        more: Sequence[Message],
    ) -> TurnHooks | None:
        """The turn that the last question of `path` began. `more`: what it holds that is not in `path`."""
        questions = (place for place, message in enumerate(path) if message.role == "user")
        last = max(questions, default=max(0, len(path) - 1))
        return self._make_turn(chat_id, path[:last], params, options, [*path[last:], *more])

    def _make_turn(
        self,
        chat_id: str,
        path: Sequence[Message],
        params: SamplingParams,
        options: ChatOptions,
        own: Sequence[Message],
    ) -> TurnHooks | None:
        if self._extensions is None or not self.hooked:
            return None
        opening, _ = self._opening(chat_id, options)
        return TurnHooks(self._extensions, chat_id, path, params, options, opening, self._supervisor.state, own)

    def _render(self, options: ChatOptions, is_continue: bool, turn: TurnHooks | None) -> Render:
        names: dict[str, Any] = {"name1": options.name1, "name2": options.name2}
        if turn and (tools := turn.tools()):
            names["tools"] = tools

        def render(messages: list[dict[str, Any]]) -> ChatPromptResult:
            result = self._supervisor.chat_prompt(messages, options.template, is_continue, names)
            length = turn.pipeline.length(result.prompt) if turn else None
            return result if length is None else replace(result, tokens=length)

        return render

    def _with_extensions(
        self,
        turn: TurnHooks,
        reply: Reply,
        fitted: FittedPrompt,
        asked: str,
        params: SamplingParams,
        path: Sequence[Message],
        prefix: str,
        meta: dict[str, Any],
    ) -> tuple[Generation, str]:
        """(the reply's generation, what its text begins with); what happens at its end is left with `reply`. `path`: as
        it is stored."""
        hidden, prompt = False, fitted.prompt
        if prefix:
            before = prompt_text(path[-1])
        else:
            whole, shown = turn.pipeline.bot_prefix(turn.state)
            before = prefix = fitted.opening + shown
            hidden = whole != shown
            prompt += whole
        generation = turn.generate(self._supervisor, prompt, asked, params)
        _tell(meta, turn)
        noted = list(meta.get("notes", ()))

        def after(ended: Reply) -> None:
            if generation.error is not None and not generation.text:
                return
            written = before + generation.final_text
            if hidden:
                # The space between what is hidden and the reply.
                written = written.lstrip(" ")
            told: dict[str, Any] = {"notes": noted}
            try:
                final = turn.final_text(written)
            except MessageFailed as error:
                final = written
                told |= {"error": error.message, "detail": error.detail, "code": error.code, "lower": []}
            _tell(told, turn)
            if final != written:
                told["internal"] = written
            ended.meta = {**ended.meta, **told}
            ended.final = final if final != prefix + generation.text else None

        reply.after = after
        return generation, prefix

    def _opening(self, chat_id: str, options: ChatOptions) -> tuple[Preamble, tuple[str, ...]]:
        """What comes before the first message, and sentences about it."""
        return preamble_for(self._characters, options.character or self._store.head(chat_id).character, options)

    def live_reply(self, chat_id: str) -> LiveReply | None:
        """The reply that is being written, or None."""
        with self._lock:
            reply = self._claims.get(chat_id)
            if reply is None or reply.generation is None:
                return None
            return LiveReply(reply.message_id, reply.generation, reply.prefix)

    def stop(self, chat_id: str) -> None:
        """Stop the reply that is being written, if there is one; its text stays."""
        with self._lock:
            reply = self._claims.get(chat_id)
            if reply is None:
                return
            reply.stopping = True
            generation = reply.generation
        if generation is not None:
            generation.cancel()

    def in_memory(self, chat_id: str) -> dict[str, Reply]:
        """Message id -> reply, where the store does not have all of the text (yet)."""
        with self._lock:
            replies = [*self._unsaved.values(), *self._claims.values()]
        return {reply.message_id: reply for reply in replies if reply.chat_id == chat_id and reply.message_id}

    def overlay(self, chat_id: str, messages: Sequence[Message]) -> list[Message]:
        """These messages, those that are being written with their text so far."""
        in_memory = self.in_memory(chat_id)
        return [
            replace(message, text=reply.text, meta=reply.figures()) if (reply := in_memory.get(message.id)) else message
            for message in messages
        ]

    def close(self) -> None:
        """Stop every reply and store what arrived. Safe to call twice."""
        with self._lock:
            replies = list(self._claims.values())
        for reply in replies:
            self.stop(reply.chat_id)
        deadline = time.monotonic() + _CLOSE_SECONDS
        for reply in replies:
            reply.over.wait(max(0.0, deadline - time.monotonic()))
        self._saver.close()

    def _save(self, reply: Reply, last: bool) -> bool:
        """The saver's call: store the reply. False where that failed: its text then stays in memory, and is shown."""
        done, earlier, reply.problem = reply.done, reply.problem, ""
        meta = reply.figures()
        if last and not done:
            meta["cut_off"] = True
        try:
            self._store.write(reply.message_id, reply.text, meta, living=not last)
        except StorageError as error:
            reply.problem = error.message
        except Exception as error:
            _LOG.exception("Storing a reply failed.")
            reply.problem = (
                f"The reply could not be stored ({type(error).__name__}: {error}). Copy it before you leave."
            )
        with self._lock:
            if reply.problem:
                self._unsaved[reply.message_id] = reply
            else:
                self._unsaved.pop(reply.message_id, None)
        ended = last and not reply.over.is_set()
        if ended:
            self._release(reply)
        if ended or reply.problem != earlier:
            self._tell(reply.chat_id)
        return not reply.problem


def _tell(meta: dict[str, Any], turn: TurnHooks) -> None:
    """Put into a reply's meta what there is to tell of extensions, after what is there."""
    told = turn.meta()
    notes = list(dict.fromkeys([*meta.pop("notes", ()), *told.pop("notes", ())]))
    meta.update(told)
    if notes:
        meta["notes"] = notes
