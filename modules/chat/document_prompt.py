"""Which documents of a chat go into its prompt whole, and which passages of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from modules.chat.attachments.passages import PassageRanking

# Tokens that a template or a document's name take around a text, at most.
_AROUND = 16
# No token stands for more characters on average, so a longer text need not be counted.
_LONGEST_TOKEN = 16
# Passages may take the limit divided by this.
_PASSAGES_SHARE = 2
_MOST_PASSAGES = 200
_GAP = "\n\n[…]\n\n"

Ranked = tuple[list[str], PassageRanking]


@dataclass
class PromptDocument:
    """A document of the chat on its way into the prompt.

    `place`: of its message; `count()` returns its tokens; `whole`: all of its text goes in. Otherwise `passages`: the
    places of those that go in, of `total`; `matching`: they share words with the question; `found`: their text.
    """

    place: int
    hash: str
    name: str
    text: str
    count: Callable[[], int]
    whole: bool = True
    passages: list[int] = field(default_factory=list)
    total: int = 0
    matching: bool = True
    found: str = ""

    @property
    def block(self) -> str:
        """Return what its own message has of it."""
        return document_block(self.name, self.text) if self.whole else f"(Attached: {self.name})"

    @property
    def note(self) -> str:
        """Return a sentence about the passages that the model got."""
        got = len(self.passages)
        begin = f"{self.name} does not fit into the context whole."
        if not got:
            return f"{begin} There was no room for a part of it. Load the model with a larger context."
        if self.matching:
            return f"{begin} The model read {got} of its {self.total} passages: those that match the question best."
        return f"{begin} No passage matches the question, so the model read the first {got} of {self.total}."


def document_block(name: str, text: str) -> str:
    """Return a document's text as prompts have it, with its name around it."""
    return f"Document {name}:\n\n{text.strip()}\n\n(end of {name})"


def choose_whole(
    documents: Sequence[PromptDocument], count: Callable[[str], int], texts: Sequence[str], limit: int
) -> None:
    """Set `whole` of each document: whether it fits `limit` tokens beside the texts of the chat and newer documents.

    If some do not, room is left for their passages.
    """
    text = "\n".join(texts)
    used = (count(text) if len(text) <= _LONGEST_TOKEN * limit else limit + 1) + _AROUND * len(texts)
    for most in (limit, limit - limit // _PASSAGES_SHARE):
        left = most - used
        for document in reversed(documents):
            known = len(document.text) <= _LONGEST_TOKEN * limit
            tokens = document.count() + _AROUND if known else limit + 1
            document.whole = tokens <= left
            left -= tokens if document.whole else 0
        if all(document.whole for document in documents):
            return


def add_passages(
    documents: Sequence[PromptDocument],
    count: Callable[[str], int],
    passages_of: Callable[[PromptDocument], Ranked],
    question: str,
    limit: int,
    fixed: int,
) -> None:
    """Choose the passages of these documents that match the question, as many as fit half of `limit` tokens.

    `fixed`: tokens of what stands beside them in any case. A document without a match gives its beginning.
    """
    room = min(limit // _PASSAGES_SHARE, limit - fixed - 2 * _AROUND) - _AROUND * len(documents)
    candidates: list[tuple[float, PromptDocument, int]] = []
    texts: dict[str, list[str]] = {}
    for document in documents:
        texts[document.hash], ranking = passages_of(document)
        found = ranking.search(question)[:_MOST_PASSAGES]
        document.total, document.matching = len(texts[document.hash]), bool(found)
        first = range(0 if found else min(document.total, _MOST_PASSAGES))
        candidates += [
            *((one.score, document, one.place) for one in found),
            *((-place, document, place) for place in first),
        ]
    for _, document, place in sorted(candidates, key=lambda candidate: -candidate[0])[:_MOST_PASSAGES]:
        tokens = count(texts[document.hash][place]) + 4
        if tokens > room:
            continue
        room -= tokens
        document.passages.append(place)
    for document in documents:
        document.passages.sort()
        document.found = _join(document, texts[document.hash])


def _join(document: PromptDocument, texts: Sequence[str]) -> str:
    """Return the chosen passages in their order, with a mark where some are left out between them."""
    if not document.passages:
        return ""
    text, before = "", None
    for place in document.passages:
        between = "" if before is None or place == before + 1 else _GAP
        text, before = f"{text}{between}{texts[place]}", place
    return f"Passages of the document {document.name}:\n\n{text.strip()}\n\n(end of the passages of {document.name})"
