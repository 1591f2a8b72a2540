"""Search the hub for models by name."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import ModelInfo

from modules.library.download_listing import RepositoryId, check_network_settings, explain_error, parse_repository_id
from modules.library.download_staging import DownloadError
from modules.system.threads import host_thread

MOST_RESULTS = 20
_SECONDS = 30.0
_LONGEST_QUERY = 100


@dataclass(frozen=True)
class FoundModel:
    """A repository of the hub. `downloads`: of the last month. `gguf`: it has GGUF files. `gated`: it asks for terms to
    be accepted."""

    repository: str
    downloads: int = 0
    gguf: bool = False
    gated: bool = False


def search_models(query: str, endpoint: str | None = None, seconds: float = _SECONDS) -> list[FoundModel]:
    """Return the models of the hub at `endpoint` (default: HF_ENDPOINT) whose names match, most downloads first.

    Raises DownloadError.
    """
    words = query.strip()
    if not words or len(words) > _LONGEST_QUERY:
        raise DownloadError("Write a part of a model's name, such as qwen3 or gemma, or a repository as owner/name.")
    api = HfApi(endpoint=endpoint)
    check_network_settings()
    try:
        asked = partial(api.list_models, search=words, sort="downloads", limit=MOST_RESULTS)
        return list(_found(_within(seconds, asked)))
    except (httpx2.HTTPError, httpx2.InvalidURL, HfHubHTTPError, OSError) as error:
        raise explain_error(error, RepositoryId(words), str(api.endpoint)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(
            f"{api.endpoint} did not answer like a hub. Check HF_ENDPOINT, and whether your network has a login page.",
            detail=repr(error),
        ) from error


def _within(seconds: float, ask: Callable[[], Iterable[ModelInfo]]) -> list[ModelInfo]:
    """Return what `ask` yields, the first of it. The library sets no time limit for this request."""
    answers: queue.Queue[list[ModelInfo] | Exception] = queue.Queue()

    def run() -> None:
        try:
            answers.put(list(islice(ask(), MOST_RESULTS)))
        except Exception as error:
            answers.put(error)

    host_thread("hub-search", run, "Searching the hub").start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise httpx2.ReadTimeout("no answer") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _found(infos: list[ModelInfo]) -> Iterator[FoundModel]:
    for info in infos:
        try:
            name = parse_repository_id(info.id).repository
        except DownloadError:  # A repository of the hub's first years, without an owner.
            continue
        yield FoundModel(name, int(info.downloads or 0), "gguf" in (info.tags or ()), bool(info.gated))
