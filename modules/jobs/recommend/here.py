"""Recommend methods for a model of the library: the same call for the command line and the page."""

from __future__ import annotations

from collections.abc import Callable

from modules.jobs.recommend.gguf_sizes import GgufSizes
from modules.jobs.recommend.methods import Variant
from modules.jobs.recommend.recommend import Request, recommend
from modules.jobs.resources import JobResources
from modules.protocol.errors import ModelError


def recommend_here(
    request: Request, resources: JobResources, measured_loss: Callable[[Variant], float | None]
) -> dict[str, object]:
    """Rank the methods for `request.model`. Raises ModelError for a model that is quantized already."""
    facts = resources.library.facts(request.model)
    try:
        gguf: GgufSizes | ModelError = GgufSizes(facts)
    except ModelError as error:
        gguf = error
    return recommend(request, facts, resources.loaders.offered(), gguf, measured_loss)
