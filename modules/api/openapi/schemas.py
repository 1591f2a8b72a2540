"""JSON schemas of the bodies and answers of /v1, for the OpenAPI document.

They name the fields and their kinds. What a model or an extension adds is allowed everywhere.
"""

from __future__ import annotations

from typing import Any

from modules.api.rerank import MOST_DOCUMENTS
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import Setting, describe

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
ANY_OBJECT: Schema = {"type": "object"}
TEXTS: Schema = {"type": "array", "items": TEXT}
TOKENS: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_TYPES: dict[type, Schema] = {bool: FLAG, int: WHOLE, float: NUMBER, str: TEXT, list: TEXTS}


def ref(name: str) -> Schema:
    """Return a reference to one of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def an_object(required: str = "", **properties: Schema) -> Schema:
    """Return the schema of an object. `required`: names, separated by spaces."""
    return {"type": "object", "properties": properties, **({"required": required.split()} if required else {})}


def a_list(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def one_of(*schemas: Schema) -> Schema:
    """Return the schema of a value that any of `schemas` describes."""
    return {"anyOf": list(schemas)}


def sampler_fields() -> dict[str, Schema]:
    """Return the sampling parameters as fields of a request."""
    return {entry.name: _field(entry) for entry in describe(SamplingParams)}


def _field(entry: Setting) -> Schema:
    info = entry.info
    limits = {"minimum": info.minimum, "maximum": info.maximum} if entry.kind in (int, float) else {}
    known = {"description": info.help, "default": entry.default, "enum": list(info.choices), **limits}
    return {**_TYPES[entry.kind], **{key: value for key, value in known.items() if value not in (None, "", [])}}


def schemas() -> dict[str, Schema]:
    """Return the schemas by name."""
    usage = an_object("prompt_tokens completion_tokens total_tokens")
    return {
        "Error": an_object(
            "error", error=an_object("message", message=TEXT, type=TEXT, code=one_of(TEXT, {"type": "null"}))
        ),
        "AnthropicError": an_object("type error", type=TEXT, error=an_object("type message", type=TEXT, message=TEXT)),
        "Message": an_object("role", role=TEXT, content={}, tool_calls=a_list(ANY_OBJECT), tool_call_id=TEXT),
        "Tool": an_object("type function", type=TEXT, function=an_object("name", name=TEXT, parameters=ANY_OBJECT)),
        "ChatRequest": an_object("messages", messages=a_list(ref("Message")), **_shared(), **_of_chats()),
        "CompletionRequest": an_object(
            "prompt",
            prompt=one_of(TEXT, TEXTS, TOKENS, a_list(TOKENS)),
            echo=FLAG,
            logprobs={**WHOLE, "minimum": 0, "maximum": 100},
            best_of={**WHOLE, "minimum": 1, "maximum": 128},
            **_shared(),
        ),
        "Completion": an_object(
            "id object choices usage", id=TEXT, object=TEXT, model=TEXT, choices=a_list(ANY_OBJECT), usage=usage
        ),
        "ResponseRequest": an_object(
            "input",
            input=one_of(TEXT, a_list(ANY_OBJECT)),
            instructions=TEXT,
            max_output_tokens={**WHOLE, "minimum": 1},
            previous_response_id=TEXT,
            store=FLAG,
            text=ANY_OBJECT,
            reasoning=ANY_OBJECT,
            tools=a_list(ANY_OBJECT),
            tool_choice={},
            model=TEXT,
            stream=FLAG,
            preset=TEXT,
            **sampler_fields(),
        ),
        "Response": an_object("id object status output", id=TEXT, object=TEXT, status=TEXT, output=a_list(ANY_OBJECT)),
        "AnthropicRequest": an_object(
            "messages",
            messages=a_list(an_object("role content", role=TEXT, content=one_of(TEXT, a_list(ANY_OBJECT)))),
            max_tokens={**WHOLE, "minimum": 1},
            system=one_of(TEXT, a_list(ANY_OBJECT)),
            tools=a_list(an_object("name input_schema", name=TEXT, description=TEXT, input_schema=ANY_OBJECT)),
            tool_choice=ANY_OBJECT,
            stop_sequences=TEXTS,
            thinking=ANY_OBJECT,
            output_config=ANY_OBJECT,
            model=TEXT,
            stream=FLAG,
            preset=TEXT,
            **sampler_fields(),
        ),
        "AnthropicMessage": an_object(
            "id type role content stop_reason usage",
            id=TEXT,
            type=TEXT,
            role=TEXT,
            content=a_list(ANY_OBJECT),
            stop_reason=one_of(TEXT, {"type": "null"}),
            usage=ANY_OBJECT,
        ),
        "EmbeddingRequest": an_object(
            "input",
            input=one_of(TEXT, TEXTS, TOKENS, a_list(TOKENS)),
            model=TEXT,
            encoding_format={"enum": ["float", "base64"]},
            dimensions={**WHOLE, "minimum": 1},
        ),
        "Embeddings": an_object("object data usage", object=TEXT, data=a_list(ANY_OBJECT), usage=ANY_OBJECT),
        "RerankRequest": an_object(
            "query documents",
            query=TEXT,
            documents={**a_list(one_of(TEXT, an_object("text", text=TEXT))), "minItems": 1, "maxItems": MOST_DOCUMENTS},
            model=TEXT,
            top_n={**WHOLE, "minimum": 1},
            return_documents=FLAG,
        ),
        "Reranked": an_object(
            "object results usage",
            object=TEXT,
            model=TEXT,
            results=a_list(an_object("index relevance_score", index=WHOLE, relevance_score=NUMBER)),
            usage=ANY_OBJECT,
        ),
        "Model": an_object(
            "id object", id=TEXT, object=TEXT, loaded=FLAG, state=TEXT, purpose=one_of(TEXT, {"type": "null"})
        ),
        "Models": an_object("object data", object=TEXT, data=a_list(ref("Model"))),
    }


def _shared() -> dict[str, Schema]:
    """Return the fields of chats and completions."""
    return {
        "model": TEXT,
        "stream": FLAG,
        "stream_options": an_object(include_usage=FLAG),
        "max_tokens": {**WHOLE, "minimum": -1},
        "n": {**WHOLE, "minimum": 1, "maximum": 128},
        "preset": TEXT,
        "extensions": FLAG,
        "response_format": ANY_OBJECT,
        "truncation_length": {**WHOLE, "minimum": 0},
        **sampler_fields(),
    }


def _of_chats() -> dict[str, Schema]:
    texts = (
        "character name1 name2 user_bio context greeting chat_template_str chat_instruct_command instruction_template "
        "instruction_template_str reasoning_effort"
    )
    return {
        "tools": a_list(ref("Tool")),
        "tool_choice": {},
        "parallel_tool_calls": FLAG,
        "continue_": FLAG,
        "enable_thinking": FLAG,
        "chat_template_kwargs": ANY_OBJECT,
        "logprobs": FLAG,
        "top_logprobs": {**WHOLE, "minimum": 0, "maximum": 100},
        "mode": {"enum": ["instruct", "chat", "chat-instruct"]},
        **dict.fromkeys(texts.split(), TEXT),
    }
