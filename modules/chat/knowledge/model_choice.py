"""Chooses the model whose vectors knowledge uses. The small one's packages are installed first, in the background."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from modules.chat.knowledge.index_file import KnowledgeError
from modules.chat.knowledge.knowledge import Knowledge
from modules.chat.knowledge.vectors import PACKAGE_MODEL
from modules.protocol.errors import PaddockError
from modules.system.threads import host_thread


@dataclass(frozen=True)
class InstallState:
    """How an install of the packages is: it runs, or it failed with this sentence."""

    running: bool = False
    error: str = ""


class ModelChoice:
    """Chooses a model for the knowledge of one account. Thread-safe. `may_install`: whether it may install packages."""

    def __init__(self, knowledge: Knowledge, may_install: bool) -> None:
        self._knowledge, self._may_install = knowledge, may_install
        self._lock = threading.Lock()
        self.install = InstallState()

    def choose(self, name: str) -> None:
        """Use this model: a name in the models folder, PACKAGE_MODEL, or "" for words only. Raises KnowledgeError."""
        vectors = self._knowledge.vectors
        if not name or vectors.installed:
            self._knowledge.choose_embedder(name)
            return
        if not self._may_install:
            raise KnowledgeError("Only an admin may install packages. Ask the person who runs this Paddock.")
        with self._lock:
            if self.install.running:
                return
            self.install = InstallState(running=True)
        host_thread("knowledge-install", lambda: self._run(name), "Installing the packages of the knowledge").start()

    def _run(self, name: str) -> None:
        error = "The packages could not be installed. Try again."
        try:
            self._knowledge.vectors.install()
            self._knowledge.choose_embedder(name)
            error = ""
        except PaddockError as problem:
            error = problem.message
        finally:
            self.install = InstallState(error=error)


def describe_choice(name: str, installed: bool) -> str:
    """Return the name of a choice for the page."""
    if not name:
        return "Words only"
    if name != PACKAGE_MODEL:
        return name
    return "WordLlama, a small model for English" + ("" if installed else " (installs about 190 MB)")
