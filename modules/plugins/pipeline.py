"""The hooks of one turn of a chat, each as a function from value to value, with a receipt of who changed what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from modules.plugins.extension_services import tools
from modules.plugins.hook_calls import Change, HookedExtension, OnChange
from modules.plugins.manager import ExtensionManager

_LONGEST = 4000


class Pipeline:
    """One turn. `changes`: what was changed so far, where receipts are kept; `notes`: sentences about extensions that
    failed in this turn and are off now. Every method that runs a hook raises MessageFailed where something outside of
    an extension failed."""

    def __init__(self, manager: ExtensionManager) -> None:
        self._hooks = manager.hooks
        self._manager = manager
        self._fault_mark = len(manager.fault_log)
        self._keep = manager.saved.receipts
        self.changes: list[Change] = []

    @property
    def notes(self) -> list[str]:
        """Sentences about what failed since the turn began."""
        return list(self._manager.fault_log[self._fault_mark :])

    @property
    def receipt(self) -> list[dict[str, str]]:
        """The changes as a value for JSON."""
        return [asdict(change) for change in self.changes]

    def has(self, *hooks: str) -> bool:
        """Whether any running extension has one of these hooks."""
        return self._hooks.has(*hooks)

    def history(self, history: dict[str, Any]) -> dict[str, Any]:
        """After `history_modifier`."""
        return self._dictionary("history_modifier", "history", history)

    def state(self, state: dict[str, Any]) -> dict[str, Any]:
        """After `state_modifier`."""
        return self._dictionary("state_modifier", "state", state)

    def modify_message(self, text: str, state: dict[str, Any]) -> tuple[str, str]:
        """A message that was typed: (what the page shows, what the prompt holds)."""
        inner, visible = self.chat_input(text, text, state)
        return visible, self.text("input_modifier", inner, state)

    def chat_input(self, text: str, visible: str, state: dict[str, Any]) -> tuple[str, str]:
        """After `chat_input_modifier`: (what goes on to the prompt, what the page shows)."""
        if not self.has("chat_input_modifier"):
            return text, visible

        def accept(given: dict[str, Any], result: Any) -> None:
            if result is not None:
                both = isinstance(result, (tuple, list)) and len(result) == 2
                if not both or not all(isinstance(part, str) for part in result):
                    raise TypeError(f"it returned {_kind(result)}, where a pair of texts is expected")
                given["text"], given["visible_text"] = result

        given: dict[str, Any] = {"text": text, "visible_text": visible, "state": state}
        given = self._hooks.run("chat_input_modifier", given, accept, self._recorder("text", text))
        return given["text"], given["visible_text"]

    def text(self, hook: str, text: str, state: dict[str, Any], is_chat: bool = True) -> str:
        """After a hook that turns a text into a text."""
        if not self.has(hook):
            return text
        given = {"string": text, "state": state, "is_chat": is_chat}
        return str(self._hooks.run(hook, given, _accept_text, self._recorder("string", text))["string"])

    def prompt(self, user_input: str, state: dict[str, Any], history: dict[str, Any], is_continue: bool) -> str | None:
        """The whole prompt from `custom_generate_chat_prompt`, or None."""
        hook = "custom_generate_chat_prompt"
        given = {"user_input": user_input, "state": state, "history": history, "is_continue": is_continue}
        found: str | None = self._first(hook, given, str)
        return found

    def bot_prefix(self, state: dict[str, Any]) -> tuple[str, str]:
        """(the beginning that the reply is given, the part of it that the page shows)."""
        hook, shown, before = "bot_prefix_modifier", "", ""
        if not self.has(hook):
            return "", ""
        record = self._recorder("string", "")

        def step(member: HookedExtension, hook: str, given: dict[str, Any]) -> None:
            nonlocal shown, before
            text = given["string"]
            if member.shows_prefix:
                shown = shown + text[len(before) :] if text.startswith(before) else text
            before = text
            if record:
                record(member, hook, given)

        given = {"string": "", "state": state, "is_chat": True}
        return str(self._hooks.run(hook, given, _accept_text, step)["string"]), shown

    def length(self, prompt: str) -> int | None:
        """The prompt's length from `custom_tokenized_length`, or None."""
        found: int | None = self._first("custom_tokenized_length", {"prompt": prompt}, int)
        return found

    def reply(
        self, question: str, asked: str, state: dict[str, Any], stops: list[str], is_chat: bool = True
    ) -> tuple[HookedExtension, Any] | None:
        """(who answers in place of the model, its answer: a text or an iterator of the reply so far), or None."""
        hook = "custom_generate_reply"
        if not self.has(hook):
            return None
        given: dict[str, Any] = {"question": question, "original_question": asked, "state": state}
        given |= {"stopping_strings": stops, "is_chat": is_chat}
        for member in self._hooks.members(hook):
            worked, answer = self._hooks.call(member, hook, **given)
            if worked and answer is not None:
                if isinstance(answer, (str, Iterator)):
                    return member, answer
                self._manager.fail(member, hook, TypeError(f"it returned {_kind(answer)}, where text is expected"))
        return None

    def failure(self, member: HookedExtension) -> str:
        """The sentence about this extension's failure; "" if it did not fail."""
        fault = self._manager.fault(member.name)
        return fault.message if fault else ""

    def next_text(self, member: HookedExtension, answer: Iterator[str]) -> str | None:
        """The next text of an answer that `reply` gave; None at its end, or where it failed."""

        def following() -> str | None:
            text = next(answer, None)
            if text is not None and not isinstance(text, str):
                raise TypeError(f"it yielded {_kind(text)}, where text is expected")
            return text

        text: str | None = self._hooks.call(member, "custom_generate_reply", run=following)[1]
        return text

    def stream(
        self, member: HookedExtension, text: str, shown: str, final: bool, state: dict[str, Any]
    ) -> tuple[str, str]:
        """(what one extension lets through of arriving text, what it keeps back)."""
        given: dict[str, Any] = {"text": text, "shown": shown, "final": final, "state": state}
        worked, result = self._hooks.call(member, "stream_modifier", **given)
        if not worked or result is None:
            return text, ""
        if isinstance(result, str):
            return result, ""
        if isinstance(result, tuple) and len(result) == 2 and all(isinstance(part, str) for part in result):
            return result[0], result[1]
        self._manager.fail(member, "stream_modifier", TypeError(f"it returned {_kind(result)}, where text is expected"))
        return text, ""

    def tools(self) -> list[dict[str, Any]]:
        """What the model is told of the tools, in the shape that chat templates expect."""
        if not self.has("tools"):
            return []
        keys = ("name", "description", "parameters")
        found = tools(self._manager)
        return [{"type": "function", "function": {key: tool[key] for key in keys}} for tool in found]

    def stream_modifiers(self) -> list[HookedExtension]:
        """Those that want to see text as it arrives."""
        return self._hooks.members("stream_modifier")

    def _dictionary(self, hook: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
        if not self.has(hook):
            return value

        def accept(given: dict[str, Any], result: Any) -> None:
            if result is None:
                return
            if not isinstance(result, dict):
                raise TypeError(f"it returned {_kind(result)}, where a dictionary is expected")
            given[name] = result

        changed: dict[str, Any] = self._hooks.run(hook, {name: value}, accept, self._recorder(name, value))[name]
        return changed

    def _first(self, hook: str, given: dict[str, Any], kind: type) -> Any:
        if not self.has(hook):
            return None
        found: list[Any] = []

        def accept(given: dict[str, Any], result: Any) -> bool:
            if result is None:
                return False
            if not isinstance(result, kind):
                raise TypeError(f"it returned {_kind(result)}, where {kind.__name__} is expected")
            found.append(result)
            return True

        self._hooks.run(hook, given, accept)
        return found[0] if found else None

    def _recorder(self, name: str, value: Any) -> OnChange | None:
        if not self._keep:
            return None
        seen = _parts(value)

        def record(member: HookedExtension, hook: str, given: dict[str, Any]) -> None:
            nonlocal seen
            now = _parts(given[name])
            # What was not there before means nothing to Paddock: scripts' states hold more than ours.
            changed = [part for part, text in seen.items() if now.get(part) != text]
            if changed:
                self.changes.append(Change(member.name, hook, _told(seen, changed), _told(now, changed)))
                seen = now

        return record


def _accept_text(given: dict[str, Any], result: Any) -> None:
    if result is None:
        return
    if not isinstance(result, str):
        raise TypeError(f"it returned {_kind(result)}, where a text is expected")
    given["string"] = result


def _parts(value: Any) -> dict[str, str]:
    """A value as a receipt shows it: entry by entry, where it is a dictionary."""
    return {str(key): _shown(one) for key, one in value.items()} if isinstance(value, dict) else {"": _shown(value)}


def _told(parts: dict[str, str], wanted: list[str]) -> str:
    return "\n".join(f"{part}: {parts[part]}" if part else parts[part] for part in wanted if part in parts)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _kind(value: Any) -> str:
    return type(value).__name__
