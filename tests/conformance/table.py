"""`python3 -m tests.conformance.table`: writes docs/samplers.md. A test holds the page to what this gives.

What a sampler does comes from SamplingParams, its definition from the reference that the loaders are compared with, and
what each loader makes of it from its spec.
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
# Those without a formula of their own.
_WORDS = {
    "penalty_alpha": "Su et al. 2022, arXiv 2202.06417.",
    "do_sample": "The likeliest token, of logits with biases, bans and grammar alone.",
    "temperature_last": "The temperatures act after the cut-offs; adaptive-p and mirostat stay last.",
    "sampler_priority": "Those named act first, in that order; adaptive-p and mirostat stay last.",
    "custom_token_bans": "The logit becomes minus infinity, whatever its bias.",
    "logit_bias": "Added to the logit before all samplers. OpenAI, API reference: logit_bias.",
    "ban_eos_token": "Bans the tokens that end a text.",
    "grammar_string": "Bans what the grammar does not allow. llama.cpp, grammars/README.md (GBNF).",
}


def page() -> str:
    """docs/samplers.md."""
    specs = Registry(ROOT / "loaders").shown()
    groups = _groups([spec for spec in specs if spec.name != "remote"])
    return "\n".join([*_head(groups), *_rows(groups), "", *_differences(groups), *_remote(), *_foot()]) + "\n"


def _groups(specs: list[LoaderSpec]) -> list[list[LoaderSpec]]:
    """Loaders that do all the same, together."""
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
        "What each sampling parameter does, who defined it, and which loader honours it. The definitions are those",
        "that the tests work out in float64 (`tests/conformance/reference_*.py`): p is a probability, logit and x are",
        "logits, an entropy is in nats.",
        "",
        "- **yes**: on fixed logits, the tokens that the loader's engine leaves and their probabilities are the",
        "  definition's. `python3 -m tests tests/conformance` measures it in the environments that the machine runs.",
        "- **differs**: honoured, but not as defined; how is told below the table. Measured with that difference.",
        "- **by name**: not compared in numbers, as the engine shows none; how it differs is read from its source. The",
        "  parameter reaches the engine under the engine's own name for it.",
        "- **no**: not honoured. The page greys it; the command line and the API name it when it is asked for.",
        "",
        *_wrapped(
            f"Without `sampler_priority`, samplers act in this order: {', '.join(DEFAULT_PRIORITY)}. Extensions' "
            "hooks, guidance, biases, bans and the grammar come before. At a temperature of 0 the likeliest token is "
            "taken after the penalties, and nothing else acts; with `mirostat_mode` no cut-off acts."
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
    """The formula and who defined it."""
    reference = _REFERENCES.get(name)
    text = inspect.cleandoc(reference.__doc__ or "") if reference else _WORDS[name]
    # What the reference says to its callers is between backticks.
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
    told = (
        "The loader `remote` hands parameters on by name, as far as the server takes them. When its model is loaded, "
        "the rest is named and counts as not honoured. What the server makes of them is the server's."
    )
    lines = ["## Remote servers", "", *_wrapped(told), ""]
    for kind, dialect in DIALECTS.items():
        every = set(samplers()) | set(PARTS)
        taken, left = sorted(dialect.samplers & every), sorted(every - dialect.samplers)
        said = _names(taken) if len(taken) < len(left) else f"all but {_names(left)}" if left else "all"
        # A test holds the two to the same requests.
        same = " It is asked as by xllamacpp, and differs alike." if kind == "llama.cpp" else ""
        lines.append(f"- {dialect.title}: {said}.{same}")
    return [*lines, ""]


def _wrapped(text: str) -> list[str]:
    return wrap(text, 110, break_long_words=False, break_on_hyphens=False)


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _foot() -> list[str]:
    return [
        "## Seeds",
        "",
        "Same seed, same loader, same settings: same text. `tests/contract` asks it of every loader that it runs. Two",
        "loaders draw with two generators of random numbers, so between them the same seed gives different texts.",
        "",
        f"Every loader honours {_names(sorted(ALWAYS_HONOURED))}.",
    ]


def main() -> None:
    """Write the page."""
    write_atomically(PAGE, page())


if __name__ == "__main__":
    main()
