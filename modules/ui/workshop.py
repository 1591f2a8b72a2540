"""The Workshop: what its view shows, and the feed of its jobs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from modules.jobs.hub_texts import HUB_TEXTS
from modules.jobs.job_spec import FINISHED, RUNNING, JobSpec
from modules.jobs.recommend.bandwidth import measure_bandwidth
from modules.jobs.sent_texts import keep_text
from modules.jobs.store import Job
from modules.jobs.windows import EvaluateSettings
from modules.protocol.errors import ModelError, PaddockError
from modules.protocol.model_facts import AIMS, ModelFacts
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.schema import Setting, describe
from modules.ui.model_status import describe_state
from modules.ui.page_words import page_words
from modules.ui.sse import Subscribe, event_stream, sse_event

if TYPE_CHECKING:
    from modules.app import App

# Chats that are offered as text for calibration.
_CHATS = 100
# Formats that hold weights in full precision, where the types of a GGUF file are these.
_FULL_GGUF = ("F32", "F16", "BF16")
# Formats of a folder that an adapter can be trained on.
_TRAINABLE = ("safetensors", "pickle")
# Kind of job -> what the list of jobs says about the model or the adapter that it made.
_MADE = {
    "quantize": ("model", "size_bytes", "source_size_bytes", "bits_per_weight", "seconds", "notes"),
    "train": ("adapter", "model", "steps", "examples", "size_bytes", "seconds", "notes"),
    "merge": ("model", "adapter", "source", "merged_adapter", "size_bytes", "seconds", "notes"),
}


class Workshop:
    """What the Workshop's routes do."""

    def __init__(self, app: App) -> None:
        self._app = app
        # Built here, before requests of several threads use it. Pages that show another view hear of a job's end.
        self._queue = app.job_queue
        self._queue.subscribe_jobs(app.supervisor.state_store.publish)

    @cached_property
    def _bandwidth(self) -> float:
        return measure_bandwidth(self._app.machine.cpus)

    def state(self) -> dict[str, object]:
        """Return the models and adapters, the settings of each method and of a training, and what is in the trash."""
        return {
            "models": self._models(),
            "adapters": [{"name": one.name, "size_bytes": one.size_bytes} for one in self._app.library.adapters()],
            "methods": self._methods(),
            "training": self._training(),
            "texts": self._texts(),
            "trash": self._app.model_management.discarded(),
            "aims": list(AIMS),
            "aim": self._app.config.aim or self._app.settings.get("aim", AIMS[0]),
        }

    def _models(self) -> list[dict[str, object]]:
        rows = []
        for name in self._app.library.names():
            with contextlib.suppress(PaddockError):
                facts = self._app.library.facts(name)
                rows.append(
                    {
                        "name": facts.name,
                        "format": facts.format,
                        "full": is_full_precision(facts),
                        "trainable": facts.format in _TRAINABLE,
                        "size_bytes": facts.size_bytes,
                        "text": facts.purpose in ("", "generate") and not facts.problems,
                    }
                )
        return rows

    def _texts(self) -> list[dict[str, str]]:
        """Return what a job's text can be besides a path: data sets of the hub, and chats, the latest first."""
        hub = [
            {"source": name, "title": f"{name} (hub: {text.calibration.repository})"}
            for name, text in HUB_TEXTS.items()
        ]
        chats = self._app.chats.chats()[:_CHATS]
        return [*hub, *({"source": f"chat:{head.id}", "title": f"Chat: {head.title}"} for head in chats)]

    def _methods(self) -> list[dict[str, object]]:
        """Return each method once, with the settings of the loader that quantizes best."""
        return [
            {
                "name": method.name,
                "title": method.title,
                "sources": list(method.sources),
                "requantize": method.requantize,
                "calibrated": method.calibrated,
                "settings": [_field(setting) for setting in describe(method.settings)],
            }
            for method in self._best_methods().values()
        ]

    def _best_methods(self) -> dict[str, QuantizationMethod]:
        """Return name -> the method, as the loader that quantizes best declares it."""
        best: dict[str, QuantizationMethod] = {}
        for spec in self._app.loaders.offered():
            for method in spec.quantizers:
                if method.name not in best or method.preference > best[method.name].preference:
                    best[method.name] = method
        return best

    def labels(self, spec: JobSpec) -> dict[str, str]:
        """Return setting -> label of its field, for the settings that a job of this kind has."""
        if spec.kind in ("quantize", "merge"):  # a merged model may become a GGUF file
            method = self._best_methods().get(spec.method or "gguf")
            schemas = [method.settings] if method else []
        elif spec.kind == "train":
            schemas = [loader.training for loader in self._app.loaders.offered() if loader.training]
        else:
            schemas = [EvaluateSettings]
        return {setting.name: setting.info.label for schema in schemas for setting in describe(schema)}

    def _training(self) -> list[dict[str, object]]:
        """Return the settings of a training; [] where no loader trains."""
        able = [spec.training for spec in self._app.loaders.offered() if spec.training]
        return [_field(setting) for setting in describe(able[0])] if able else []

    def recommend(
        self, model: str, aim: str, context: int, device: str, fine_tune: bool, calibration: bool
    ) -> dict[str, object]:
        """Rank the methods for a model on this machine, or on the one that `device` describes.

        `calibration`: there is text like what the model will write.
        """
        # The start of the page needs none of these.
        from modules.jobs.recommend.devices import parse_device
        from modules.jobs.recommend.here import recommend_here
        from modules.jobs.recommend.measured import measured_losses
        from modules.jobs.recommend.recommend import Request

        app, here = self._app, self._app.planner.machine()
        if aim not in AIMS:
            raise PaddockError(f"There is no aim named {aim[:40]!r}. The aims are: {', '.join(AIMS)}.")
        machine = parse_device(device, here)
        bandwidth = self._bandwidth if machine is here and not here.gpus else 0.0
        request = Request(model, machine, aim, max(0, context), fine_tune, bandwidth, calibration)
        return recommend_here(request, app.jobs.resources, measured_losses(app.jobs, model))

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs, the newest first, as the page lists them."""
        return [self._row(job) for job in self._app.jobs.list()]

    def job(self, id: str) -> dict[str, Any]:
        """Return one job with its results and its log."""
        jobs = self._app.jobs
        row = self._row(jobs.job(id))
        blind = jobs.blind.find(id) if row["spec"]["kind"] == "compare" and row["status"] == FINISHED else None
        return {**row, "results": jobs.results(id), "blind": blind, "log": jobs.log(id)}

    def _row(self, job: Job) -> dict[str, Any]:
        state = job.state
        progress = self._queue.progress
        if progress and progress[0] == job.id and state.status == RUNNING:
            state = progress[1]
        row = {"id": job.id, "title": job.spec.title(), "spec": asdict(job.spec), **asdict(state), "made": None}
        row["message"] = page_words(state.message, self.labels(job.spec)) if state.message else ""
        if job.spec.kind in _MADE and state.status == FINISHED:
            results = self._app.jobs.results(job.id)
            row["made"] = {name: results.get(name) for name in _MADE[job.spec.kind]}
        return row

    def keep_text(self, name: str, content: bytes) -> str:
        """Store a file that the page sent for a job; return its path."""
        return str(keep_text(self._app.paths.job_texts, name, content))

    def load_with_adapter(self, model: str, adapter: str) -> None:
        """Load the model with this adapter and no other; blocking. Raises PaddockError where no loader applies it."""
        app, state = self._app, self._app.supervisor.state
        format = app.library.adapter(adapter).format
        ranked = [app.registry.get(entry.loader) for entry in app.loaders.rank(model)[1] if entry.runs]
        if state.model == model and state.phase == "ready":
            ranked.insert(0, app.registry.get(state.loader))
        able = next((spec.name for spec in ranked if format in spec.adapters), "")
        if not able:
            raise ModelError(f"No loader here applies {adapter} to {model}. Merge it into the model instead.")
        app.models.load(model, able, adapters={adapter: 1.0})


def is_full_precision(facts: ModelFacts) -> bool:
    """Return True for a model that can be quantized: its weights are numbers of 16 or 32 bits."""
    if facts.format == "gguf":
        return facts.dtype in _FULL_GGUF
    return facts.format == "safetensors"


def _field(setting: Setting) -> dict[str, object]:
    info = setting.info
    return {
        "name": setting.name,
        "kind": setting.kind.__name__,
        "optional": setting.optional,
        "default": setting.default,
        **dataclasses.asdict(info),
    }


def make_spec(values: dict[str, Any]) -> JobSpec:
    """Return the job that a page asks for. Only the fields that the kind of job has are taken."""
    models = list(values["models"])
    if values["kind"] == "compare" and models:
        values = {**values, "model": models[0]}
    return JobSpec(**values)


def follow_workshop(app: App, workshop: Workshop) -> AsyncIterator[bytes]:
    """Return the events of one page that shows the Workshop: `jobs`, `progress` of the running job, and `state`."""
    queue = app.job_queue

    async def events(names: set[str]) -> AsyncIterator[bytes]:
        if "state" in names:
            yield sse_event(describe_state(app), "state")
        if "jobs" in names:
            yield sse_event(workshop.jobs(), "jobs")
        elif "progress" in names and (progress := queue.progress):
            yield sse_event({"id": progress[0], **asdict(progress[1])}, "progress")

    sources: dict[str, Subscribe] = {
        "jobs": queue.subscribe_jobs,
        "progress": queue.subscribe_progress,
        "state": app.supervisor.state_store.subscribe,
    }
    return event_stream(sources, events)
