"""The hooks of one turn of a chat, each as a function from value to value. Records which extension changed what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modules.plugins.hook_calls import HookedExtension
from modules.plugins.manager import ExtensionManager
from modules.plugins.receipt import Receipt


class Pipeline:
    """Runs the hooks of one turn. Every method that runs a hook raises MessageFailed if something outside of an
    extension failed. `receipt`: what each hook changed, if the user wants that recorded."""

    def __init__(self, manager: ExtensionManager) -> None:
        self._hooks = manager.hooks
        self._manager = manager
        self._first_message = len(manager.failures.messages)
        self.receipt = Receipt(manager.saved.receipts)

    @property
    def notes(self) -> list[str]:
        """Sentences about extensions that failed and were switched off since the turn began."""
        return list(self._manager.failures.messages[self._first_message :])

    def has(self, *hooks: str) -> bool:
        """Return True if any running extension has one of these hooks."""
        return self._hooks.has(*hooks)

    def history(self, history: Mapping[str, object]) -> Mapping[str, object]:
        """Return the history after `history_modifier`."""
        return self._dictionary("history_modifier", "history", history)

    def state(self, state: Mapping[str, object]) -> Mapping[str, object]:
        """Return the state after `state_modifier`."""
        return self._dictionary("state_modifier", "state", state)

    def modify_message(self, text: str, state: Mapping[str, object]) -> tuple[str, str]:
        """Return a typed message after its hooks: (text shown on the page, text for the prompt)."""
        inner, visible = self.chat_input(text, text, state)
        return visible, self.text("input_modifier", inner, state)

    def chat_input(self, text: str, visible: str, state: Mapping[str, object]) -> tuple[str, str]:
        """Return a message after `chat_input_modifier`: (text for the prompt, text shown on the page)."""
        if not self.has("chat_input_modifier"):
            return text, visible

        def accept(arguments: dict[str, Any], result: Any) -> None:
            if result is not None:
                is_pair = isinstance(result, (tuple, list)) and len(result) == 2
                if not is_pair or not all(isinstance(part, str) for part in result):
                    raise TypeError(f"it returned {_kind(result)}, where a pair of texts is expected")
                arguments["text"], arguments["visible_text"] = result

        arguments: dict[str, Any] = {"text": text, "visible_text": visible, "state": state}
        record = self.receipt.recorder("text", text)
        arguments = self._hooks.run("chat_input_modifier", arguments, accept, record)
        return arguments["text"], arguments["visible_text"]

    def text(self, hook: str, text: str, state: Mapping[str, object], is_chat: bool = True) -> str:
        """Return a text after a hook that takes and returns one."""
        if not self.has(hook):
            return text
        arguments = {"string": text, "state": state, "is_chat": is_chat}
        record = self.receipt.recorder("string", text)
        return str(self._hooks.run(hook, arguments, _accept_text, record)["string"])

    def prompt(
        self, user_input: str, state: Mapping[str, object], history: Mapping[str, object], is_continue: bool
    ) -> str | None:
        """Return the whole prompt from `custom_generate_chat_prompt`, or None."""
        hook = "custom_generate_chat_prompt"
        arguments = {"user_input": user_input, "state": state, "history": history, "is_continue": is_continue}
        found: str | None = self._first_result(hook, arguments, str)
        return found

    def bot_prefix(self, state: Mapping[str, object]) -> tuple[str, str]:
        """Return (the text that the reply starts with, the part of it that the page shows)."""
        hook, shown, before = "bot_prefix_modifier", "", ""
        if not self.has(hook):
            return "", ""
        record = self.receipt.recorder("string", "")

        def step(extension: HookedExtension, hook: str, arguments: dict[str, Any]) -> None:
            nonlocal shown, before
            text = arguments["string"]
            if extension.shows_prefix:
                shown = shown + text[len(before) :] if text.startswith(before) else text
            before = text
            if record:
                record(extension, hook, arguments)

        arguments = {"string": "", "state": state, "is_chat": True}
        return str(self._hooks.run(hook, arguments, _accept_text, step)["string"]), shown

    def length(self, prompt: str) -> int | None:
        """Return the prompt's length in tokens from `custom_tokenized_length`, or None."""
        found: int | None = self._first_result("custom_tokenized_length", {"prompt": prompt}, int)
        return found

    def reply(
        self, question: str, original: str, state: Mapping[str, object], stops: list[str], is_chat: bool = True
    ) -> tuple[HookedExtension, Any] | None:
        """Return (the extension that answers instead of the model, its answer), or None.

        The answer is a text, or an iterator of the reply so far. `original`: the message before its hooks.
        """
        hook = "custom_generate_reply"
        if not self.has(hook):
            return None
        arguments: dict[str, Any] = {"question": question, "original_question": original, "state": state}
        arguments |= {"stopping_strings": stops, "is_chat": is_chat}
        for extension in self._hooks.extensions_with(hook):
            worked, answer = self._hooks.call(extension, hook, **arguments)
            if worked and answer is not None:
                if isinstance(answer, (str, Iterator)):
                    return extension, answer
                self._report_type(extension, hook, f"it returned {_kind(answer)}, where text is expected")
        return None

    def failure(self, extension: HookedExtension) -> str:
        """Return a sentence about this extension's failure; "" if it did not fail."""
        fault = self._manager.failures.get(extension.name)
        return fault.message if fault else ""

    def next_text(self, extension: HookedExtension, answer: Iterator[str]) -> str | None:
        """Return the next text of an answer from `reply`; None at its end, or if it failed."""

        def step() -> str | None:
            text = next(answer, None)
            if text is not None and not isinstance(text, str):
                raise TypeError(f"it yielded {_kind(text)}, where text is expected")
            return text

        text: str | None = self._hooks.call(extension, "custom_generate_reply", run=step)[1]
        return text

    def stream(
        self, extension: HookedExtension, text: str, shown: str, final: bool, state: Mapping[str, object]
    ) -> tuple[str, str]:
        """Return arriving text after `stream_modifier` of one extension: (text to show, text held back)."""
        hook = "stream_modifier"
        arguments: dict[str, Any] = {"text": text, "shown": shown, "final": final, "state": state}
        worked, result = self._hooks.call(extension, hook, **arguments)
        if not worked or result is None:
            return text, ""
        if isinstance(result, str):
            return result, ""
        if isinstance(result, tuple) and len(result) == 2 and all(isinstance(part, str) for part in result):
            return result[0], result[1]
        self._report_type(extension, hook, f"it returned {_kind(result)}, where text is expected")
        return text, ""

    def stream_modifiers(self) -> list[HookedExtension]:
        """Return the extensions that change text as it arrives."""
        return self._hooks.extensions_with("stream_modifier")

    def _report_type(self, extension: HookedExtension, hook: str, message: str) -> None:
        self._manager.failures.report(extension, hook, TypeError(message))

    def _dictionary(self, hook: str, name: str, value: Mapping[str, object]) -> Mapping[str, object]:
        if not self.has(hook):
            return value

        def accept(arguments: dict[str, Any], result: Any) -> None:
            if result is None:
                return
            if not isinstance(result, dict):
                raise TypeError(f"it returned {_kind(result)}, where a dictionary is expected")
            arguments[name] = result

        record = self.receipt.recorder(name, value)
        changed: Mapping[str, object] = self._hooks.run(hook, {name: value}, accept, record)[name]
        return changed

    def _first_result(self, hook: str, arguments: dict[str, object], kind: type) -> Any:
        """Return the first result that is not None; None if there is none."""
        if not self.has(hook):
            return None
        found: list[Any] = []

        def accept(arguments: dict[str, object], result: object) -> bool:
            if result is None:
                return False
            if not isinstance(result, kind):
                raise TypeError(f"it returned {_kind(result)}, where {kind.__name__} is expected")
            found.append(result)
            return True

        self._hooks.run(hook, arguments, accept)
        return found[0] if found else None


def _accept_text(arguments: dict[str, object], result: object) -> None:
    if result is None:
        return
    if not isinstance(result, str):
        raise TypeError(f"it returned {_kind(result)}, where a text is expected")
    arguments["string"] = result


def _kind(value: object) -> str:
    return type(value).__name__
