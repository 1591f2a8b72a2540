"""The Workshop's routes, under /paddock/workshop: its state, recommendations, jobs, exports,
texts for jobs, and discarded models."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import AfterValidator, BaseModel, Field

from modules.files.data_files import fix_surrogates
from modules.jobs.export import export_text
from modules.protocol.errors import PaddockError
from modules.ui.model_status import describe_state
from modules.ui.page_words import errors_in_page_words
from modules.ui.sse import sse_response
from modules.ui.workshop import Workshop, follow_workshop, make_spec

if TYPE_CHECKING:
    from modules.app import App

# A text without halves of characters, which cannot be stored.
Text = Annotated[str, AfterValidator(fix_surrogates)]
_MEDIA = {"csv": "text/csv", "json": "application/json", "md": "text/markdown"}


class RecommendRequest(BaseModel):
    """What a recommendation is asked for. `device`: as `recommend --device` takes it; "" for this machine."""

    model: Text
    aim: Text = "balance"
    context: int = Field(0, ge=0, le=2**31)
    device: Text = ""
    fine_tune: bool = False
    calibration: bool = True


class JobRequest(BaseModel):
    """A job to start: the fields of JobSpec."""

    kind: Text
    model: Text = ""
    method: Text = ""
    name: Text = ""
    settings: dict[Text, Text] = {}
    text: Text = ""
    against: Text = ""
    models: list[Text] = []
    tasks: Text = ""
    adapter: Text = ""
    to: Text = "folder"


class BlindRequest(BaseModel):
    """Two models whose answers are to be judged, or a vote."""

    models: list[Text] = []
    place: int = 0
    better: Text = ""


class ModelRequest(BaseModel):
    """A model to load with an adapter, to rename or to discard, or what restores one."""

    model: Text = ""
    name: Text = ""
    adapter: Text = ""
    trash: Text = ""


def add_workshop_routes(routes: APIRouter, app: App) -> None:
    """Add the Workshop's routes."""
    workshop = Workshop(app)

    @routes.get("/workshop/state")
    def state() -> dict[str, object]:
        return workshop.state()

    @routes.get("/workshop/events")
    async def events() -> StreamingResponse:
        return sse_response(follow_workshop(app, workshop))

    @routes.post("/workshop/recommend")
    def recommend(request: RecommendRequest) -> dict[str, object]:
        with errors_in_page_words({}):
            return workshop.recommend(**request.model_dump())

    @routes.post("/workshop/plan")
    def plan(request: JobRequest) -> dict[str, object]:
        """Return what a quantization will make, and the time, memory and disk that it will take."""
        spec = make_spec(request.model_dump())
        with errors_in_page_words(workshop.labels(spec)):
            return app.jobs.plan(spec)

    @routes.post("/workshop/jobs")
    def start(request: JobRequest) -> dict[str, object]:
        """Start a job, or let it wait for those before it."""
        spec = make_spec(request.model_dump())
        with errors_in_page_words(workshop.labels(spec)):
            return {"id": app.job_queue.add(spec)}

    @routes.get("/workshop/jobs/{id}")
    def job(id: str) -> dict[str, Any]:
        return workshop.job(id)

    @routes.get("/workshop/jobs/{id}/training")
    def training(id: str) -> dict[str, object]:
        """Return the losses and the answers of a training so far."""
        return app.jobs.training_curve(id)

    @routes.put("/workshop/texts/{name}")
    async def keep_text(name: str, request: Request) -> dict[str, object]:
        """Store a file for a job; return its path."""
        content = await request.body()
        return {"path": await asyncio.to_thread(workshop.keep_text, name, content)}

    @routes.post("/workshop/jobs/{id}/{verb}")
    def act(id: str, verb: str) -> dict[str, object]:
        verbs = {"cancel": app.job_queue.cancel, "resume": app.job_queue.resume}
        if verb not in verbs:
            raise PaddockError(f"A job has no action named {verb[:40]!r}. The actions are: {', '.join(verbs)}.")
        verbs[verb](id)
        return {"result": None}

    @routes.post("/workshop/jobs/{id}/blind/{verb}")
    def blind(id: str, verb: str, request: BlindRequest) -> dict[str, object]:
        """Begin a blind comparison, vote, or show the names; return what is to be shown of it."""
        tests = app.jobs.blind
        if verb == "start":
            return tests.start(id, *[*request.models, "", ""][:2])
        if verb == "vote":
            return tests.vote(id, request.place, request.better)
        if verb == "reveal":
            return tests.reveal(id)
        raise PaddockError(f"A blind comparison has no action named {verb[:40]!r}. Use start, vote or reveal.")

    @routes.get("/workshop/jobs/{id}/export.{ending}")
    def export(id: str, ending: str) -> Response:
        results = app.jobs.results(id)
        if not results:
            raise PaddockError(f"Job {id[:20]} has no results yet. Wait until it is finished.")
        table = results if "rows" in results else {**results, "rows": [results]}
        text = export_text(table, f".{ending}")
        head = {"Content-Disposition": f'attachment; filename="paddock-job-{id}.{ending}"'}
        return Response(text, media_type=_MEDIA[ending], headers=head)

    @routes.post("/workshop/adapters/load")
    def load_with_adapter(request: ModelRequest) -> dict[str, object]:
        """Load a model with an adapter. Blocks until it is loaded; the event streams send the progress."""
        workshop.load_with_adapter(request.model, request.adapter)
        return describe_state(app)

    @routes.post("/workshop/models/{verb}")
    def change(verb: str, request: ModelRequest) -> dict[str, object]:
        """Rename or discard a model or an adapter, or restore one."""
        models = app.model_management
        if verb == "rename":
            name = models.rename(request.model, request.name)
            app.job_queue.announce()
            return {"model": name}
        if verb == "discard":
            return {"trash": models.discard(request.model)}
        if verb == "restore":
            return {"model": models.restore(request.trash)}
        raise PaddockError(f"A model has no action named {verb[:40]!r}. The actions are: rename, discard, restore.")
