"""Puts the files that messages have attached into prompts: documents whole or in passages, and images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from modules.chat.attachments.attachment_store import AttachmentStore
from modules.chat.attachments.model_images import ModelImages
from modules.chat.attachments.passages import PassageRanking, split_passages
from modules.chat.document_prompt import PromptDocument, add_passages, choose_whole
from modules.chat.messages import Message, NotSaved
from modules.chat.parts import DOCUMENT, FILES, IMAGE, TEXT, Part, visible_text
from modules.protocol.errors import PaddockError
from modules.protocol.reply_room import reply_room
from modules.runtime.loaded_model import LoadedModel

# Files of one message.
MOST_FILES = 20
# Words in a passage.
_PASSAGE = 60
# Longer texts are estimated where only a figure is shown.
_COUNTED = 400_000
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class DocumentFacts:
    """What the page shows of a document. `exact`: the loaded model counted its tokens; else they are estimated."""

    kind: str
    tokens: int
    exact: bool
    notes: tuple[str, ...]


class AttachedFiles:
    """Reads attachments for prompts to one model. Thread-safe."""

    def __init__(self, store: AttachmentStore, model: LoadedModel, images: ModelImages) -> None:
        self._store = store
        self._model_images = images
        self._model = model
        self._tokens_of = lru_cache(200)(self._count_document)
        self._passages_of = lru_cache(4)(self._rank)

    def facts(self, hash: str, name: str) -> DocumentFacts:
        """Return the facts of a document; blocking. Raises AttachmentError or DocumentError."""
        text = self._store.text(hash, name)
        tokens = None
        if self._model.state.phase == "ready" and len(text.text) <= _COUNTED:
            tokens = self._document_tokens(hash)
        shown = _estimate(text.text) if tokens is None else tokens
        return DocumentFacts(text.kind, shown, tokens is not None, text.notes)

    def parts(self, named: Iterable[tuple[str, str]]) -> tuple[Part, ...]:
        """Return the parts of a message with these files, each (hash, name); blocking. Raises NotSaved."""
        found: list[Part] = []
        for hash, name in named:
            try:
                one = self._store.find(hash, name)
                meta: dict[str, Any] = {"hash": hash, "mime": one.mime, "size": one.size}
                if not one.is_image:
                    facts = self.facts(hash, name)
                    meta |= {"tokens": facts.tokens, "estimated": not facts.exact}
            except PaddockError as error:
                raise NotSaved(f"{name} cannot be sent. {error.message}", detail=error.detail) from error
            found.append(Part(IMAGE if one.is_image else DOCUMENT, one.name, meta))
        return tuple(found)

    def check(self, files: Iterable[Part]) -> None:
        """Raise NotSaved if a message cannot be sent with these files: they are too many, or images unseen."""
        files = tuple(files)
        if len(files) > MOST_FILES:
            raise NotSaved(f"A message can have at most {MOST_FILES} files. Remove some, and send them later.")
        names = " and ".join(part.text for part in files if part.kind == IMAGE)
        state = self._model.state
        if names and state.info and not state.info.sees_images:
            raise NotSaved(f"{state.model} cannot see images. Remove {names}, or load a model that can.")

    def prepare(
        self, system: str, path: Sequence[Message], context: int, max_new_tokens: int
    ) -> tuple[list[Message], list[str]]:
        """Return the messages with their files in them, and sentences about what the model gets of each file.

        A document goes in whole where it and the chat fit `context` tokens (0: unknown, so all go in), the newest
        first. Of the others, the passages that match the last question are put before it. Images become parts whose
        meta has their `path`; a model that cannot see them does not get them.
        """
        if not any(part.kind in FILES for message in path for part in message.parts):
            return list(path), []
        notes: list[str] = []
        documents = self._read(path, notes)
        asked = (place for place, message in enumerate(path) if message.role == "user")
        last = max(asked, default=len(path) - 1)  # An imported chat may have no question.
        if context:
            limit = context - reply_room(max_new_tokens, context)
            choose_whole(documents, self.tokens, [system, *map(_written, path)], limit)
            shortened = [document for document in documents if not document.whole]
            question = _written(path[last])
            fixed = self.tokens(system) + self.tokens(question)
            add_passages(shortened, self.tokens, lambda one: self._passages_of(one.hash), question, limit, fixed)
        notes += _notes(documents)
        images, unseen = self._images(path)
        return [
            self._message(m, place, place == last, documents, images) for place, m in enumerate(path)
        ], notes + unseen

    def tokens(self, text: str) -> int:
        """Return how many tokens a text has, estimated where the model cannot count them."""
        try:
            return len(self._model.tokenize(text))
        except PaddockError:
            return _estimate(text)

    def _read(self, path: Sequence[Message], notes: list[str]) -> list[PromptDocument]:
        """Return the documents of a path. One that cannot be read is noted."""
        found = []
        for place, message in enumerate(path):
            for part in message.parts:
                if part.kind == DOCUMENT:
                    hash, name = str(part.meta["hash"]), part.text
                    try:
                        text = self._store.text(hash, name).text
                    except PaddockError as error:
                        notes.append(f"The model did not read {name}. {error.message}")
                        continue
                    found.append(PromptDocument(place, hash, name, text, partial(self._estimated_tokens, hash, text)))
        return found

    def _images(self, path: Sequence[Message]) -> tuple[dict[str, str], list[str]]:
        """Return hash -> path of each image for the model, and sentences about those that it does not get."""
        parts = {str(part.meta["hash"]): part.text for message in path for part in message.parts if part.kind == IMAGE}
        state = self._model.state
        if parts and not (state.info and state.info.sees_images):
            names = " and ".join(dict.fromkeys(parts.values()))
            return {}, [f"{state.model} cannot see images, so it did not get {names}. Load a model that can."]
        found, notes = {}, []
        for hash, name in parts.items():
            try:
                found[hash] = self._model_images.add_file(self._store.path(hash), name)
            except PaddockError as error:
                notes.append(f"The model did not see {name}. {error.message}")
        return found, notes

    def _message(
        self, message: Message, place: int, last: bool, documents: Iterable[PromptDocument], images: dict[str, str]
    ) -> Message:
        """Return a message as the prompt has it."""
        blocks = [document.block for document in documents if document.place == place]
        if last:
            blocks += [document.found for document in documents if document.found]
        if not blocks and not any(part.kind in FILES for part in message.parts):
            return message
        seen = [
            replace(part, meta={"path": images[part.meta["hash"]]})
            for part in message.parts
            if part.kind == IMAGE and part.meta["hash"] in images
        ]
        text = "\n\n".join(block for block in (*blocks, _written(message)) if block.strip())
        meta = {key: value for key, value in message.meta.items() if key != "internal"}
        return replace(message, parts=(*seen, Part(TEXT, text)), meta=meta)

    def _estimated_tokens(self, hash: str, text: str) -> int:
        tokens = self._document_tokens(hash)
        return _estimate(text) if tokens is None else tokens

    def _document_tokens(self, hash: str) -> int | None:
        """Return the tokens of a document, or None where the model cannot count them."""
        try:
            return self._tokens_of(hash, self._model.state.model)
        except PaddockError:
            return None

    def _count_document(self, hash: str, model: str) -> int:
        return len(self._model.tokenize(self._store.text(hash, model).text))

    def _rank(self, hash: str) -> tuple[list[str], PassageRanking]:
        passages = split_passages(self._store.text(hash, hash).text, _PASSAGE)
        return passages, PassageRanking(passages)


def _estimate(text: str) -> int:
    return len(text) // _CHARACTERS_PER_TOKEN + 1


def _written(message: Message) -> str:
    """Return the text of a message for the prompt, without its files."""
    return str(message.meta.get("internal", visible_text(message.parts)))


def _notes(documents: Sequence[PromptDocument]) -> list[str]:
    whole = list(dict.fromkeys(document.name for document in documents if document.whole))
    names = " and ".join([", ".join(whole[:-1]), whole[-1]] if len(whole) > 1 else whole)
    notes = [f"The model read {names} whole."] if whole else []
    return notes + [document.note for document in documents if not document.whole]
