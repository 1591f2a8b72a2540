"""Which probe asks which loader, how its engine departs from the definitions, and what nobody can measure."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import ALWAYS_HONOURED, SamplingParams
from modules.protocol.schema import describe
from tests.conformance.cases import CASES, Case
from tests.conformance.reference import Departures


@dataclass(frozen=True)
class Engine:
    """`close`: how far probabilities may be off. `draws`: how often it draws where shares are counted. `wild`:
    parameters that together give what no formula tells."""

    probe: str
    departures: Departures = Departures()
    # float32 against float64, through a chain of samplers.
    close: float = 2e-5
    draws: int = 600
    wild: frozenset[str] = frozenset()

    def tells(self, case: Case) -> bool:
        """Whether the case has no wild pair."""
        return not self.wild or not self.wild <= {case.sampler, *case.params}


_TRANSFORMERS = Engine("probe_transformers")
# Its penalties reach beyond all logits long before this many tokens.
_ENDLESS = 1_000_000
ENGINES = {
    **dict.fromkeys(("transformers", "autoawq", "autogptq", "gptqmodel", "hqq"), _TRANSFORMERS),
    "llamacpp": Engine("probe_llamacpp", Departures(xtc_protects=False, dry_longest=_ENDLESS)),
    # Its logits pass through the server's log-probabilities and back.
    "xllamacpp": Engine(
        "probe_xllamacpp",
        Departures(
            xtc_protects=False,
            dry_longest=_ENDLESS,
            mirostat_hears_penalties=False,
            cut_tokens_mislead=True,
        ),
        close=1e-3,
        draws=200,
        wild=frozenset({"typical_p", "min_p"}),
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
# No probabilities: a grammar is judged by the texts it lets through, in tests/contract.
NOT_NUMBERS = {"grammar_string"}


def samplers() -> list[str]:
    """The leading parameter of every sampler, in the order of the page."""
    names = [entry.name for entry in describe(SamplingParams)]
    return [name for name in names if name not in ALWAYS_HONOURED and name not in PARTS]


def cases(spec: LoaderSpec) -> list[Case]:
    """Those that name only what the loader declares."""
    return [case for case in CASES if {case.sampler, *case.params} <= spec.samplers]


def measured(spec: LoaderSpec, sampler: str) -> bool:
    """Whether what it does is compared with the reference, in numbers."""
    return spec.name in ENGINES and any(case.sampler == sampler for case in cases(spec))
