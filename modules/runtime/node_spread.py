"""What a load over several machines is to its worker. `modules.loading.nodes` makes it, since it knows the machines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

Report = Callable[[str, "float | None"], None]


class NodeSpread(ABC):
    """One load that uses other machines, from the start of its worker to its end.

    `settings`: values that follow from the machines, in place of the user's. `variables`: the worker's environment
    variables. `note`: which machines there are, for the model's notes.
    """

    settings: Mapping[str, object]
    variables: Mapping[str, str]
    note: str

    @abstractmethod
    def prepare(self, report: Report, kill: Callable[[str], None]) -> None:
        """Let the other machines get ready; blocking. Raise PaddockError if one cannot.

        From now on `kill` is called with a sentence when a machine is lost or its part fails.
        """

    @abstractmethod
    def end(self) -> None:
        """Let the other machines end their parts. Called once, when the worker has ended."""
