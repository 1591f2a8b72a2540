"""The notations in which model families write tool calls, and which of them a chat template uses."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modules.chat.tool_call_readers import (
    Reader,
    read_deepseek,
    read_function_tag,
    read_gemma,
    read_harmony,
    read_json,
    read_mistral,
    read_python,
    read_tag,
)


@dataclass(frozen=True)
class Block:
    """A part of a reply that has tool calls: from `start` to the first of `ends`, or to the end of the reply.

    `whole`: the reader gets the start marker too.
    """

    start: str
    ends: tuple[str, ...]
    read: Reader
    whole: bool = False


@dataclass(frozen=True)
class ToolFormat:
    """One notation. `signs`: a template with one of these texts uses it. `noise`: markers that are not shown."""

    name: str
    signs: tuple[str, ...]
    blocks: tuple[Block, ...]
    noise: tuple[str, ...] = ()


# What Paddock asks for where a template has no tools. Many models write it in place of their own notation.
_TAGS = (
    Block("<tool_call>", ("</tool_call>",), read_tag),
    Block("<function=", ("</function>",), read_function_tag, whole=True),
)
_HARMONY_ENDS = ("<|call|>", "<|end|>", "<|return|>")
GENERIC = ToolFormat("generic JSON", (), _TAGS)
# A template may have signs of several: the first one counts.
FORMATS = (
    ToolFormat(
        "gpt-oss harmony",
        ("<|channel|>commentary", "to=functions."),
        (
            Block("<|channel|>commentary", _HARMONY_ENDS, read_harmony, whole=True),
            Block(" to=functions.", _HARMONY_ENDS, read_harmony, whole=True),
        ),
        ("<|start|>assistant", "<|channel|>final<|message|>", "<|channel|>analysis"),
    ),
    ToolFormat(
        "DeepSeek",
        ("<｜tool▁call▁begin｜>", "<｜tool▁calls▁begin｜>"),
        (
            Block("<｜tool▁calls▁begin｜>", ("<｜tool▁calls▁end｜>",), read_deepseek),
            Block("<｜tool▁call▁begin｜>", ("<｜tool▁call▁end｜>",), read_deepseek),
        ),
    ),
    ToolFormat("Mistral", ("[TOOL_CALLS]",), (Block("[TOOL_CALLS]", (), read_mistral),)),
    ToolFormat(
        "Command R",
        ("<|START_ACTION|>", "'Action:'", "\\'Action:\\'"),
        (
            Block("<|START_ACTION|>", ("<|END_ACTION|>",), read_json),
            Block("Action: ```json", ("```",), read_json),
            Block("Action:\n```json", ("```",), read_json),
        ),
    ),
    ToolFormat(
        "Gemma",
        ("<|tool_call>", "<start_function_call>", "```tool_code"),
        (
            Block("<|tool_call>", ("<tool_call|>",), read_gemma),
            Block("<start_function_call>", ("<end_function_call>",), read_gemma),
            Block("```tool_code", ("```",), read_python),
        ),
    ),
    ToolFormat("Granite", ("<|tool_call|>",), (Block("<|tool_call|>", ("<|/tool_call|>",), read_json), *_TAGS)),
    ToolFormat("tool_call tags (Hermes, Qwen, GLM)", ("<tool_call>",), _TAGS),
    ToolFormat(
        "Llama 3",
        ("<|python_tag|>", '"parameters": dictionary', "Environment: ipython"),
        (Block("<|python_tag|>", ("<|eom_id|>", "<|eot_id|>"), read_python), *_TAGS),
    ),
)


def find_tool_format(template: str) -> ToolFormat:
    """Return the notation of tool calls that a chat template uses, `GENERIC` if it shows none."""
    return next((form for form in FORMATS if any(sign in template for sign in form.signs)), GENERIC)


def call_format(template: str) -> ToolFormat:
    """Return the notation in which a reply to a chat with tools has its calls: that of the template, or, if it reads no
    tools, the one that Paddock asks for."""
    return find_tool_format(template) if takes_tools(template) else GENERIC


def takes_tools(template: str) -> bool:
    """Return True if a chat template reads the variable `tools`."""
    return re.search(r"\btools\b", template) is not None
