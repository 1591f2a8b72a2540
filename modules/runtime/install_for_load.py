"""Builds the environment that a load needs and publishes the progress in the model's state."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.environment import Environments
from modules.runtime.model_state import ModelState
from modules.runtime.state_store import StateStore
from modules.system.threads import explain_errors


def install_for_load(
    environments: Environments,
    spec: LoaderSpec,
    store: StateStore,
    first: ModelState,
    is_latest: Callable[[], bool],
) -> str:
    """Build the loader's environment if it is missing; blocking. Return a sentence if it is not the best variant, since
    that one could not be installed, else "".

    `first`: the state with which the load begins. If a model is ready, it stays ready, and its state shows the progress
    and the error. Nothing is published once `is_latest` returns False. Raises PaddockError.
    """
    planned = environments.status(spec)
    if planned.installed:
        return ""

    def publish(
        text: str, fraction: float | None, phase: str = "installing", error: PaddockError | None = None
    ) -> None:
        def changed(now: ModelState) -> ModelState:
            if not is_latest():
                return now
            base = now if now.phase == "ready" else dataclasses.replace(first, phase=phase)
            return dataclasses.replace(base, text=text, fraction=fraction, error=error)

        store.update(changed)

    try:
        with explain_errors(f"Installing {spec.title}"):
            environments.build(spec, publish)
    except PaddockError as error:
        publish("", None, "failed", error)
        raise
    built = environments.status(spec)
    if not built.variant or not planned.variant or built.variant == planned.variant:
        return ""
    return f"{planned.variant.title} could not be used, so {built.variant.title} is. {built.reason}"
