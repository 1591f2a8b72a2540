"""Read a client's JSON body: sampling parameters, messages, and warnings for what is not honoured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.api.body_fields import check_kinds, flag_field, object_field, text_field, whole_field
from modules.api.chat_mode_fields import MODE_FIELDS
from modules.api.keep_alive_fields import KEEP_ALIVE_FIELDS
from modules.api.media_parts import MediaPart, join_parts
from modules.api.parameter_kinds import PARAMETERS, check_parameter
from modules.api.response_format import FORMAT_FIELDS, read_response_format
from modules.api.token_logprobs import LOGPROB_FIELDS, ranks_answers, read_logprobs
from modules.api.tool_request import TOOL_FIELDS, ToolRequest, read_calls, read_tools
from modules.api.unsupported_fields import UNSUPPORTED, refuse_unsupported
from modules.generation.presets import Presets
from modules.protocol.errors import PromptError, SettingError, Unsupported
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import SamplingParams
from modules.protocol.sampling_texts import MOST_TOKENS
from modules.ui.json_body import parse_json_body

# The API's names for Paddock's parameters.
_NAMES = {
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
    "repeat_penalty": "repetition_penalty",
    "n_predict": "max_new_tokens",
    "tfs_z": "tfs",
    "mirostat": "mirostat_mode",
    "grammar": "grammar_string",
}
# Fields that other code reads, or that change nothing here.
_OTHER = (
    frozenset({"model", "messages", "prompt", "stream", "stream_options", "preset", "user", "extensions", "n"})
    | frozenset(KEEP_ALIVE_FIELDS)
    | {"truncation_length"}
    | UNSUPPORTED
    | TOOL_FIELDS
    | LOGPROB_FIELDS
)
# Fields that only chats have.
CONTINUE_FIELDS = ("continue_", "continue_final_message")
_OF_CHATS = MODE_FIELDS.union({"chat_template_kwargs", "enable_thinking", "reasoning_effort", *CONTINUE_FIELDS})
_ROLES = {"developer": "system"} | {name: name for name in ("system", "user", "assistant", "tool", "function")}
ONLY_TEXT = "This part of a message cannot be read here. Leave it out of the messages."
# Seeds of other servers have up to 64 bits, signed or unsigned.
_SEEDS = range(-(2**63), 2**64)


@dataclass(frozen=True)
class RequestOptions:
    """What a client asks for besides its prompt.

    `has_limit`: the request has a maximum length; without one the reply may fill the context. `extensions`: the hooks
    of extensions run. `echo`: the answer begins with the prompt; `prompt_only`: it has no reply. `tools`: those that
    the model may or must call. `continue_last`: the last message is the beginning of the reply.
    `logprobs`: those in the answer, as in Generate; `engine_logprobs`: those that the engine must report.
    `strip`: white space before the answer is left out. `truncation_length`: the context that the client allows, 0 for
    the model's.
    """

    params: SamplingParams
    stream: bool
    usage_in_stream: bool
    has_limit: bool
    warnings: tuple[str, ...]
    extensions: bool = True
    echo: bool = False
    prompt_only: bool = False
    tools: ToolRequest = field(default_factory=ToolRequest)
    continue_last: bool = False
    logprobs: int = -1
    engine_logprobs: int = -1
    strip: bool = False
    truncation_length: int = 0


def read_options(body: Mapping[str, Any], presets: Presets, spec: LoaderSpec) -> RequestOptions:
    """Return the options of a request. Raises SettingError, PromptError or Unsupported."""
    refuse_unsupported(body)
    stream, extensions = flag_field(body, "stream"), flag_field(body, "extensions", True)
    echo = "messages" not in body and flag_field(body, "echo")
    check_kinds(body, {"user": str, "suffix": str})
    other = _OTHER | _OF_CHATS if "messages" in body else _OTHER
    values: dict[str, Any] = {}
    ignored: list[str] = []
    tools = read_tools(body)
    wanted = tools.force(read_response_format(body, spec), spec)
    for name, value in body.items():
        if name in FORMAT_FIELDS:
            continue
        parameter = _NAMES.get(name, name)
        if parameter in PARAMETERS:
            if value is None:
                continue
            check_parameter(name, parameter, value)
            if values.setdefault(parameter, value) != value:
                raise SettingError(f"{name!r} has another name in this request, with another value. Send one of them.")
        elif name not in other and value not in (None, [], {}, False) and not (name == "echo" and echo):
            ignored.append(name)
    values |= wanted.values
    if isinstance(values.get("logit_bias"), dict):
        if len(values["logit_bias"]) > MOST_TOKENS:
            raise SettingError(f"'logit_bias' can have {MOST_TOKENS} tokens. Send fewer.")
        values["logit_bias"] = ",".join(f"{token}:{bias}" for token, bias in values["logit_bias"].items())
    prompt_only = _is_int(values.get("max_new_tokens"), 0)
    if prompt_only and not echo:
        raise SettingError(
            "'max_tokens' cannot be 0, because there would be no answer. Send 1 or more, or leave it out."
        )
    if prompt_only or _is_int(values.get("max_new_tokens"), -1):
        del values["max_new_tokens"]
    if "seed" in values:
        values["seed"] = _seed(values["seed"])
    params = presets.merge(text_field(body, "preset", ""), values)
    warnings = [*wanted.warnings, *(f"{name} is not a parameter here and was ignored." for name in ignored)]
    warnings += [f"{spec.title} does not honour {name}; it was ignored." for name in spec.ignores(params)]
    logprobs = read_logprobs(body, spec)
    return RequestOptions(
        params,
        stream,
        wants_usage(body),
        "max_new_tokens" in values,
        tuple(warnings),
        extensions=extensions,
        echo=echo,
        prompt_only=prompt_only,
        tools=tools,
        continue_last=_continues(body),
        logprobs=logprobs,
        truncation_length=whole_field(body, "truncation_length", 0, 0, 2**31 - 1),
        engine_logprobs=max(logprobs, 0) if ranks_answers(body) else logprobs,
    )


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Return True if the stream ends with the token counts. Raises SettingError."""
    return flag_field(object_field(body, "stream_options"), "include_usage")


def _continues(body: Mapping[str, Any]) -> bool:
    """Return True if the last message is the beginning of the reply. Raises SettingError."""
    if not any([flag_field(body, name) for name in CONTINUE_FIELDS]):
        return False
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else {}
    if not isinstance(last, dict) or last.get("role") != "assistant" or last.get("tool_calls"):
        raise SettingError(
            "Only a reply can be continued. End 'messages' with a message of the role assistant without tool calls, or "
            "leave 'continue_' out."
        )
    return True


def _is_int(value: Any, number: int) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == number


def _seed(value: Any) -> Any:
    """Return a seed in the 31 bits that engines take. -1 asks for a random one."""
    if isinstance(value, bool) or not isinstance(value, int) or value == -1 or 0 <= value < 2**31:
        return value
    if value not in _SEEDS:
        raise SettingError("'seed' must be a whole number of at most 64 bits, or -1 for a new one each time.")
    # Multiplication by the golden ratio spreads neighbouring seeds over the upper bits.
    return (value * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 33


def request_messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a request, with lists of text parts joined. Raises PromptError or Unsupported."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise PromptError("'messages' must be a list of {role, content} with at least one message.")
    result = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise PromptError("Each message must be an object with a 'role' and a 'content'.")
        role = _ROLES.get(message["role"])
        if role is None:
            raise PromptError(
                f"A message's 'role' cannot be {message['role'][:100]!r}. The roles are: {', '.join(sorted(_ROLES))}."
            )
        content = message.get("content")
        if isinstance(content, list):
            content = join_parts([part if isinstance(part, MediaPart) else _text_of(part) for part in content])
        elif not isinstance(content, (str, type(None))):
            raise PromptError("A message's 'content' must be a text, or a list of {type: text, text}.")
        own = {key: value for key, value in message.items() if key not in ("tool_calls", "tool_call_id")}
        result.append({**own, **read_calls(message), "role": role, "content": content or ""})
    return result


def _text_of(part: Any) -> str:
    if isinstance(part, dict) and part.get("type") == "text":
        part = part.get("text")
    if not isinstance(part, str):
        raise Unsupported(ONLY_TEXT)
    return part


def parse_body(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raises SettingError."""
    body = parse_json_body(raw)
    if not isinstance(body, dict):
        raise SettingError("The body must be a JSON object.")
    return body
