"""The sub-commands, one function each, named as the command."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable
from typing import Any

from modules.app import App
from modules.cli.application import build_app
from modules.cli.chat_commands import chats as chats
from modules.cli.download_command import download as download
from modules.cli.extension_commands import extensions as extensions
from modules.cli.job_commands import compare as compare
from modules.cli.job_commands import evaluate as evaluate
from modules.cli.job_commands import jobs as jobs
from modules.cli.job_commands import merge as merge
from modules.cli.job_commands import quantize as quantize
from modules.cli.job_commands import train as train
from modules.cli.knowledge_commands import knowledge as knowledge
from modules.cli.model_commands import models as models
from modules.cli.node_commands import node as node
from modules.cli.recommend_command import recommend as recommend
from modules.cli.set_option import read_pairs
from modules.cli.terminal import ProgressLine, write_reply
from modules.cli.user_commands import users as users
from modules.generation.preset_keys import did_you_mean
from modules.library.memory_plan import plan_sentence
from modules.library.ranking import describe_model
from modules.library.scan import DEMO_MODEL
from modules.library.sizes import format_size
from modules.library.trust import scan_trust
from modules.loading.applied_adapters import parse_adapters
from modules.loading.memory_planner import Advice, describe_plan
from modules.protocol.commands import Generate
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build, describe
from modules.runtime.variants import check_name
from modules.settings.config import Config
from modules.system.program_name import program_name


def loaders(config: Config, arguments: argparse.Namespace) -> int:
    """List the loaders."""
    app = build_app(config)
    try:
        if arguments.verb == "enable":
            return _enable_loader(app, arguments.name, arguments.yes)
        if arguments.prune:
            for name, count in app.environments.prune(list(app.registry.specs.values())):
                print(f"Removed {name} ({format_size(count)}).", file=sys.stderr)
        rows = [_loader_row(app, spec) for spec in app.loaders.offered()]
        if arguments.json:
            print(json.dumps(rows, indent=1))
            return 0
        for row in rows:
            state = "not supported here" if row["why_not"] else "can be installed"
            if row["installed"]:
                state = f"installed, {format_size(row['size_bytes'])}" if row["size_bytes"] else "needs no install"
            what = ", ".join(row["formats"]) or f"makes {', '.join(row['methods'])}"
            print(f"{row['name']:<14} {state:<24} {what}")
            print(f"{'':<14} {row['why_not'] or row['summary']}")
            if row["variants"]:
                names = ", ".join(entry["name"] for entry in row["variants"])
                print(f"{'':<14} Variant: {row['variant_title']}. {row['variant_reason']} (Choose from: {names}.)")
        for fault in app.registry.faults.values():
            print(f"{fault}.", file=sys.stderr)
        for name, sentence in app.own_loaders.waiting().items():
            print(f"{sentence} Run: {program_name()} loaders enable {name} --yes", file=sys.stderr)
    finally:
        app.close()
    return 0


def _enable_loader(app: App, name: str, yes: bool) -> int:
    """Allow a loader in user_data/loaders/ to run."""
    if not name:
        raise PaddockError(f"Name the loader: {program_name()} loaders enable NAME --yes")
    if not yes:
        raise PaddockError(
            f"The code of {name} would run with your rights on this machine. Read its files, then add --yes."
        )
    app.own_loaders.enable(name)
    needs = f" Install it with: {program_name()} install {name}" if app.registry.get(name).requirements else ""
    print(f"{name} may run in its present form.{needs}")
    return 0


def _loader_row(app: App, spec: LoaderSpec) -> dict[str, Any]:
    status = app.environments.status(spec)
    variant = status.variant
    reason = spec.machine_problem(app.machine) or status.problem
    return {
        "name": spec.name,
        "title": spec.title,
        "summary": spec.summary,
        "installed": status.installed,
        "engine": status.engine,
        "size_bytes": status.size_bytes,
        "variant": variant.name if variant else "",
        "variant_title": variant.title if variant else "",
        "variant_reason": status.reason,
        "variants": _variant_rows(app, spec),
        "runs_here": not reason,
        "why_not": reason,
        "formats": list(spec.formats),
        "methods": [method.name for method in spec.quantizers],
        "samplers": sorted(spec.samplers),
        "settings": [entry.name for entry in describe(spec.settings)],
    }


def _variant_rows(app: App, spec: LoaderSpec) -> list[dict[str, Any]]:
    try:
        states = app.environments.variants(spec) if spec.variants else []
    except PaddockError:  # `why_not` of the loader says it
        return []
    return [
        {
            "name": state.variant.name,
            "title": state.variant.title,
            "usable": state.usable,
            "why_not": state.failure or state.obstacle,
        }
        for state in states
    ]


def install(config: Config, arguments: argparse.Namespace) -> int:
    """Build a loader's environment."""
    app = build_app(config)
    progress = ProgressLine()
    try:
        spec = app.registry.get(arguments.name)
        named = arguments.variant
        variant = None if named is None else check_name(spec, named, app.machine)
        if variant and (obstacle := app.environments.choice(spec, variant).state.obstacle):
            print(f"{spec.title} may not run with this variant. {obstacle}", file=sys.stderr)
        path = app.environments.build(spec, progress, rebuild=arguments.rebuild, variant=variant, retry=True)
        if variant is not None:
            app.variants.set(spec.name, variant or None)
        progress.close()
        status = app.environments.status(spec)
        print(f"{spec.title} {status.engine} is installed in {path.name} ({format_size(status.size_bytes)}).")
        if spec.variants and status.variant:
            print(f"Variant: {status.variant.title}. {status.reason}")
    finally:
        progress.close()
        app.close()
    return 0


def inspect(config: Config, arguments: argparse.Namespace) -> int:
    """Show what a model is, and who can run it."""
    app = build_app(config)
    try:
        facts, ranked = app.loaders.rank(arguments.name)
        plans = {entry.loader: _advice(app, arguments.name, entry.loader) for entry in ranked if entry.runs}
    finally:
        app.close()
    if arguments.json:
        described = describe_model(facts, ranked, app.loaders.offered())
        for entry in described["loaders"]:
            entry["plan"] = describe_plan(plans[entry["loader"]]) if entry["loader"] in plans else None
        print(json.dumps(described, indent=1))
        return 0
    print(f"{facts.name}: {facts.format}, {format_size(facts.size_bytes)}")
    for piece in facts.evidence:
        print(f"  {piece.fact:<14} {piece.value:<28} from {piece.source}")
    for sentence in (*facts.problems, *facts.warnings, *scan_trust(facts)):
        print(f"  ! {sentence}")
    for place, entry in enumerate(ranked, 1):
        print(f"{place}. {entry.title}{'' if entry.runs else ' (not supported here)'}: {entry.reason}")
        if entry.loader in plans:
            print(f"   {plan_sentence(plans[entry.loader].plan)} {plans[entry.loader].obstacle}".rstrip())
    if not ranked and not facts.problems:
        print(f"  ! {app.loaders.explain_none(facts, ranked)}")
    return 0


def _advice(app: App, model: str, loader: str) -> Advice:
    """Return the memory plan with the settings that a load would use."""
    spec, saved = app.loaders.choose(model, loader)
    return app.planner.advise(app.library.facts(model), spec, build(spec.settings, saved))


def _standard_input() -> str:
    if sys.stdin is None:
        raise PaddockError("The standard input is closed, so the prompt cannot be read. Write it after --prompt.")
    return sys.stdin.read()


def generate(config: Config, arguments: argparse.Namespace) -> int:
    """Answer one prompt, and stream the reply to stdout."""
    app = build_app(config)
    progress = ProgressLine()
    try:
        prompt = _standard_input() if arguments.prompt == "-" else arguments.prompt
        model = arguments.model or DEMO_MODEL
        spec, saved = app.loaders.choose(model, arguments.loader)
        overrides, settings = sort_settings(spec, arguments.set)
        params = app.presets.merge("" if arguments.preset == "Neutral" else arguments.preset, overrides)
        app.supervisor.state_store.subscribe(
            lambda state: progress(state.text, state.fraction) if state.busy else progress.close()
        )
        adapters = parse_adapters(arguments.adapter) if arguments.adapter else None
        info = app.models.load(model, spec.name, {**saved, **settings}, adapters=adapters)
        progress.close()
        if adapters and not app.supervisor.state.adapters:
            raise PaddockError(info.notes[-1])
        for note in info.notes:
            print(note, file=sys.stderr)
        for name in spec.ignores(params, info.ignored):
            print(f"{spec.title} does not honour {name}; it is ignored.", file=sys.stderr)
        return _stream(app, prompt, params, arguments)
    finally:
        progress.close()
        app.close()


def sort_settings(spec: LoaderSpec, pairs: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Sort KEY=VALUE texts into (sampling parameters, the loader's settings). Raises SettingError."""
    sampling = {entry.name for entry in describe(SamplingParams)}
    own = {entry.name for entry in describe(spec.settings)}
    params: dict[str, str] = {}
    settings: dict[str, str] = {}
    for name, value in read_pairs(pairs, "temperature=0.7"):
        if name in sampling:
            params[name] = value
        elif name in own:
            settings[name] = value
        else:
            names = f"{spec.title} has: {', '.join(sorted(own))}. Sampling has: {', '.join(sorted(sampling))}."
            hint = did_you_mean(name, [*own, *sampling]) or names
            raise SettingError(f"There is no setting named {name!r}. {hint}")
    return params, settings


def _stream(app: App, prompt: str, params: SamplingParams, arguments: argparse.Namespace) -> int:
    if arguments.raw:
        generation = app.supervisor.generate(prompt, params)
    else:
        system = [{"role": "system", "content": arguments.system}] if arguments.system else []
        messages = [*system, {"role": "user", "content": prompt}]
        generation = app.supervisor.generate_chat(Generate("", params=params, messages=messages), opening=True)
    try:
        for text in generation.follow(gather=0):
            line = json.dumps({"type": "chunk", "text": text}, ensure_ascii=False) if arguments.json else text
            write_reply(f"{line}\n" if arguments.json else line)
    except BaseException:
        generation.cancel()
        raise
    if generation.error is not None:
        raise PaddockError(generation.error.message, detail=generation.error.detail)
    assert generation.finished is not None
    if remark := generation.empty_reply_note:
        print(remark, file=sys.stderr)
    if arguments.json:
        state = app.supervisor.state
        end = {"type": "finished", "model": state.model, "loader": state.loader, "load_seconds": state.load_seconds}
        print(json.dumps({**end, **dataclasses.asdict(generation.finished)}))
    else:
        print()
    return 0
