"""Renames, discards and restores models and adapters that nothing uses, for page and command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from modules.jobs.job_spec import RUNNING, WAITING, JobError
from modules.jobs.service import Jobs
from modules.library.rename import rename_model
from modules.library.scan import ModelLibrary
from modules.library.trash import ModelTrash
from modules.protocol.errors import ModelError, PaddockError
from modules.runtime.model_pool import ModelPool

# Called with the old and the new name.
Renamed = Callable[[str, str], None]


class ModelManagement:
    """Changes what is in the models folder. `listeners`: what else stores names of models."""

    def __init__(
        self,
        library: ModelLibrary,
        models: Path,
        trash: Path,
        jobs: Jobs,
        pool: ModelPool,
        listeners: Sequence[Renamed],
    ) -> None:
        self._library = library
        self._models = models
        self._trash = ModelTrash(trash, models, library)
        self._jobs = jobs
        self._pool = pool
        self._listeners = [*listeners, jobs.rename_model]

    def rename(self, old: str, new: str) -> str:
        """Rename a model or an adapter, with what is saved for it; return its new name. Raises PaddockError."""
        self._check_unused(old, "rename it")
        name = rename_model(self._library, self._models, old, new)
        renamed: list[Renamed] = []
        try:
            for listener in self._listeners:
                renamed.append(listener)
                listener(old, name)
        except PaddockError:
            rename_model(self._library, self._models, name, Path(old).name)
            for listener in renamed[:-1]:
                listener(name, old)
            raise
        return name

    def discard(self, name: str) -> str:
        """Move a model or an adapter into the trash; return what restores it. Raises PaddockError if it is in use."""
        self._check_unused(name, "discard it")
        return self._trash.discard(name)

    def restore(self, id: str) -> str:
        """Restore what was discarded; return its name. Raises ModelError."""
        return self._trash.restore(id)

    def discarded(self) -> list[dict[str, str]]:
        """Return what is in the trash, the newest first, each as {"id", "name"}."""
        return self._trash.names()

    def _check_unused(self, name: str, verb: str) -> None:
        for state in self._pool.states():
            if name == state.model and state.phase not in ("empty", "failed"):
                raise ModelError(f"{name} is loaded. Load another model or unload it on the Model tab, then {verb}.")
            if name in state.adapters:
                raise ModelError(f"{name} is applied to {state.model}. Remove it on the Model tab, then {verb}.")
        for job in self._jobs.list():
            used = (job.spec.model, job.spec.against, job.spec.adapter, *job.spec.models)
            if job.state.status in (RUNNING, WAITING) and name in used:
                raise JobError(f"{job.spec.title()} needs {name}. Wait for that job or cancel it.")
