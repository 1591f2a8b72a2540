"""Read the tool calls in the notation of a model family, once the notation is complete.

A reader gets the text between two markers and the parameters of the known tools (name -> JSON schema). It returns
(name, arguments) pairs, or None where the text is no call in its notation.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping

Schemas = Mapping[str, Mapping[str, object]]
Call = tuple[str, object]
Reader = Callable[[str, Schemas], "list[Call] | None"]

_DECODER = json.JSONDecoder()
_NAMES = ("name", "tool_name", "function", "function_name")
_ARGUMENTS = ("arguments", "parameters", "args", "input")
_LONGEST_CODE = 10_000


def read_json(text: str, schemas: Schemas) -> list[Call] | None:
    """Read {"name": …, "arguments": {…}}, or several of them: in a list, or one after another."""
    calls: list[Call] = []
    rest = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip(" \n\r\t;,")
    while rest:
        try:
            value, end = _DECODER.raw_decode(rest)
        except (ValueError, RecursionError):
            return None
        rest = rest[end:].lstrip(" \n\r\t;,")
        for entry in value if isinstance(value, list) else [value]:
            call = _json_call(entry)
            if call is None:
                return None
            calls.append(call)
    return calls or None


def _json_call(entry: object) -> Call | None:
    if not isinstance(entry, dict):
        return None
    if isinstance(inner := entry.get("function"), dict):
        entry = inner
    name = next((entry[key] for key in _NAMES if isinstance(entry.get(key), str)), None)
    key = next((key for key in _ARGUMENTS if key in entry), None)
    if not name:
        return None
    return name, entry[key] if key else {}


def read_tag(text: str, schemas: Schemas) -> list[Call] | None:
    """Read what stands in <tool_call>: JSON (Hermes, Qwen), <function=…> (Qwen Coder) or <arg_key> (GLM)."""
    text = text.strip()
    if text.startswith(("{", "[")):
        return read_json(text, schemas)
    if text.startswith("<function="):
        return read_function_tag(text, schemas)
    found = re.match(r"[\w.\-]+", text)
    if not found or not re.fullmatch(r"\s*(?:<arg_key>.*)?", text[found.end() :], re.DOTALL):
        return None
    pairs = re.findall(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", text, re.DOTALL)
    return [_texts_call(found[0], pairs, schemas)]


def read_function_tag(text: str, schemas: Schemas) -> list[Call] | None:
    """Read <function=name><parameter=key>value</parameter></function>, or JSON in the place of the parameters."""
    calls: list[Call] = []
    for name, body in re.findall(r"<function=([^>\s]+)>(.*?)(?:</function>|$)", text, re.DOTALL):
        if body.lstrip().startswith("{"):
            try:
                calls.append((name, json.loads(body)))
            except (ValueError, RecursionError):
                return None
        else:
            pairs = re.findall(r"<parameter=([^>]+)>\n?(.*?)\n?</parameter>", body, re.DOTALL)
            calls.append(_texts_call(name, pairs, schemas))
    return calls or None


def _texts_call(name: str, pairs: list[tuple[str, str]], schemas: Schemas) -> Call:
    """Return a call whose arguments are texts. The tool's schema says which of them are more than that."""
    properties = schemas.get(name, {}).get("properties")
    known = properties if isinstance(properties, dict) else {}
    return name, {key.strip(): _typed(value, known.get(key.strip())) for key, value in pairs}


def _typed(text: str, schema: object) -> object:
    kind = schema.get("type", "string") if isinstance(schema, dict) else "string"
    if kind == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def read_mistral(text: str, schemas: Schemas) -> list[Call] | None:
    """Read Mistral's [{…}, …] (to version 7), or name[ARGS]{…} for each call (from version 11)."""
    if text.lstrip().startswith(("[{", "[ {", "{")):
        return read_json(text, schemas)
    calls: list[Call] = []
    for part in text.split("[TOOL_CALLS]"):
        found = re.match(r"\s*([\w.\-]+)(?:\[CALL_ID\][\w\-]+)?\s*(?:\[ARGS\])?\s*", part)
        try:
            calls.append((found[1], json.loads(part[found.end() :])) if found else ("", None))
        except (ValueError, RecursionError):
            return None
    return calls if all(name for name, _ in calls) else None


def read_deepseek(text: str, schemas: Schemas) -> list[Call] | None:
    """Read DeepSeek's calls: function<sep>name, then JSON in a fence (V3, R1); or name<sep>JSON (V3.1)."""
    calls: list[Call] = []
    pattern = r"(?:<｜tool▁call▁begin｜>)?([^<]*)<｜tool▁sep｜>(.*?)(?:<｜tool▁call▁end｜>|$)"
    for first, second in re.findall(pattern, text, re.DOTALL):
        name, body = first.strip(), second
        if "```" in second:
            name, _, body = second.partition("\n")
        try:
            calls.append((name.strip(), json.loads(re.sub(r"^\s*```(?:json)?|```\s*$", "", body.strip()))))
        except (ValueError, RecursionError):
            return None
    return calls or None


def read_gemma(text: str, schemas: Schemas) -> list[Call] | None:
    """Read call:name{key:<quote>text<quote>,number:1}, with the quote of FunctionGemma or of Gemma 4."""
    found = re.fullmatch(r"\s*call:([\w.\-]+)\s*(\{.*\})\s*", text, re.DOTALL)
    if not found:
        return None
    parts = re.split(r"<escape>|<\|\"\|>", found[2])
    for place, part in enumerate(parts):
        quoted = re.sub(r"([{,]\s*)([A-Za-z_][\w.\-]*)\s*:", r'\1"\2":', part)
        parts[place] = json.dumps(part) if place % 2 else quoted
    try:
        return [(found[1], json.loads("".join(parts)))]
    except (ValueError, RecursionError):
        return None


def read_harmony(text: str, schemas: Schemas) -> list[Call] | None:
    """Read gpt-oss's header, which names the function, and its message, which is JSON."""
    header, separator, body = text.partition("<|message|>")
    found = re.search(r"to=(?:functions\.)?([\w.\-]+)", header)
    if not found or not separator:
        return None
    try:
        return [(found[1], json.loads(body))]
    except (ValueError, RecursionError):
        return None


def read_python(text: str, schemas: Schemas) -> list[Call] | None:
    """Read Python calls with literal arguments, or JSON, or code for a tool named code_interpreter (Llama 3)."""
    if calls := read_json(text, schemas):
        return calls
    try:
        body = ast.parse(text.strip(), mode="eval").body if len(text) < _LONGEST_CODE else None
        found = [_python_call(node, schemas) for node in (body.elts if isinstance(body, ast.List) else [body])]
        if found:
            return found
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        pass
    return [("code_interpreter", {"code": text.strip()})] if "code_interpreter" in schemas else None


def _python_call(node: ast.AST | None, schemas: Schemas) -> Call:
    """Return the call of a syntax tree. Raises ValueError where it is none, or its arguments are not literals."""
    if not isinstance(node, ast.Call):
        raise ValueError("no call")
    name = ast.unparse(node.func).removesuffix(".call")
    properties = schemas.get(name, {}).get("properties")
    names = list(properties) if isinstance(properties, dict) else []
    if len(node.args) > len(names) or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("arguments without names")
    arguments = dict(zip(names, (ast.literal_eval(value) for value in node.args), strict=False))
    return name, {**arguments, **{str(word.arg): ast.literal_eval(word.value) for word in node.keywords}}
