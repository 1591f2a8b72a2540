"""Where one worker stands among those that hold one model together, each on another machine.

The host passes it to its worker, and a joined node to its own, in an environment variable. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

VARIABLE = "PADDOCK_NODE_PLACEMENT"


@dataclass(frozen=True)
class NodePlacement:
    """One machine of `count`.

    `rank`: 0 for the host's, whose engine all others connect to at `master_address`:`master_port`. `address` and
    `interface`: this machine's own, by which the others reach it.
    """

    rank: int
    count: int
    master_address: str
    master_port: int
    address: str
    interface: str

    def variables(self) -> dict[str, str]:
        """Return the environment variable for the worker."""
        return {VARIABLE: json.dumps(asdict(self))}


def read_placement(variables: Mapping[str, str]) -> NodePlacement | None:
    """Return the placement in a worker's environment variables, None for a worker that holds a model alone."""
    text = variables.get(VARIABLE, "")
    return NodePlacement(**json.loads(text)) if text else None
