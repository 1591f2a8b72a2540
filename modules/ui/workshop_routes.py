"""The Workshop's routes, under /paddock/workshop: its state, recommendations, jobs, exports and discarded models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from pydantic import AfterValidator, BaseModel

from modules.files.data_files import fix_surrogates
from modules.jobs.export import export_text
from modules.protocol.errors import PaddockError
from modules.ui.sse import sse_response
from modules.ui.workshop import Workshop, follow_workshop, make_spec

if TYPE_CHECKING:
    from modules.app import App

# A text without halves of characters, which cannot be stored.
Text = Annotated[str, AfterValidator(fix_surrogates)]
_MEDIA = {"csv": "text/csv", "json": "application/json", "md": "text/markdown"}


class RecommendRequest(BaseModel):
    """What a recommendation is asked for."""

    model: Text
    aim: Text = "balance"
    context: int = 0


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


class ModelRequest(BaseModel):
    """A model to discard, or what restores one."""

    model: Text = ""
    trash: Text = ""


def add_workshop_routes(routes: APIRouter, app: App) -> None:
    """Add the Workshop's routes."""
    workshop = Workshop(app)

    @routes.get("/workshop/state")
    def state() -> dict[str, Any]:
        return workshop.state()

    @routes.get("/workshop/events")
    async def events() -> StreamingResponse:
        return sse_response(follow_workshop(app, workshop))

    @routes.post("/workshop/recommend")
    def recommend(request: RecommendRequest) -> dict[str, Any]:
        return workshop.recommend(request.model, request.aim, request.context)

    @routes.post("/workshop/plan")
    def plan(request: JobRequest) -> dict[str, Any]:
        """Return what a quantization will make, and the time, memory and disk that it will take."""
        return app.jobs.plan(make_spec(request.model_dump()))

    @routes.post("/workshop/jobs")
    def start(request: JobRequest) -> dict[str, Any]:
        """Start a job, or let it wait for those before it."""
        return {"id": app.job_queue.add(make_spec(request.model_dump()))}

    @routes.get("/workshop/jobs/{id}")
    def job(id: str) -> dict[str, Any]:
        return workshop.job(id)

    @routes.post("/workshop/jobs/{id}/{verb}")
    def act(id: str, verb: str) -> dict[str, Any]:
        verbs = {"cancel": app.job_queue.cancel, "resume": app.job_queue.resume}
        if verb not in verbs:
            raise PaddockError(f"A job has no action named {verb[:40]!r}. The actions are: {', '.join(verbs)}.")
        verbs[verb](id)
        return {"result": None}

    @routes.get("/workshop/jobs/{id}/export.{ending}")
    def export(id: str, ending: str) -> Response:
        results = app.jobs.results(id)
        if not results:
            raise PaddockError(f"Job {id[:20]} has no results yet. Wait until it is finished.")
        table = results if "rows" in results else {**results, "rows": [results]}
        text = export_text(table, f".{ending}")
        head = {"Content-Disposition": f'attachment; filename="paddock-job-{id}.{ending}"'}
        return Response(text, media_type=_MEDIA[ending], headers=head)

    @routes.post("/workshop/models/discard")
    def discard(request: ModelRequest) -> dict[str, Any]:
        return {"trash": workshop.discard(request.model)}

    @routes.post("/workshop/models/restore")
    def restore(request: ModelRequest) -> dict[str, Any]:
        return {"model": workshop.restore(request.trash)}
