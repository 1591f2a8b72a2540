"""Puts passages of a chat's knowledge before its last question, numbered so that the reply can cite them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modules.chat.attached_files import AttachedFiles
from modules.chat.knowledge.index_database import StoredPassage
from modules.chat.knowledge.knowledge import Knowledge
from modules.chat.messages import ChatOptions, Message
from modules.chat.parts import MEDIA, TEXT, Part, visible_text
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams

# Passages of one reply, and the share of the context that they may take.
MOST_PASSAGES = 8
_SHARE = 4
_WITHOUT_CONTEXT = 2048
# Tokens around a passage: its number and its document's name.
_AROUND = 24
# A question with fewer words is searched for together with the one before: "And in winter?"
_SHORT = 5
# How long a reply waits for documents that have just changed.
WAIT_SECONDS = 3.0
_START = (
    "Passages of my documents, each with a number. Where you use one, write its number in square brackets after the "
    "sentence, like [1]. If none of them helps, say so.\n\n"
)
_END = "\n\n(end of the passages)\n\n"


@dataclass(frozen=True)
class FoundPassages:
    """The passages for one reply.

    `text`: as the prompt has them, "" for none, of `tokens` tokens. `cited`: what the message keeps of each, see
    Message. `notes`: sentences for the reply.
    """

    text: str = ""
    tokens: int = 0
    cited: tuple[Mapping[str, object], ...] = ()
    notes: tuple[str, ...] = ()

    def put_into(self, path: Sequence[Message]) -> list[Message]:
        """Return the messages with the passages before the last question."""
        places = [place for place, message in enumerate(path) if message.role == "user"]
        if not self.text or not places:
            return list(path)
        message = path[places[-1]]
        media = [part for part in message.parts if part.kind in MEDIA]
        others = [part for part in message.parts if part.kind not in (*MEDIA, TEXT)]
        meta = dict(message.meta)
        if "internal" in meta:
            meta["internal"] = f"{self.text}{meta['internal']}"
        parts = (*media, *others, Part(TEXT, f"{self.text}{visible_text(message.parts)}"))
        return [*path[: places[-1]], replace(message, parts=parts, meta=meta), *path[places[-1] + 1 :]]


class KnowledgePrompt:
    """Finds passages for replies. `count` returns the tokens of a text."""

    def __init__(self, knowledge: Knowledge, count: Callable[[str], int]) -> None:
        self._knowledge, self._count = knowledge, count

    def find(self, names: Sequence[str], path: Sequence[Message], context: int) -> FoundPassages:
        """Return the passages for the last question of `path`; blocking. `context`: tokens, 0 if it is not known."""
        questions = [visible_text(message.parts) for message in path if message.role == "user"]
        if not names or not questions:
            return FoundPassages()
        question = "\n".join(questions[-2:] if len(questions[-1].split()) < _SHORT else questions[-1:])
        try:
            notes = self._knowledge.prepare(names, WAIT_SECONDS)
            found, hindered = self._knowledge.search(names, question, MOST_PASSAGES)
        except PaddockError as error:
            return FoundPassages(notes=(f"The model got no passages of {' and '.join(names)}. {error.message}",))
        notes += hindered
        if not found and not notes:
            notes.append(f"No passage of {' and '.join(names)} matches the question.")
        return self._fit(found, context // _SHARE if context else _WITHOUT_CONTEXT, notes)

    def _fit(self, found: Sequence[StoredPassage], room: int, notes: list[str]) -> FoundPassages:
        """Return as many of the passages as fit `room` tokens, best first."""
        blocks: list[str] = []
        cited: list[Mapping[str, object]] = []
        room -= self._count(_START + _END)
        used = 0
        for passage in found:
            block = f"[{len(blocks) + 1}] {passage.path}{_place(passage)}:\n{passage.text}"
            tokens = self._count(block) + 2
            if used + tokens > room:
                continue
            used += tokens
            blocks.append(block)
            cited.append(_citation(len(blocks), passage))
        if found and not blocks:
            notes.append("There was no room for a passage of the knowledge. Load the model with a larger context.")
        if not blocks:
            return FoundPassages(notes=tuple(notes))
        text = "".join((_START, "\n\n".join(blocks), _END))
        return FoundPassages(text, self._count(text) + _AROUND, tuple(cited), tuple(notes))


class PromptDocuments:
    """Puts the passages of the knowledge and the files of messages into prompts to one model."""

    def __init__(self, files: AttachedFiles, knowledge: Knowledge | None) -> None:
        self._files = files
        self._knowledge = KnowledgePrompt(knowledge, files.tokens) if knowledge is not None else None

    def prepare(
        self, system: str, path: Sequence[Message], options: ChatOptions, meta: dict[str, Any], params: SamplingParams
    ) -> tuple[list[Message], list[str]]:
        """Return the messages with both, and sentences about both.

        `meta`: of the reply; it has the context. The passages that the reply may cite are added to it.
        """
        context, found = int(meta["context"]), FoundPassages()
        if self._knowledge is not None and options.knowledge:
            found = self._knowledge.find(options.knowledge, path, context)
        left = max(1, context - found.tokens) if context else 0
        prepared, notes = self._files.prepare(system, path, left, params.max_new_tokens)
        if found.cited:
            meta["passages"] = [dict(one) for one in found.cited]
        return found.put_into(prepared), [*found.notes, *notes]


def _place(passage: StoredPassage) -> str:
    return f", page {passage.page}" if passage.page else f", line {passage.line}"


def _citation(number: int, passage: StoredPassage) -> dict[str, object]:
    return {
        "number": number,
        "knowledge": passage.knowledge,
        "document": passage.document,
        "name": passage.path,
        "start": passage.start,
        "stop": passage.stop,
        "page": passage.page,
        "line": passage.line,
        "text": passage.text,
    }
