"""Read the generator's results."""

from __future__ import annotations

from typing import Any

from modules.worker.exllama.batcher import RunningJob
from modules.worker.exllama.lengths import PAGE

FINISH_REASONS = {"stop_token": "stop", "end_filter": "stop", "max_new_tokens": "length"}


def token_ids(result: dict[str, Any]) -> list[int]:
    """Return the token ids in a result, including those held back until the end.

    The token that ended the reply is left out.
    """
    parts = [result.get("token_ids"), result.get("held", {}).get("token_ids")]
    found = [int(token) for part in parts if part is not None for token in part.reshape(-1).tolist()]
    return found[:-1] if result.get("eos_reason") == "stop_token" and found else found


def cached_tokens(ticket: RunningJob, last: dict[str, Any]) -> int:
    """Return how many prompt tokens were in the cache, from the last result or from a job that ended early."""
    if "cached_tokens" in last:
        return int(last["cached_tokens"])
    return int(getattr(ticket.job, "cached_pages", 0) * PAGE + getattr(ticket.job, "cached_tokens", 0))


def drafted_tokens(ticket: RunningJob) -> tuple[int, int]:
    """Return how many tokens were drafted for a job, and how many of them the model accepted."""
    accepted, rejected = (int(getattr(ticket.job, f"{kind}_draft_tokens", 0)) for kind in ("accepted", "rejected"))
    return accepted + rejected, accepted
