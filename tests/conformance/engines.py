"""Assigns a probe to each loader, and lists how its engine differs from the definitions and what cannot be measured."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import ALWAYS_HONOURED, SamplingParams
from modules.protocol.schema import describe
from tests.conformance.cases import CASES, Case
from tests.conformance.reference import Departures


@dataclass(frozen=True)
class Engine:
    """How a loader is measured. `tolerance`: the largest allowed difference of probabilities. `draws`: the number of
    draws when they are counted. `unpredictable`: parameters that together give results without a formula."""

    probe: str
    departures: Departures = Departures()
    # float32 against float64, through a chain of samplers.
    tolerance: float = 2e-5
    draws: int = 600
    unpredictable: frozenset[str] = frozenset()

    def is_predictable(self, case: Case) -> bool:
        """Return True unless the case has all of the unpredictable parameters."""
        return not self.unpredictable or not self.unpredictable <= {case.sampler, *case.params}


_TRANSFORMERS = Engine("probe_transformers")
# Its penalties exceed all logits long before this many tokens.
_ENDLESS = 1_000_000
ENGINES = {
    **dict.fromkeys(("transformers", "autoawq", "autogptq", "gptqmodel", "hqq"), _TRANSFORMERS),
    "llamacpp": Engine("probe_llamacpp", Departures(xtc_protects=False, dry_longest=_ENDLESS)),
    # Its logits are converted to the server's log-probabilities and back.
    "xllamacpp": Engine(
        "probe_xllamacpp",
        Departures(
            xtc_protects=False,
            dry_longest=_ENDLESS,
            mirostat_hears_penalties=False,
            cut_tokens_mislead=True,
        ),
        tolerance=1e-3,
        draws=200,
        unpredictable=frozenset({"typical_p", "min_p"}),
    ),
}

# Parameters that are part of another's sampler.
PARTS = {
    "dynatemp_low": "dynamic_temperature",
    "dynatemp_high": "dynamic_temperature",
    "dynatemp_exponent": "dynamic_temperature",
    "smoothing_curve": "smoothing_factor",
    "xtc_threshold": "xtc_probability",
    "adaptive_decay": "adaptive_target",
    "dry_allowed_length": "dry_multiplier",
    "dry_base": "dry_multiplier",
    "dry_sequence_breakers": "dry_multiplier",
    "repetition_penalty_range": "repetition_penalty",
    "mirostat_tau": "mirostat_mode",
    "mirostat_eta": "mirostat_mode",
    "negative_prompt": "guidance_scale",
}
# Without probabilities: tests/contract tests a grammar by the texts that it allows.
NOT_NUMBERS = {"grammar_string", "json_schema"}


def samplers() -> list[str]:
    """Return the main parameter of every sampler, in the order of the page."""
    names = [entry.name for entry in describe(SamplingParams)]
    return [name for name in names if name not in ALWAYS_HONOURED and name not in PARTS]


def cases(spec: LoaderSpec) -> list[Case]:
    """Return the cases that use only parameters which the loader declares."""
    return [case for case in CASES if {case.sampler, *case.params} <= spec.samplers]


def measured(spec: LoaderSpec, sampler: str) -> bool:
    """Return True if the loader's sampler is compared with the reference in numbers."""
    return spec.name in ENGINES and any(case.sampler == sampler for case in cases(spec))
