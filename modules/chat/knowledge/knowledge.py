"""Named folders of documents that chats can use: kept up to date in the background, and searched for a question."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from modules.chat.attachments.attachment_name import attachment_name
from modules.chat.attachments.document_text import MOST_BYTES
from modules.chat.knowledge.definitions import Definition, Definitions
from modules.chat.knowledge.index_database import IndexDatabase, StoredPassage
from modules.chat.knowledge.index_file import KnowledgeError
from modules.chat.knowledge.knowledge_state import FAILED, READS, READY, WAITS, KnowledgeState, Progress, describe_late
from modules.chat.knowledge.ranking import fuse
from modules.chat.knowledge.reading import Reader, Report
from modules.chat.knowledge.vectors import Vectors
from modules.files.paths import free_path, write_atomically
from modules.files.printable_name import printable_name
from modules.protocol.errors import PaddockError
from modules.settings.preferences import Preferences
from modules.system.threads import host_thread

# The setting that names the model whose vectors are used: "" for words only.
EMBEDDER = "knowledge_model"
# Each ranking gives so many passages to the joined one.
_RANKED = 50
# A folder is looked at again after this time, when a question is asked.
_LOOK_SECONDS = 5.0
_PROBLEMS = 50


class Knowledge:
    """The knowledge of one account. Thread-safe. Documents are read on one thread, which starts when it is needed.

    `may_choose_folders`: whether it may name folders of this machine.
    """

    def __init__(
        self,
        definitions: Definitions,
        database: IndexDatabase,
        vectors: Vectors,
        settings: Preferences,
        may_choose_folders: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._definitions, self._database, self.vectors = definitions, database, vectors
        self._settings, self._may_choose_folders, self._clock = settings, may_choose_folders, clock
        self._closing = threading.Event()
        self._reader = Reader(database, vectors, self._is_over)
        self._changed = threading.Condition()
        self._progress: dict[str, Progress] = {}
        self._looked: dict[str, float] = {}
        self._queue: queue.SimpleQueue[Definition | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def embedder(self) -> str:
        """The model of the vectors: vectors.PACKAGE_MODEL, a name in the models folder, or "" for words only."""
        return str(self._settings.get(EMBEDDER, ""))

    def choose_embedder(self, name: str) -> None:
        """Use the vectors of this model from now on, and make them in the background."""
        self._settings.set(EMBEDDER, name or None)
        for one in self._definitions.all():
            self._enqueue(one)

    def names(self) -> list[str]:
        """Return the names of all knowledge."""
        return [one.name for one in self._definitions.all()]

    def states(self) -> list[KnowledgeState]:
        """Return all knowledge by name."""
        counts, embedder = self._database.counts(), self.embedder
        return [self._state(one, counts.get(one.id, (0, 0)), embedder) for one in self._definitions.all()]

    def _state(self, one: Definition, counts: tuple[int, int], embedder: str) -> KnowledgeState:
        with self._changed:
            progress = self._progress.get(one.id, Progress())
        documents = self._database.documents(one.id).values()
        problems = [(stored.path, stored.problem) for stored in documents if stored.problem]
        return KnowledgeState(
            one.name,
            str(one.folder),
            one.own,
            *counts,
            self._database.count_vectors(one.id, embedder) if embedder else 0,
            progress.phase,
            progress.done,
            progress.total,
            progress.notes,
            tuple(problems[:_PROBLEMS]),
        )

    def create(self, name: str, folder: str = "") -> str:
        """Add a knowledge and read its folder in the background. Return its name. Raises KnowledgeError.

        `folder`: of its documents, "" for a new folder that files are added to.
        """
        if folder.strip() and not self._may_choose_folders():
            raise KnowledgeError("Only an admin may name folders of this computer. Add files instead.")
        one = self._definitions.create(name, folder)
        self._enqueue(one)
        return one.name

    def remove(self, name: str) -> None:
        """Remove a knowledge and what was read of it. Its folder and its files stay where they are."""
        one = self._definitions.find(name)
        self._definitions.remove(one)
        self._forget(one)

    def refresh(self, name: str) -> None:
        """Look for new, changed and removed documents in the background."""
        self._enqueue(self._definitions.find(name))

    def read_now(self, name: str, report: Report) -> KnowledgeState:
        """Look for new, changed and removed documents; blocking. Raises KnowledgeError."""
        one = self._definitions.find(name)
        self._read(one, report)
        return next(state for state in self.states() if state.name == one.name)

    # Files of a folder that Paddock made

    def files(self, name: str) -> list[str]:
        """Return the names of the files that were added to a knowledge."""
        one = self._own(name)
        found = (path for path in one.folder.iterdir() if path.is_file() and not path.name.startswith("."))
        return sorted(printable_name(path.name) for path in found)

    def add_file(self, name: str, file: str, content: bytes) -> str:
        """Add a file to a knowledge of Paddock's own, and read it in the background. Return its name there."""
        one = self._own(name)
        if not content or len(content) > MOST_BYTES:
            raise KnowledgeError(f"A document has at most {MOST_BYTES // 1_000_000} MB, and at least one byte.")
        path = one.folder / (attachment_name(file).lstrip(".") or "file")
        if not (path.is_file() and path.read_bytes() == content):
            path = free_path(path, " ")
            write_atomically(path, content)
        self._enqueue(one)
        return path.name

    def remove_file(self, name: str, file: str) -> None:
        """Remove a file that was added. Raises KnowledgeError if there is none."""
        one = self._own(name)
        if file not in self.files(name):
            raise KnowledgeError(f"There is no file {file[:100]!r} in {one.name}.")
        (one.folder / file).unlink(missing_ok=True)
        self._enqueue(one)

    def _own(self, name: str) -> Definition:
        one = self._definitions.find(name)
        if not one.own:
            raise KnowledgeError(f"{one.name} is the folder {one.folder}. Put files there with any other program.")
        one.folder.mkdir(parents=True, exist_ok=True)
        return one

    # Questions

    def search(self, names: Sequence[str], question: str, most: int) -> tuple[list[StoredPassage], list[str]]:
        """Return the passages that match the question best, and sentences about what hindered it; blocking.

        A passage is found by its words, and by its meaning where there are vectors. Names that are gone are noted.
        """
        known = {one.name.casefold(): one for one in self._definitions.all()}
        found = [known[name.casefold()] for name in names if name.casefold() in known]
        notes = [f"There is no knowledge named {name!r} any more." for name in names if name.casefold() not in known]
        if not found:
            return [], notes
        ids, embedder = [one.id for one in found], self.embedder
        rankings = [self._database.search(ids, question, _RANKED)]
        if embedder:
            try:
                rankings.append(self.vectors.search(ids, embedder, question, _RANKED))
            except PaddockError as error:
                notes.append(f"The passages were chosen by their words only. {error.message}")
        passages = self._database.passages(fuse(rankings, most))
        by_id = {one.id: one.name for one in found}
        return [replace(one, knowledge=by_id[one.knowledge]) for one in passages if one.knowledge in by_id], notes

    def prepare(self, names: Sequence[str], seconds: float) -> list[str]:
        """Look whether the documents have changed, and wait for at most `seconds` until they are read again.

        Return sentences about what is not read yet.
        """
        wanted = [one for one in self._definitions.all() if one.name.casefold() in {name.casefold() for name in names}]
        for one in wanted:
            self._look(one)
        with self._changed:
            self._changed.wait_for(lambda: not any(self._is_reading(one) for one in wanted), seconds)
            late = [one for one in wanted if self._is_reading(one)]
            return [describe_late(one.name, self._progress[one.id]) for one in late]

    def _is_reading(self, one: Definition) -> bool:
        return self._progress.get(one.id, Progress()).phase in (WAITS, READS)

    def _look(self, one: Definition) -> None:
        now = self._clock()
        if now - self._looked.get(one.id, -_LOOK_SECONDS) < _LOOK_SECONDS:
            return
        self._looked[one.id] = now
        try:
            if not self._reader.is_fresh(one):
                self._enqueue(one)
        except OSError:
            self._enqueue(one)  # Reading says why.

    def document(self, id: int) -> tuple[str, str]:
        """Return (path, text) of a document. Raises KnowledgeError if it is not there any more."""
        knowledge, path, text = self._database.document(id)
        if all(one.id != knowledge for one in self._definitions.all()):
            raise KnowledgeError("The knowledge of this document was removed.")
        return path, text

    # The thread that reads

    def _enqueue(self, one: Definition) -> None:
        with self._changed:
            if self._closing.is_set() or self._progress.get(one.id, Progress()).phase == WAITS:
                return
            self._progress[one.id] = Progress(WAITS)
            self._queue.put(one)
            if self._thread is None:
                self._thread = host_thread("knowledge", self._run, "Reading the documents of the knowledge")
                self._thread.start()

    def _run(self) -> None:
        while (one := self._queue.get()) is not None and not self._closing.is_set():
            try:
                self._read(one, lambda phase, done, total: None)
            except PaddockError as error:
                self._set(one, Progress(FAILED, notes=(error.message,)))
            except Exception as error:
                self._set(one, Progress(FAILED, notes=(f"The documents could not be read ({error}). Try again.",)))

    def _read(self, one: Definition, report: Report) -> None:
        def note(phase: str, done: int, total: int) -> None:
            self._set(one, Progress(phase, done, total))
            report(phase, done, total)

        note(READS, 0, 0)
        outcome = self._reader.read(one, self.embedder, note)
        vectors = (f"Passages are found by their words only. {outcome.vectors}",) if outcome.vectors else ()
        self._set(one, Progress(READY, notes=(*outcome.notes, *vectors)))
        if all(known.id != one.id for known in self._definitions.all()):
            self._forget(one)

    def _is_over(self, one: Definition) -> bool:
        return self._closing.is_set() or all(known.id != one.id for known in self._definitions.all())

    def _forget(self, one: Definition) -> None:
        self._database.remove(one.id)
        self.vectors.remove(one.id)

    def _set(self, one: Definition, progress: Progress) -> None:
        with self._changed:
            self._progress[one.id] = progress
            self._changed.notify_all()

    def close(self) -> None:
        """End the reading after the present document, and close the files."""
        self._closing.set()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(5.0)
        self.vectors.close()
        self._database.close()
