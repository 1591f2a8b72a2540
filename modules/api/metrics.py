"""Measurements for Prometheus, served at /metrics in its text format.

Labels have a limited number of values: routes and methods that exist, and models that were loaded. A name that a
client made up is in none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import psutil
from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from modules.api.authentication import METHODS, METRICS
from modules.api.request_log import end_of
from modules.api.request_record import RequestRecord
from modules.app import App
from modules.generation.generation import Generation
from modules.runtime.model_state import ModelState
from modules.runtime.pool_model import PoolModel

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_RATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_LOAD_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counts requests, generations and loads. Thread-safe."""

    def __init__(self, app: App) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "paddock_requests", "Answered requests to the API", ["route", "method", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "paddock_request_seconds", "From a request to the end of its answer", ["route"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._generations = Counter(
            "paddock_generations", "Generations of page, API and extensions", ["model", "end"], registry=registry
        )
        self._prompt_tokens = Counter("paddock_prompt_tokens", "Tokens of prompts", ["model"], registry=registry)
        self._tokens = Counter("paddock_generated_tokens", "Generated tokens", ["model"], registry=registry)
        self._first_token = Histogram(
            "paddock_time_to_first_token_seconds", "From the start of a generation, queue included, to its first token",
            ["model"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._rate = Histogram(
            "paddock_tokens_per_second", "Decoding speed of a generation", ["model"], buckets=_RATES, registry=registry
        )
        self._loads = Counter("paddock_model_loads", "Loads of models", ["model", "outcome"], registry=registry)
        self._load_seconds = Histogram(
            "paddock_model_load_seconds", "How long loads took", ["model"], buckets=_LOAD_SECONDS, registry=registry
        )
        self._deaths = Counter("paddock_worker_deaths", "Workers that died with a model", ["model"], registry=registry)
        registry.register(_Present(app))
        app.pool.on_model(self._watch)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the measurements in the newest text format that the Accept header names, and the content type."""
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def request_ended(self, record: RequestRecord) -> None:
        """Count an answered request."""
        method = record.method if record.method in METHODS else "other"
        self._requests.labels(record.route, method, str(record.status or "closed")).inc()
        self._request_seconds.labels(record.route).observe(record.seconds)

    def _watch(self, model: PoolModel) -> None:
        """Count what happens in a place for a model from now on, and the model that is loaded there already."""
        supervisor, lock = model.supervisor, threading.Lock()
        before = ModelState()

        def count(state: ModelState) -> None:
            nonlocal before
            with lock:
                earlier, before = before, state
            self._state_changed(earlier, state)

        supervisor.generations.add(self._generation_began)
        supervisor.state_store.subscribe(count)
        count(supervisor.state)

    def _generation_began(self, generation: Generation) -> None:
        counted = threading.Lock()

        def count_once() -> None:
            if generation.done and counted.acquire(blocking=False):
                self._generation_ended(generation)

        generation.on_change(count_once)

    def _generation_ended(self, generation: Generation) -> None:
        model, finished = generation.model, generation.finished
        self._generations.labels(model, end_of(generation)).inc()
        self._tokens.labels(model).inc(generation.tokens)
        if generation.first_token_seconds is not None:
            self._first_token.labels(model).observe(generation.first_token_seconds)
        if finished is None:
            return
        self._prompt_tokens.labels(model).inc(finished.prompt_tokens)
        if finished.decode_seconds > 0 and finished.generated_tokens > 1:
            self._rate.labels(model).observe(finished.generated_tokens / finished.decode_seconds)

    def _state_changed(self, before: ModelState, state: ModelState) -> None:
        if state.phase == "ready" and state.info is not None and before.phase != "ready":
            self._loads.labels(state.model, "ready").inc()
            self._load_seconds.labels(state.model).observe(state.load_seconds)
        elif state.phase == "failed" and before.phase == "ready":
            self._deaths.labels(state.model).inc()
        elif state.phase == "failed" and before.busy:
            self._loads.labels(state.model, "failed").inc()


class _Present(Collector):
    """What holds at the moment of a question: memory, loaded models, running and waiting generations."""

    def __init__(self, app: App) -> None:
        self._app = app

    def collect(self) -> Iterable[Metric]:
        """Yield the measurements."""
        models = [model.supervisor for model in self._app.pool.models]
        memory = GaugeMetricFamily("paddock_memory_bytes", "Resident memory", labels=["process"])
        memory.add_metric(["host"], psutil.Process().memory_info().rss)
        memory.add_metric(["workers"], sum(model.memory_bytes() for model in models))
        yield memory
        loaded = GaugeMetricFamily("paddock_model_loaded", "1 for each loaded model", labels=["model", "loader"])
        running = GaugeMetricFamily("paddock_generations_running", "Generations that engines work on", labels=["model"])
        waiting = GaugeMetricFamily("paddock_generations_waiting", "Generations that wait for a slot", labels=["model"])
        for model in models:
            state = model.state
            if state.phase != "ready":
                continue
            loaded.add_metric([state.model, state.loader], 1)
            now_running, now_waiting = model.queue_lengths()
            running.add_metric([state.model], now_running)
            waiting.add_metric([state.model], now_waiting)
        yield from (loaded, running, waiting)


def router(metrics: Metrics) -> APIRouter:
    """Return the route /metrics."""
    routes = APIRouter()

    @routes.get(METRICS)
    def show(request: Request) -> Response:
        text, kind = metrics.text(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": kind})

    return routes
