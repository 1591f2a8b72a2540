"""Start the generation that a request of the API asks for: check it, make the prompt, run the hooks of extensions."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from modules.api.api_hooks import HookedPrompt, hooked_chat, hooked_text
from modules.api.chat_input import may_be_cut, read_chat
from modules.api.openai_format import OpenAIAnswer
from modules.api.prompt_logprobs import prompt_logprobs
from modules.api.request_params import RequestOptions, read_options
from modules.app import App
from modules.chat.prompt import render_chat
from modules.generation.generation import Generation
from modules.plugins.request_model import use_request_model
from modules.protocol.errors import PromptError
from modules.protocol.events import Finished
from modules.protocol.reply_room import reply_room
from modules.protocol.sampling import SamplingParams
from modules.runtime.loaded_model import LoadedModel


@dataclass(frozen=True)
class _Prompt:
    """A prompt that is ready for the engine.

    `tokens`: its length, None where it has not been counted. `generation`: the reply to it, where the worker made the
    prompt; `text` is then "".
    """

    text: str
    tokens: int | None
    hooked: HookedPrompt | None = None
    generation: Generation | None = None


def start_generation(
    app: App, model: LoadedModel, body: Mapping[str, object], *, is_chat: bool, ids: Sequence[int] = ()
) -> tuple[OpenAIAnswer, Generation]:
    """Start what the request asks the loaded model `model` for. `ids`: the token ids that its prompt was made from.

    Raises PaddockError: no model, a wrong parameter, a prompt that fails.
    """
    with use_request_model(model):
        return _start(app, model, body, is_chat, ids)


def _start(
    app: App, model: LoadedModel, body: Mapping[str, object], is_chat: bool, ids: Sequence[int]
) -> tuple[OpenAIAnswer, Generation]:
    app.on_request.confirm(body.get("model"), model.state)
    info = model.loaded()
    state = model.state
    options = request_options(app, model, body)
    prompt, options = _make_prompt(app, model, body, options, info.template if is_chat else None)
    hooked, generation = prompt.hooked, prompt.generation
    context = min(info.context, options.truncation_length or info.context)
    params, options = _fit(model, prompt, hooked.hooks.params if hooked else options.params, options, context)
    scores = _prompt_scores(model, prompt.text, ids, options)
    if options.prompt_only:
        generation = _without_reply(model, prompt.text, params)
    elif generation is None and hooked:
        generation = hooked.generate(model, params, options.stream)
    elif generation is None:
        generation = model.generate(prompt.text, params, options.extensions, top_logprobs=options.engine_logprobs)
    answer = OpenAIAnswer(
        f"{'chatcmpl' if is_chat else 'cmpl'}-{uuid.uuid4().hex}",
        is_chat,
        state.model,
        int(time.time()),
        options,
        hooked.hooks if hooked else None,
        echo=prompt.text if options.echo else "",
        template=info.template,
        prompt_logprobs=tuple(scores),
    )
    return answer, generation


def request_options(app: App, model: LoadedModel, body: Mapping[str, object]) -> RequestOptions:
    """Return the options of a request for the loaded model. Raises PaddockError."""
    info, spec = model.loaded(), app.registry.get(model.state.loader)
    return read_options(body, app.presets, replace(spec, samplers=spec.samplers.difference(info.ignored)))


def _make_prompt(
    app: App, model: LoadedModel, body: Mapping[str, object], options: RequestOptions, template: str | None
) -> tuple[_Prompt, RequestOptions]:
    """Return the prompt, made by the hooks of extensions if some are on, and the options with its warnings.

    `template`: the model's chat template, None for a request without a chat.
    """
    asked = None if template is None else read_chat(app, model, body, options, template)
    if asked:
        params = replace(options.params, stop=[*options.params.stop, *asked.stop])
        options = replace(
            options,
            params=params,
            strip=bool(asked.reply_prefix),
            warnings=(*options.warnings, *asked.warnings),
            tools=replace(options.tools, template=asked.tool_template),
        )
    if options.extensions and app.extensions.running:
        if asked:
            hooked = hooked_chat(app, model, asked, options.params, options.continue_last)
        else:
            hooked = hooked_text(app, model, _text(body), options.params)
        hooked.hooks.top_logprobs = options.engine_logprobs
        has_limit = options.has_limit or hooked.hooks.params.max_new_tokens != options.params.max_new_tokens
        options = replace(options, has_limit=has_limit, warnings=(*options.warnings, *hooked.notes))
        if hooked.chat is None or hooked.tokens is not None:
            return _Prompt(hooked.prompt, hooked.tokens, hooked), options
        generation = hooked.generate(model, hooked.hooks.params, options.stream, fill_context=not has_limit)
        return _started(generation, options, hooked)
    if not asked:
        return _shorten(model, _text(body), options)
    chat = replace(
        asked.command(options.continue_last),
        params=options.params,
        hooks=options.extensions,
        reply_prefix=asked.reply_prefix,
        logprobs=options.engine_logprobs,
        fill_context=not options.has_limit,
    )
    if options.truncation_length:
        rendered = render_chat(model, chat).result
        whole = rendered.prompt + asked.reply_prefix
        if rendered.media:
            _check_length(rendered.tokens, options)
        elif (cut := _shorten(model, whole, options))[0].text != whole:
            return cut
    return _started(model.generate_chat(may_be_cut(chat, options.params), opening=True), options)


def _shorten(model: LoadedModel, text: str, options: RequestOptions) -> tuple[_Prompt, RequestOptions]:
    """Return a prompt that leaves room for the reply within `truncation_length`, and the options with a warning."""
    limit = options.truncation_length
    tokens = model.tokenize(text, True) if limit else []
    most = max(1, limit - reply_room(options.params.max_new_tokens, limit))
    if len(tokens) <= most:
        return _Prompt(text, len(tokens) or None), options
    warning = (
        f"The prompt has {len(tokens)} tokens. 'truncation_length' leaves room for {most} of them beside the reply, so "
        f"the oldest {len(tokens) - most} were left out."
    )
    shortened = model.detokenize(tokens[-most:])
    return _Prompt(shortened, most), replace(options, warnings=(*options.warnings, warning))


def _check_length(tokens: int, options: RequestOptions) -> None:
    """Raise PromptError for a chat with images or sounds that is too long, because it cannot be cut anywhere."""
    most = max(1, options.truncation_length - reply_room(options.params.max_new_tokens, options.truncation_length))
    if tokens > most:
        raise PromptError(
            f"The prompt has {tokens} tokens. 'truncation_length' leaves room for {most} of them beside the reply, and "
            "a chat with images or sounds is not cut. Send fewer messages or files, or raise it."
        )


def _started(
    generation: Generation, options: RequestOptions, hooked: HookedPrompt | None = None
) -> tuple[_Prompt, RequestOptions]:
    """Return the prompt that the worker made for a generation, and the options with its warnings."""
    prompted = generation.prompted
    assert prompted is not None
    notes = [*prompted.notes]
    if left_out := prompted.left_out:
        notes.append(f"The chat is longer than the context, so its oldest messages were left out: {left_out} of them.")
    options = replace(options, warnings=(*options.warnings, *notes))
    return _Prompt("", prompted.tokens, hooked, generation), options


def _fit(
    model: LoadedModel, prompt: _Prompt, params: SamplingParams, options: RequestOptions, context: int
) -> tuple[SamplingParams, RequestOptions]:
    """Return the parameters, without a limit of the client's filled up to the context, and the options with a warning
    where the prompt is cut."""
    length = prompt.tokens
    if length is None:
        # Count only where it matters: asking the worker takes a millisecond, or more while it is busy.
        length = 0 if options.has_limit else len(model.tokenize(prompt.text, True))
    room = reply_room(params.max_new_tokens, context)
    cut = length - max(1, context - room) if context and params.truncate else 0
    if cut > 0:
        warning = (
            f"The prompt has {length} tokens. The context takes {context}, of which {room} are reserved for the "
            f"reply, so the oldest {cut} tokens were left out. Shorten the prompt, or load the model with a larger "
            "context."
        )
        options = replace(options, warnings=(*options.warnings, warning))
    if not options.has_limit and context:
        params = replace(params, max_new_tokens=max(room, context - length))
    return params, options


def _prompt_scores(
    model: LoadedModel, prompt: str, ids: Sequence[int], options: RequestOptions
) -> list[dict[str, object]]:
    """Return the log-probabilities of the prompt for a client that wants both it and them."""
    if not options.echo or options.logprobs < 0:
        return []
    return prompt_logprobs(model, prompt, list(ids), options.logprobs)


def _without_reply(model: LoadedModel, prompt: str, params: SamplingParams) -> Generation:
    """Return a generation that has ended without a token, for a client that wants only the prompt."""
    generation = Generation(uuid.uuid4().hex, prompt, params, lambda _: None)
    tokens = len(model.tokenize(prompt, True))
    generation.finish(Finished(generation.id, "length", prompt_tokens=tokens))
    return generation


def _text(body: Mapping[str, object]) -> str:
    prompt = body.get("prompt", "")
    if not isinstance(prompt, str):
        raise PromptError("'prompt' must be a text, a list of token ids, or a list of either.")
    return prompt
