"""Prints a benchmark's figures: as a table, or with --json as one object per line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Figure:
    """One figure. `case`: the loader or the size. `ratio`: of the two compared sides, if any. `more`: other figures of
    this case, by name."""

    bench: str
    case: str
    value: float
    unit: str
    ratio: float | None = None
    more: Mapping[str, float] = field(default_factory=dict)

    def show(self, as_json: bool) -> None:
        """Print it."""
        if as_json:
            fields = asdict(self)
            more = fields.pop("more")
            print(json.dumps({**fields, **more}), flush=True)
            return
        ratio = "" if self.ratio is None else f"   ratio {self.ratio:.3f}"
        ratio += "".join(f"   {name} {value:.4g}" for name, value in self.more.items())
        print(f"{self.bench:<10} {self.case:<28} {self.value:>12.4g} {self.unit:<10}{ratio}", flush=True)


def median(values: Sequence[float]) -> float:
    """Return the median."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
