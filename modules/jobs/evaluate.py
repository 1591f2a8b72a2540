"""The job that measures a model: perplexity, distance from the original, speed, memory, size, and checks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from modules.jobs.checks import ask_questions, judge, judge_load
from modules.jobs.divergence import Totals, add_window
from modules.jobs.job_run import JobRun
from modules.jobs.job_spec import JobError, JobSpec
from modules.jobs.quantize import bits_per_weight
from modules.jobs.reference import Reference
from modules.jobs.resources import JobResources
from modules.jobs.scoring import SCORE_SECONDS, score
from modules.jobs.speed import measure_speed
from modules.jobs.tasks import Tasks, read_tasks, run_tasks
from modules.jobs.texts import TextRows
from modules.jobs.windows import EvaluateSettings, Window, make_windows
from modules.protocol.commands import ChatPrompt, Tokenize
from modules.protocol.errors import SettingError, Unsupported
from modules.protocol.events import ModelInfo
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.schema import build, changed_values, describe
from modules.runtime.load_request import LoadRequest
from modules.runtime.worker_client import WorkerClient


def plan_evaluate(spec: JobSpec, resources: JobResources) -> None:
    """Raise PaddockError where a setting is wrong, or the text or the questions cannot be read."""
    _, others = split_settings(spec.settings)
    for model in (spec.models or [spec.model]) if others else []:
        _check_names(resources.loaders.choose(model, spec.loader)[0], others)
    resources.texts.check(spec.text)
    if spec.tasks:
        read_tasks(spec.tasks)


def run_evaluate(spec: JobSpec, run: JobRun, resources: JobResources) -> dict[str, Any]:
    """Measure `spec.model`, against `spec.against` where it is named. Return the numbers, ready for JSON."""
    session = open_evaluation(spec, run, resources)
    if spec.against:
        with run.part(0.0, 0.3):
            session.read_original(spec.against)
        with run.part(0.3, 0.4):
            session.measure_original()
    with run.part(0.4 if spec.against else 0.0, 1.0):
        return session.measure(spec.model, spec.loader, spec.settings)


def open_evaluation(spec: JobSpec, run: JobRun, resources: JobResources) -> Evaluation:
    """Return an evaluation of the job's text. Its files of logits lie in the job's folder until the end of the run."""
    rows = resources.texts.evaluation(spec.text, run.report)
    tasks = read_tasks(spec.tasks) if spec.tasks else None
    return Evaluation(run, resources, rows, run.scratch, spec.settings, tasks)


def split_settings(settings: Mapping[str, str]) -> tuple[EvaluateSettings, dict[str, str]]:
    """Return the settings of the evaluation, and the others, which are the loader's. Raises SettingError."""
    names = _own_names()
    own = {key: value for key, value in settings.items() if key in names}
    return build(EvaluateSettings, own), {key: value for key, value in settings.items() if key not in names}


def _own_names() -> list[str]:
    return sorted(entry.name for entry in describe(EvaluateSettings))


def _check_names(spec: LoaderSpec, names: Iterable[str]) -> None:
    """Raise SettingError where the loader has no setting of one of these names."""
    known = {entry.name for entry in describe(spec.settings)}
    for name in names:
        if name not in known:
            there = f"{spec.title} has: {', '.join(sorted(known))}. Evaluation has: {', '.join(_own_names())}."
            raise SettingError(f"There is no setting named {name!r}. {there}")


class Evaluation:
    """Measures one model after another on the same text."""

    def __init__(
        self,
        run: JobRun,
        resources: JobResources,
        rows: TextRows,
        folder: Path,
        settings: Mapping[str, str],
        tasks: Tasks | None = None,
    ) -> None:
        self.settings, _ = split_settings(settings)
        self._run, self._resources, self._rows, self._folder = run, resources, rows, folder
        self._tasks = tasks
        self.reference = Reference()

    def read_original(self, model: str, loader: str = "") -> None:
        """Let the original score the text and answer the questions; keep what it said."""
        run, reference = self._run, self.reference
        request = self._request(model, loader, {}, exact=True)
        with self._loaded(request) as (client, info):
            self._take_text(client, info)
            with contextlib.suppress(Unsupported):
                for number, window in enumerate(reference.windows):
                    run.report(f"Reading the text with {model}", number / len(reference.windows))
                    file = self._folder / f"original-{number}.f32"
                    if score(client, window.tokens, window.first, file).known is not None:
                        break
                    reference.logits.append(file)
            reference.answers = ask_questions(client, lambda step, fraction: run.report(step))
        reference.model, reference.size_bytes = model, request.facts.size_bytes

    def measure_original(self, loader: str = "") -> None:
        """Measure the speed and the memory of the original, to judge others by."""
        if self.settings.speed:
            plain = self._request(self.reference.model, loader, {}, exact=False)
            self.reference.speed = measure_speed(plain, self._plain_text(), self._run, self._resources)

    def measure(self, model: str, loader: str, settings: Mapping[str, str]) -> dict[str, Any]:
        """Return the numbers of one model, ready for JSON."""
        run, reference = self._run, self.reference
        _, own = split_settings(settings)
        # Weights may be packed while they are loaded.
        is_original = model == reference.model and not own and not loader
        request = self._request(model, loader, own, exact=True)
        totals, tasks = Totals(), self._tasks
        file = self._folder / "model.f32"
        found: dict[str, Any] | None = None
        with run.part(0.0, 0.7), self._loaded(request) as (client, info):
            if not reference.model:
                self._take_text(client, info)
            with run.part(0.0, 0.6 if tasks else 1.0):
                note = self._score_text(client, model, totals, file)
            answers = ask_questions(client, lambda step, fraction: run.report(step))
            if tasks:
                with run.part(0.6, 1.0):
                    found = run_tasks(tasks, client, info.context, file, run.report)
        speed: dict[str, Any] = {}
        if self.settings.speed:
            with run.part(0.7, 1.0):
                plain = self._request(model, loader, own, exact=False)
                text = self._plain_text()
                speed = measure_speed(plain, text, run, self._resources)
            if is_original:
                reference.speed = speed
        # The weights of a remote model lie on its server.
        elsewhere = request.facts.format == "remote"
        before = reference.size_bytes if model != reference.model else 0
        checks = judge(
            answers, totals.not_numbers, reference.answers, (request.facts.size_bytes, 0 if elsewhere else before)
        )
        if speed and reference.speed and not is_original:
            checks += judge_load(speed, reference.speed, self._about_loader(request))
        return {
            "model": model,
            "loader": request.spec.name,
            "settings": dict(own),
            "against": reference.model,
            **totals.describe(),
            "tasks": found,
            "mode": self.settings.mode,
            "window": self.settings.window,
            "stride": self.settings.stride if self.settings.mode == "sliding" else None,
            "text": self._rows.source,
            "text_sha256": self._rows.sha256,
            "dtype": info.dtype,
            "bits_per_weight": None if elsewhere else _bits(request, info),
            "size_bytes": None if elsewhere else request.facts.size_bytes,
            "parameters": request.facts.parameters,
            "peak_bytes": None if elsewhere else speed.get("peak_bytes"),
            "weights_bytes": None if elsewhere else speed.get("weights_bytes"),
            "kernel": speed.get("kernel"),
            "load_seconds": speed.get("load_seconds"),
            "prefill_tokens_per_second": speed.get("prefill_tokens_per_second"),
            "decode_tokens_per_second": speed.get("decode_tokens_per_second"),
            "checks": checks,
            "answers": [{"prompt": entry.prompt, "answer": entry.text} for entry in answers],
            "notes": [*note, *self._rows.notes(), *(tasks.notes() if tasks else []), *_skipped(found), *info.notes],
        }

    def _score_text(self, client: WorkerClient, model: str, totals: Totals, file: Path) -> list[str]:
        """Score all windows of the text. Return sentences on what could not be measured."""
        windows, compared, notes = self._windows(client)
        logits = self.reference.logits
        try:
            for number, window in enumerate(windows):
                self._run.report(f"Reading the text with {model}", number / len(windows))
                scores = score(client, window.tokens, window.first, file)
                if scores.known is not None:
                    totals.add_known(scores.known)
                else:
                    original = logits[number] if compared and logits else None
                    add_window(totals, window.tokens[window.first :], scores.vocabulary, file, original)
        except Unsupported as error:
            return [error.message]
        if compared and not totals.compared:
            notes.append("One of the two gives no logits, so their predictions are not compared.")
        return notes

    def _request(self, model: str, loader: str, settings: Mapping[str, str], exact: bool) -> LoadRequest:
        """Return the load of a model. `exact`: compute in float32 where the loader can and nothing else was said."""
        spec, _ = self._resources.loaders.choose(model, loader)
        known = {entry.name: entry for entry in describe(spec.settings)}
        _check_names(spec, settings)
        values: dict[str, object] = dict(settings)
        if exact and "dtype" in known and "dtype" not in values and "float32" in known["dtype"].info.choices:
            values["dtype"] = "float32"
        return self._resources.loading.check_load_beside(model, spec.name, values)

    @contextlib.contextmanager
    def _loaded(self, request: LoadRequest) -> Iterator[tuple[WorkerClient, ModelInfo]]:
        run = self._run
        path = Path(request.facts.path)
        with run.worker(request.spec, path, [self._folder], request.variables) as client:
            name = request.facts.name
            loaded = client.load(
                request.facts.path,
                changed_values(request.settings),
                lambda text, fraction: run.report(f"Loading {name}: {text}"),
            )
            yield client, loaded.info

    def _take_text(self, client: WorkerClient, info: ModelInfo) -> None:
        """Turn the text into tokens and windows, with the tokenizer of the loaded model."""
        reference = self.reference
        reference.tokens = self._tokens(client)
        empty = client.ask(Tokenize(client.next_id(), "", True))
        reference.bos = empty[0] if len(empty) == 1 else None
        if info.context and self.settings.window > info.context:
            raise JobError(
                f"A window of {self.settings.window} tokens is longer than the model's context of {info.context}. "
                f"Lower it: --set window={info.context}."
            )
        reference.windows = make_windows(reference.tokens, self.settings, reference.bos)

    def _tokens(self, client: WorkerClient) -> list[int]:
        text = "\n".join(_row_text(client, row).strip("\n") for row in self._rows.rows) + "\n"
        tokens = list(client.ask(Tokenize(client.next_id(), text, True), timeout=SCORE_SECONDS))
        if len(tokens) < 32:
            raise JobError(
                f"The text has {len(tokens)} tokens, and a perplexity of so few says nothing. Choose a longer text."
            )
        return tokens[: self.settings.tokens]

    def _windows(self, client: WorkerClient) -> tuple[list[Window], bool, list[str]]:
        """Return the windows for the loaded model, whether the original's logits fit them, and notes."""
        reference = self.reference
        if not reference.model:
            return reference.windows, False, []
        tokens = self._tokens(client)
        if tokens == reference.tokens:
            return reference.windows, True, []
        note = f"Its tokenizer splits the text otherwise than that of {reference.model}, so the two are not compared."
        return make_windows(tokens, self.settings, reference.bos), False, [note]

    def _about_loader(self, request: LoadRequest) -> str:
        """Return what the loader says of its kernels for this model on this machine."""
        claim = request.spec.claim(request.facts, self._resources.environments.machine)
        return claim.reason if claim else ""

    def _plain_text(self) -> str:
        """Return text of the rows without any template, for the measurement of speed."""
        parts = [row.get("text") or " ".join(turn["content"] for turn in row["messages"]) for row in self._rows.rows]
        return "\n".join(parts)


def _skipped(found: dict[str, object] | None) -> list[str]:
    """Return a sentence on the questions that the loader could not answer."""
    if not found or not found["skipped"]:
        return []
    return [f"{found['skipped']} questions were not asked. {found['why_skipped']}"]


def _row_text(client: WorkerClient, row: Mapping[str, Any]) -> str:
    if "text" in row:
        return str(row["text"])
    command = ChatPrompt(client.next_id(), row["messages"], variables={"add_generation_prompt": False})
    return str(client.ask(command)["prompt"])


def _bits(request: LoadRequest, info: ModelInfo) -> float:
    """Return the bits kept for each weight: on disk, or in memory where the weights are packed while loading."""
    packed = getattr(request.settings, "quantization", "none") != "none"
    if packed and info.memory_bytes and request.facts.parameters:
        return round(8 * info.memory_bytes / request.facts.parameters, 3)
    return bits_per_weight(request.facts)
