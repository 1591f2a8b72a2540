"""modules.chat: prompts and replies of chats. Functions for stored chats are in histories.py."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

from modules.chat.messages import Message
from modules.chat.parts import plain
from modules.chat.prompt import chat_request, fit
from modules.compat.facade.histories import Histories, History, messages_of
from modules.compat.facade.state import State, options_of, system_of
from modules.plugins.pipeline import Pipeline
from modules.plugins.request_model import hook_model
from modules.protocol.events import ChatPromptResult
from modules.protocol.sampling import SamplingParams

_USER, _BOT = "<|user-message|>", "<|bot-message|>"
# The marker that ends a turn, if a template has one: <|im_end|>, </s>, [/INST].
_MARK = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")


class Chat(Histories):
    """Prompts are built by Paddock, with the model's chat template or the state's."""

    jinja_env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)

    @property
    def generate_reply(self) -> Callable[..., Iterator[str]]:
        """Generate as modules.text_generation does."""
        text_generation = self._facade.module("modules.text_generation")
        generate: Callable[..., Iterator[str]] = text_generation.generate_reply
        return generate

    def generate_chat_prompt(self, user_input: str, state: State, **kwargs: Any) -> Any:
        """Return the prompt for a message after a history (`history`, or the state's).

        `_continue`: continue the history's last reply. `impersonate`: continue the user's message. Does not run
        `bot_prefix_modifier`: Paddock runs it once per reply. Raises PromptError.
        """
        history = kwargs.get("history") or state["history"]
        messages = messages_of({"visible": history, "internal": history} if isinstance(history, list) else history)
        goes_on = bool(kwargs.get("_continue") and messages and messages[-1].role == "assistant")
        impersonate = bool(kwargs.get("impersonate"))
        if impersonate or (user_input.strip() and not goes_on):
            messages.append(Message("", None, "user", plain(user_input or " "), 0.0))
        info = hook_model(self._app).loaded()
        context = int(state.get("truncation_length") or info.context)
        longest = int(state.get("max_new_tokens") or 0)
        options = options_of(state, self._app.chat_preferences.options(), info.template)

        def render(turns: Sequence[Mapping[str, Any]]) -> ChatPromptResult:
            return self._render(turns, options.template, state, goes_on or impersonate)

        def count(texts: Sequence[str]) -> list[int]:
            return [len(hook_model(self._app).tokenize(text)) for text in texts]

        request = chat_request(system_of(self._app, state), messages, options, SamplingParams(max_new_tokens=longest))
        fitted = fit(render, request, context, count)
        rows = [turn["content"] for turn in fitted.turns]
        return (fitted.prompt, rows) if kwargs.get("also_return_rows") else fitted.prompt

    def get_stopping_strings(self, state: State) -> list[str]:
        """Return the texts that end a reply: of the state's chat template, and its own `stopping_strings`."""
        between = self._turns(state)[2]
        mark = _MARK.search(between)
        found = mark.group(0) if mark else between.strip().partition("\n")[0]
        own = state.get("stopping_strings")
        return list(dict.fromkeys(([found] if found else []) + (own if isinstance(own, list) else [])))

    def get_turn_substrings(self, state: State, instruct: bool = False) -> dict[str, str]:
        """Return how turns of the user and the model are written, `<|user-message|>` and `<|bot-message|>` standing for
        the texts; `_stripped`: up to the text."""
        user, bot, _ = self._turns(state)
        if not instruct:
            user, bot = f"{state['name1'].strip()}: ", f"{state['name2'].strip()}: "
        whole = {"user_turn": f"{user}{_USER}\n", "bot_turn": f"{bot}{_BOT}\n"}
        return {**whole, "user_turn_stripped": user, "bot_turn_stripped": bot}

    def get_thinking_suppression_string(self, template: Any) -> str:
        """Return the text that a Jinja template adds if thinking is off."""
        given = {"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": True}
        on, off = (str(template.render(**given, enable_thinking=value)) for value in (True, False))
        return off.removeprefix(on) if off.startswith(on) else ""

    def replace_all(self, text: str, replacements: Mapping[str, str]) -> str:
        """Return the text with each key replaced by its value."""
        for old, new in replacements.items():
            text = text.replace(old, new)
        return text

    def generate_chat_reply(
        self,
        text: Any,
        state: State,
        regenerate: bool = False,
        _continue: bool = False,
        loading_message: bool = True,
        for_ui: bool = False,
    ) -> Iterator[History]:
        """Yield the history with the reply so far, repeatedly. All hooks run; nothing is stored."""
        apply = self._facade.module("modules.extensions").apply_extensions
        shared = self._facade.module("modules.shared")
        text = text["text"] if isinstance(text, dict) else text
        output = apply("history", copy.deepcopy(state["history"]))
        state = apply("state", state)
        inner, shown = output["internal"], output["visible"]
        if regenerate or _continue:
            if not inner:
                yield output
                return
            text, visible = inner[-1][0], shown[-1][0]
        else:
            text, visible = apply("chat_input", text, text, state)
            text = apply("input", text, state, is_chat=True)
            inner.append([text, ""])
            shown.append([visible, ""])
        before = inner[-1][1] if _continue else ""
        if loading_message:
            yield {**output, "visible": [*shown[:-1], [visible, before or shared.processing_message]]}
        earlier = output if _continue else {**output, "internal": inner[:-1], "visible": shown[:-1]}
        about = {"_continue": _continue, "history": earlier}
        prompt = apply("custom_generate_chat_prompt", text, state, **about)
        if prompt is None:
            prompt = self.generate_chat_prompt(text, state, **about)
        # text-generation-webui does not show the text that scripts put in front of a reply.
        whole, prefix = ("", "") if _continue else Pipeline(self._app.extensions).bot_prefix(state)
        stops = self.get_stopping_strings(state)
        for reply in self.generate_reply(prompt + whole, state, stops, is_chat=True):
            reply = before + prefix + (reply if whole == prefix else reply.lstrip(" "))
            inner[-1], shown[-1] = [text, reply], [visible, reply]
            if state.get("stream", True):
                yield output
            if shared.stop_everything:
                break
        shown[-1] = [visible, apply("output", inner[-1][1], state, is_chat=True)]
        yield output

    chatbot_wrapper = generate_chat_reply

    def generate_chat_reply_wrapper(
        self, text: object, state: State, regenerate: bool = False, _continue: bool = False
    ) -> Iterator[tuple[str, History]]:
        """Yield (the history as HTML, the history) repeatedly. The last one is stored in the chat of the state, or in a
        new one."""
        history: History = state["history"]
        for history in self.generate_chat_reply(text, state, regenerate, _continue):
            yield self._html(history, state), history
        self.save_history(history, state.get("unique_id") or self._app.chats.create(self._character(state)).id)

    def redraw_html(
        self,
        history: Any = None,
        name1: Any = "",
        name2: Any = "",
        mode: Any = "",
        style: Any = "",
        character: Any = "",
        reset_cache: bool = False,
    ) -> str:
        """Return a history as HTML. Older scripts omit the character, or the history: then it is that of the latest
        chat."""
        if isinstance(history, str):
            name1, name2, mode, style, history = history, name1, name2, mode, None
        if history is None:
            chat = next(iter(self._app.chats.chats()), None)
            history = self.load_history(chat.id if chat else "")
        elif isinstance(history, list):
            history = {"internal": history, "visible": history}
        if isinstance(character, bool):
            character, reset_cache = "", character
        page = self._facade.module("modules.html_generator")
        return str(page.chat_html_wrapper(history, name1, name2, mode, style, character, reset_cache))

    def _html(self, history: History, state: Mapping[str, object]) -> str:
        name1, name2, mode, style, character = (
            str(state.get(key) or "") for key in ("name1", "name2", "mode", "chat_style", "character_menu")
        )
        return self.redraw_html(history, name1, name2, mode, style, character)

    def _turns(self, state: State) -> tuple[str, str, str]:
        """Return what the template writes before the user's text, before the reply, and after it."""
        turns = [{"role": "user", "content": _USER}, {"role": "assistant", "content": _BOT}]
        own = hook_model(self._app).loaded().template
        template = options_of(state, self._app.chat_preferences.options(), own).template
        text = self._render([*turns, {"role": "user", "content": _USER}], template, state, False).prompt
        user, _, rest = text.partition(_USER)
        bot, _, rest = rest.partition(_BOT)
        return user, bot, rest.partition(_USER)[0]

    def _render(
        self, turns: Sequence[Mapping[str, Any]], template: str, state: Mapping[str, Any], goes_on: bool
    ) -> ChatPromptResult:
        names = {"name1": state.get("name1", ""), "name2": state.get("name2", "")}
        names["enable_thinking"] = state.get("enable_thinking", True)
        found: ChatPromptResult = hook_model(self._app).chat_prompt(turns, template, goes_on, names)
        return found
