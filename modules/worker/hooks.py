"""Extensions' hooks in the worker: their files are loaded on Configure, and their functions change tokens and logits.

Standard library only. Arrays are whatever the engine has (torch, numpy): both understand `logits[None, :]`.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from modules.protocol.agreed_code import AgreedCode
from modules.worker.stand_ins import give_stand_ins

_PACKAGE = "paddock_worker_extensions"

# on_fault(extension, hook, sentence, traceback)
OnFault = Callable[[str, str, str, str], None]


@dataclass
class _Member:
    """One extension's file. `sha256`: of the extension's code when it was loaded."""

    name: str
    path: Path
    sha256: str
    module: ModuleType
    settings: Any = None

    def call(self, hook: str, **given: Any) -> Any:
        """Call the hook with those of the arguments that it takes; a script's by position, as it expects."""
        function = getattr(self.module, hook)
        if self.path.name == "script.py":
            return function(*given.values())
        code = function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return function(
            **{name: value for name, value in {**given, "settings": self.settings}.items() if name in names}
        )


class Hooks:
    """The worker's side of the extensions that are on. Without any, it costs an engine one `if` a reply."""

    def __init__(self, on_fault: OnFault) -> None:
        self._on_fault = on_fault
        self._members: dict[str, _Member] = {}
        self._code = AgreedCode()

    def configure(self, entries: Sequence[dict[str, Any]]) -> list[str]:
        """Load what is new, forget what is gone, give all their settings; names of those that run now, in order.

        An entry: name, path, kind (worker.py or script.py), settings, packages (a folder), hooks, folder, files and
        sha256 of the code that the user agreed to.
        """
        members = {}
        for entry in entries:
            try:
                members[entry["name"]] = self._member(entry)
            except BaseException as error:
                self._fail(entry["name"], "load", error)
        self._members = members
        return list(members)

    def _member(self, entry: dict[str, Any]) -> _Member:
        name, path = entry["name"], Path(entry["path"])
        sha256 = entry.get("sha256", "")
        member = self._members.get(name)
        if member is None or member.sha256 != sha256 or member.path != path:
            if folder := entry.get("folder"):
                self._code.agree(Path(folder), entry["files"])
            if (packages := entry.get("packages")) and packages not in sys.path and Path(packages).is_dir():
                sys.path.append(packages)
            member = _Member(name, path, sha256, _load(name, path))
        settings = entry.get("settings") or {}
        member.settings = SimpleNamespace(**settings)
        params = getattr(member.module, "params", None)
        if path.name == "script.py" and isinstance(params, dict):
            params.update(settings)
        return member

    def __bool__(self) -> bool:
        return bool(self._members)

    def tokens(
        self, prompt: str, tokens: list[int], row: Callable[[list[int]], Any], state: dict[str, Any]
    ) -> list[int]:
        """The prompt's tokens after `tokenizer_modifier`. `row`: tokens as the engine's array [1, tokens]."""
        for member in self._with("tokenizer_modifier"):
            try:
                given = {"state": state, "prompt": prompt, "input_ids": row(tokens), "input_embeds": None}
                result = member.call("tokenizer_modifier", **given)
                if result is None:
                    continue
                prompt, ids, embeds = result
                if embeds is not None:
                    raise TypeError("it returned embeddings, which engines here do not take")
                tokens = [int(token) for token in ids[0]]
            except BaseException as error:
                self._fail(member.name, "tokenizer_modifier", error)
        return tokens

    def logits(
        self, tokens: Callable[[], list[int]], row: Callable[[list[int]], Any], ends: Sequence[int] = ()
    ) -> Callable[[Any], Any] | None:
        """What one reply's logits [vocabulary] pass through before each token; None where nobody asks for them.

        `tokens()`: prompt and reply so far; `ends`: tokens that end a reply. Called once a reply, before
        its first token.
        """
        about = {"prompt_length": len(tokens()), "ends": list(ends)} if self else {}
        processors: list[tuple[_Member, Any]] = []
        for member in self._with("logits_processor_modifier"):
            added: list[Any] = []
            try:
                result = member.call("logits_processor_modifier", processor_list=added, input_ids=row(tokens()))
                # Some return a list of their own in place of appending to the one they were given.
                added = result if isinstance(result, list) else added
                processors += [(member, processor) for processor in added]
            except BaseException as error:
                self._fail(member.name, "logits_processor_modifier", error)
        direct = self._with("logits_modifier")
        if not processors and not direct:
            return None

        def change(logits: Any) -> Any:
            now = tokens()
            for member in direct:
                if member.name in self._members:
                    try:
                        result = member.call("logits_modifier", tokens=now, logits=logits, **about)
                        logits = logits if result is None else _alike(result, logits)
                    except BaseException as error:
                        self._fail(member.name, "logits_modifier", error)
            ids = row(now) if processors else None
            for member, processor in processors:
                if member.name in self._members:
                    try:
                        logits = _alike(processor(ids, logits[None, :])[0], logits)
                    except BaseException as error:
                        self._fail(member.name, "logits_processor_modifier", error)
            return logits

        return change

    def _with(self, hook: str) -> list[_Member]:
        return [member for member in self._members.values() if hasattr(member.module, hook)]

    def _fail(self, name: str, hook: str, error: BaseException) -> None:
        words = f"{type(error).__name__}: {error}".rstrip(": ")
        self._members.pop(name, None)
        self._on_fault(name, hook, words, traceback.format_exc()[-20_000:])


def _alike(result: Any, logits: Any) -> Any:
    if getattr(result, "shape", None) != logits.shape:
        raise TypeError(
            f"it returned {type(result).__name__}, where logits of shape {tuple(logits.shape)} are expected"
        )
    return result


def _load(name: str, path: Path) -> ModuleType:
    """Run the file as a part of a package of its own, so that `from . import …` finds what lies beside it."""
    package = f"{_PACKAGE}_{name}"
    for known in [known for known in list(sys.modules) if known == package or known.startswith(f"{package}.")]:
        sys.modules.pop(known, None)
    parent = ModuleType(package)
    parent.__path__ = [str(path.parent)]
    sys.modules[package] = parent
    spec = importlib.util.spec_from_file_location(f"{package}.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"{package}.{path.stem}"] = module
    if path.name == "script.py":
        give_stand_ins(module)
    spec.loader.exec_module(module)
    return module
