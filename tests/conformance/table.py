"""Write docs/samplers.md: `python3 -m tests.conformance.table`. A test compares the page with this.

The effect of a sampler comes from SamplingParams, its definition from the reference that loaders are compared with, and
the differences of each loader from its spec.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import wrap
from typing import Any

from loaders.remote.dialects import DIALECTS
from modules.files.paths import write_atomically
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import ALWAYS_HONOURED, SamplingParams
from modules.protocol.sampling_texts import DEFAULT_PRIORITY
from modules.protocol.schema import describe
from modules.runtime.loader_registry import Registry
from tests.conformance import reference_cuts as cuts
from tests.conformance import reference_heat as heat
from tests.conformance.engines import ENGINES, PARTS, measured, samplers
from tests.conformance.reference_memory import AdaptiveP, Mirostat

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "samplers.md"

_REFERENCES: dict[str, Callable[..., Any]] = {
    "temperature": heat.temperature,
    "dynamic_temperature": heat.dynamic_temperature,
    "smoothing_factor": heat.quadratic,
    "top_p": cuts.top_p,
    "min_p": cuts.min_p,
    "top_k": cuts.top_k,
    "typical_p": cuts.typical_p,
    "top_n_sigma": cuts.top_n_sigma,
    "tfs": cuts.tail_free,
    "top_a": cuts.top_a,
    "epsilon_cutoff": cuts.epsilon_cutoff,
    "eta_cutoff": cuts.eta_cutoff,
    "xtc_probability": cuts.xtc,
    "adaptive_target": AdaptiveP,
    "dry_multiplier": heat.dry,
    "repetition_penalty": heat.repetition_penalty,
    "frequency_penalty": heat.frequency_penalty,
    "presence_penalty": heat.presence_penalty,
    "encoder_repetition_penalty": heat.encoder_repetition_penalty,
    "no_repeat_ngram_size": heat.no_repeat_ngram,
    "mirostat_mode": Mirostat,
    "guidance_scale": heat.guidance,
}
# Parameters without a formula.
_WORDS = {
    "do_sample": "Off: take the likeliest token. Only biases, bans and the grammar change the logits.",
    "temperature_last": "The temperatures act after the cut-offs. Adaptive-p and mirostat are always last.",
    "sampler_priority": "The named samplers act first, in that order. Adaptive-p and mirostat are always last.",
    "custom_token_bans": "The logit becomes minus infinity, also if it has a bias.",
    "logit_bias": "Added to the logit before all samplers. OpenAI, API reference: logit_bias.",
    "ban_eos_token": "Bans the tokens that end a text.",
    "json_schema": "Bans what the schema does not allow. "
    "https://json-schema.org/draft/2020-12; docs/api.md lists what is enforced.",
    "grammar_string": "Bans what the grammar does not allow. llama.cpp, grammars/README.md (GBNF).",
}


def page() -> str:
    """Return the text of docs/samplers.md."""
    specs = Registry(ROOT / "loaders").shown()
    groups = _groups([spec for spec in specs if spec.name != "remote"])
    return "\n".join([*_head(groups), *_rows(groups), "", *_differences(groups), *_remote(), *_foot()]) + "\n"


def _groups(specs: list[LoaderSpec]) -> list[list[LoaderSpec]]:
    """Return the loaders, grouped by equal behaviour."""
    groups: dict[str, list[LoaderSpec]] = {}
    for spec in specs:
        engine = ENGINES.get(spec.name)
        groups.setdefault(repr((sorted(spec.samplers), sorted(spec.differs.items()), engine)), []).append(spec)
    return list(groups.values())


def _head(groups: list[list[LoaderSpec]]) -> list[str]:
    columns = ["parameter", "what it does", "definition", *(", ".join(spec.name for spec in group) for group in groups)]
    return [
        "# Samplers",
        "",
        "<!-- generated: python3 -m tests.conformance.table -->",
        "",
        "What each sampling parameter does, who defined it, and which loader honours it. The tests compute these",
        "definitions in float64 (`tests/conformance/reference_*.py`): p is a probability, logit and x are logits, and",
        "entropy is in nats.",
        "",
        "- **yes**: on fixed logits, the loader's engine keeps the same tokens with the same probabilities as the",
        "  definition. `python3 -m tests tests/conformance` measures this in each environment that runs here.",
        "- **differs**: honoured, but not as defined. The difference is described below the table and included in",
        "  the measurement.",
        "- **by name**: not compared in numbers, because the engine does not expose any; its differences are read from",
        "  its source. The parameter is passed to the engine under the engine's own name.",
        "- **no**: not honoured. The page greys it out; the command line and the API warn when it is set.",
        "",
        *_wrapped(
            f"Without `sampler_priority`, samplers act in this order: {', '.join(DEFAULT_PRIORITY)}. Extensions' "
            "hooks, guidance, biases, bans and the grammar act before them. At a temperature of 0 the likeliest token "
            "is taken after the penalties, and no other sampler acts. With `mirostat_mode` no cut-off acts."
        ),
        "",
        _row(columns),
        _row(["---"] * len(columns)),
    ]


def _rows(groups: list[list[LoaderSpec]]) -> list[str]:
    helps = {entry.name: entry.info.help for entry in describe(SamplingParams)}
    lines = []
    for name in samplers():
        parts = [part for part, whole in PARTS.items() if whole == name]
        names = ", ".join(f"`{entry}`" for entry in (name, *parts))
        lines.append(_row([names, helps[name], definition(name), *(_cell(group[0], name) for group in groups)]))
    return lines


def definition(name: str) -> str:
    """Return the formula and its source."""
    reference = _REFERENCES.get(name)
    text = inspect.cleandoc(reference.__doc__ or "") if reference else _WORDS[name]
    # Remove the backticks around parameter names.
    return " ".join(re.sub("`", "", text).split())


def _cell(spec: LoaderSpec, name: str) -> str:
    if name not in spec.samplers:
        return "no"
    word = "differs" if name in spec.differs else "yes"
    return word if measured(spec, name) else {"differs": "differs, by name", "yes": "by name"}[word]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _differences(groups: list[list[LoaderSpec]]) -> list[str]:
    lines = ["## Differences", ""]
    for group in groups:
        spec = group[0]
        missing = [part for part, whole in PARTS.items() if whole in spec.samplers and part not in spec.samplers]
        entries = [f"- `{name}`: {text}" for name, text in sorted(spec.differs.items())]
        entries += [f"- `{part}`: not honoured." for part in missing]
        if entries:
            lines += [f"### {', '.join(spec.title for spec in group)}", "", *entries, ""]
    return lines


def _remote() -> list[str]:
    text = (
        "The loader `remote` passes on the parameters that the server accepts, by name. Loading its model lists the "
        "others, which count as not honoured. How the server applies a parameter depends on the server."
    )
    lines = ["## Remote servers", "", *_wrapped(text), ""]
    for kind, dialect in DIALECTS.items():
        every = set(samplers()) | set(PARTS)
        taken, left = sorted(dialect.samplers & every), sorted(every - dialect.samplers)
        accepted = _names(taken) if len(taken) < len(left) else f"all but {_names(left)}" if left else "all"
        # test_by_name.py compares the requests of both.
        same = " The requests and the differences are those of xllamacpp." if kind == "llama.cpp" else ""
        lines.append(f"- {dialect.title}: {accepted}.{same}")
    return [*lines, ""]


def _wrapped(text: str) -> list[str]:
    return wrap(text, 110, break_long_words=False, break_on_hyphens=False)


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _foot() -> list[str]:
    return [
        "## Seeds",
        "",
        "With the same seed and settings, a loader gives the same text; `tests/contract` tests this for every loader",
        "that it runs. Loaders have different random number generators, so the same seed gives different texts in two",
        "loaders.",
        "",
        f"Every loader honours {_names(sorted(ALWAYS_HONOURED))}.",
    ]


def main() -> None:
    """Write the page."""
    write_atomically(PAGE, page())


if __name__ == "__main__":
    main()
