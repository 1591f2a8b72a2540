"""Puts the files that messages have attached into prompts: documents whole or in passages, images and sounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from modules.chat.attachments.attachment_store import AttachmentStore
from modules.chat.attachments.audio_facts import AUDIO_TYPES
from modules.chat.attachments.model_images import ModelImages
from modules.chat.attachments.passages import PassageRanking, split_passages
from modules.chat.document_prompt import PromptDocument, add_passages, choose_whole
from modules.chat.messages import Message, NotSaved
from modules.chat.parts import AUDIO, DOCUMENT, FILES, IMAGE, MEDIA, TEXT, Part, visible_text
from modules.families.audio_file import WAV, wrong_format
from modules.protocol.errors import PaddockError
from modules.protocol.events import ModelInfo
from modules.protocol.reply_room import reply_room
from modules.runtime.loaded_model import LoadedModel

# Files of one message.
MOST_FILES = 20
# What is said of a model that does not take files of a kind.
CANNOT = {IMAGE: "cannot see images", AUDIO: "cannot hear sound"}
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
        self._media_tokens_of = lru_cache(200)(self._count_media)
        self._passages_of = lru_cache(4)(self._rank)

    def of(self, model: LoadedModel) -> AttachedFiles:
        """Return the same attachments for prompts to another model."""
        return AttachedFiles(self._store, model, self._model_images)

    def facts(self, hash: str, name: str) -> DocumentFacts:
        """Return the facts of a document; blocking. Raises AttachmentError or DocumentError."""
        text = self._store.text(hash, name)
        tokens = None
        if self._model.state.phase == "ready" and len(text.text) <= _COUNTED:
            tokens = self._document_tokens(hash, name)
        shown = _estimate(text.text) if tokens is None else tokens
        return DocumentFacts(text.kind, shown, tokens is not None, text.notes)

    def media_tokens(self, hash: str, name: str, kind: str) -> int | None:
        """Return how many tokens an image or a sound has in a prompt to the loaded model, None if no model that takes
        it is loaded; blocking, since the model's worker counts them."""
        state = self._model.state
        if state.phase != "ready" or not takes(state.info, kind):
            return None
        try:
            return self._media_tokens_of(hash, name, kind, state.model)
        except PaddockError:
            return None

    def parts(self, named: Iterable[tuple[str, str]]) -> tuple[Part, ...]:
        """Return the parts of a message with these files, each (hash, name); blocking. Raises NotSaved."""
        found: list[Part] = []
        for hash, name in named:
            try:
                one = self._store.find(hash, name)
                meta: dict[str, object] = {"hash": hash, "mime": one.mime, "size": one.size}
                if one.kind == AUDIO:
                    meta["seconds"] = one.seconds
                if one.kind == DOCUMENT:
                    facts = self.facts(hash, name)
                    meta |= {"tokens": facts.tokens, "estimated": not facts.exact}
            except PaddockError as error:
                raise NotSaved(f"{name} cannot be sent. {error.message}", detail=error.detail) from error
            found.append(Part(one.kind, one.name, meta))
        return tuple(found)

    def check(self, files: Iterable[Part]) -> None:
        """Raise NotSaved if a message cannot be sent with these files: too many, or some that the model refuses."""
        files = tuple(files)
        if len(files) > MOST_FILES:
            raise NotSaved(f"A message can have at most {MOST_FILES} files. Remove some, and send them later.")
        state = self._model.state
        for kind, cannot in CANNOT.items():
            names = " and ".join(part.text for part in files if part.kind == kind)
            if names and state.info and not takes(state.info, kind):
                raise NotSaved(f"{state.model} {cannot}. Remove {names}, or load a model that can.")
        for part in files:
            if part.kind == AUDIO and state.info and (problem := format_problem(part, state.info, state.model)):
                raise NotSaved(problem)

    def prepare(
        self, system: str, path: Sequence[Message], context: int, max_new_tokens: int
    ) -> tuple[list[Message], list[str]]:
        """Return the messages with their files in them, and sentences about what the model gets of each file.

        A document goes in whole where it and the chat fit `context` tokens (0: unknown, so all go in), the newest
        first. Of the others, the passages that match the last question are put before it. Images and sounds become
        parts whose meta has their `path`; a model that does not take them does not get them.
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
            add_passages(shortened, self.tokens, self._ranked, question, limit, fixed)
        notes += _notes(documents)
        media, left_out = self._media(path)
        return [
            self._message(m, place, place == last, documents, media) for place, m in enumerate(path)
        ], notes + left_out

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
                    found.append(
                        PromptDocument(place, hash, name, text, partial(self._estimated_tokens, hash, name, text))
                    )
        return found

    def _media(self, path: Sequence[Message]) -> tuple[dict[str, str], list[str]]:
        """Return hash -> path of each image and sound for the model, and sentences about those that it does not get."""
        state, found, notes = self._model.state, dict[str, str](), list[str]()
        for kind, cannot in CANNOT.items():
            parts = {str(part.meta["hash"]): part for one in path for part in one.parts if part.kind == kind}
            if parts and not takes(state.info, kind):
                names = " and ".join(dict.fromkeys(part.text for part in parts.values()))
                notes.append(f"{state.model} {cannot}, so it did not get {names}. Load a model that can.")
                continue
            for hash, part in parts.items():
                if kind == AUDIO and state.info and (problem := format_problem(part, state.info, state.model)):
                    notes.append(f"The model did not get {part.text}. {problem}")
                    continue
                try:
                    found[hash] = self._model_images.add_file(self._store.path(hash), part.text, kind == AUDIO)
                except PaddockError as error:
                    notes.append(f"The model did not get {part.text}. {error.message}")
        return found, notes

    def _message(
        self, message: Message, place: int, last: bool, documents: Iterable[PromptDocument], media: dict[str, str]
    ) -> Message:
        """Return a message as the prompt has it."""
        blocks = [document.block for document in documents if document.place == place]
        if last:
            blocks += [document.found for document in documents if document.found]
        if not blocks and not any(part.kind in FILES for part in message.parts):
            return message
        taken = [
            replace(part, meta={"path": media[part.meta["hash"]]})
            for part in message.parts
            if part.kind in MEDIA and part.meta["hash"] in media
        ]
        text = "\n\n".join(block for block in (*blocks, _written(message)) if block.strip())
        meta = {key: value for key, value in message.meta.items() if key != "internal"}
        return replace(message, parts=(*taken, Part(TEXT, text)), meta=meta)

    def _estimated_tokens(self, hash: str, name: str, text: str) -> int:
        tokens = self._document_tokens(hash, name)
        return _estimate(text) if tokens is None else tokens

    def _document_tokens(self, hash: str, name: str) -> int | None:
        """Return the tokens of a document, or None where the model cannot count them."""
        try:
            return self._tokens_of(hash, name, self._model.state.model)
        except PaddockError:
            return None

    def _count_document(self, hash: str, name: str, model: str) -> int:
        """Return the tokens of a document. `model`: whose they are, for the cache of the results."""
        return len(self._model.tokenize(self._store.text(hash, name).text))

    def _count_media(self, hash: str, name: str, kind: str, model: str) -> int:
        """Return by how much an image or a sound lengthens a message, as the worker counts it. `model`: as above."""
        file = {"type": kind, "path": self._model_images.add_file(self._store.path(hash), name, kind == AUDIO)}
        text = {"type": "text", "text": "x"}
        lengths = [
            self._model.chat_prompt([{"role": "user", "content": content}]).tokens for content in ([file, text], "x")
        ]
        return max(0, lengths[0] - lengths[1])

    def _ranked(self, document: PromptDocument) -> tuple[list[str], PassageRanking]:
        return self._passages_of(document.hash, document.name)

    def _rank(self, hash: str, name: str) -> tuple[list[str], PassageRanking]:
        passages = split_passages(self._store.text(hash, name).text, _PASSAGE)
        return passages, PassageRanking(passages)


def takes(info: ModelInfo | None, kind: str) -> bool:
    """Return True if a loaded model takes files of a kind, such as IMAGE."""
    return info is not None and bool(info.sees_images if kind == IMAGE else info.audio_formats)


def format_problem(part: Part, info: ModelInfo, model: str) -> str:
    """Return why a model that hears does not take this sound, as a sentence, or ""."""
    format = next((name for name, mime in AUDIO_TYPES.items() if mime == part.meta.get("mime")), WAV)
    return "" if format in info.audio_formats else wrong_format(format, info.audio_formats, model)


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
