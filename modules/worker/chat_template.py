"""Renders chat templates in Jinja's immutable sandbox, under size limits. Needs jinja2 in the environment.

A template comes with a model, so it is an untrusted program: it may loop, raise or try to fill memory.
template_process.py limits what the sandbox cannot.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from modules.families.message_content import add_text
from modules.protocol.errors import PromptError

# The template for a model without one. The user sees the name "fallback: ChatML".
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FALLBACK_NAME = "fallback: ChatML"

MOST_CHARACTERS = 20_000_000
# The largest number that a method or filter accepts: widths, counts, bytes.
_LARGEST = 1_000_000
# The most characters of a template's message in an error.
_LONGEST_MESSAGE = 1000
_SIZED_FILTERS = ("batch", "center", "indent", "round", "slice", "wordwrap", "tojson", "truncate")
_MARK = "\ue000paddock-open-end\ue000"
ADVICE = "Choose another template on the Model tab, or edit this one."


def render(
    template: str,
    messages: Sequence[Mapping[str, object]],
    *,
    continue_last: bool,
    bos: str,
    eos: str,
    variables: Mapping[str, object],
) -> str:
    """Return the prompt for `messages`. It ends where the reply begins or, with `continue_last`, with the last message.

    Raises PromptError if the template is not valid Jinja, raises an error, or writes too much.
    """
    if continue_last:
        *before, last = messages
        messages = [*before, {**last, "content": add_text(last["content"], _MARK)}]
    values = {
        "bos_token": bos,
        "eos_token": eos,
        "messages": messages,
        "add_generation_prompt": not continue_last,
        "tools": None,
        "documents": None,
        **variables,
    }
    prompt = _render(template, values)
    if continue_last:
        if _MARK not in prompt:
            raise PromptError(f"This chat template omits the last reply, so the reply cannot be continued. {ADVICE}")
        prompt = prompt[: prompt.rindex(_MARK)]
    return prompt


def _render(template: str, values: Mapping[str, object]) -> str:
    from jinja2 import TemplateError
    from jinja2.exceptions import SecurityError, TemplateSyntaxError

    try:
        pieces, size = [], 0
        for piece in _sandbox().from_string(template).generate(**values):
            size += len(piece)
            if size > MOST_CHARACTERS:
                raise PromptError(f"The chat template writes more than {MOST_CHARACTERS:,} characters. {ADVICE}")
            pieces.append(piece)
        return "".join(pieces)
    except PromptError:
        raise
    except TemplateSyntaxError as error:
        raise PromptError(
            f"The chat template has a syntax error in line {error.lineno}: {_ended(error.message)} {ADVICE}"
        ) from None
    except SecurityError as error:
        raise PromptError(f"The chat template tries something that is not allowed: {_ended(error)} {ADVICE}") from None
    except TemplateError as error:
        raise PromptError(f"The chat template refuses this chat: {_ended(error)} {ADVICE}") from None
    except MemoryError:
        raise PromptError(f"The chat template needs too much memory. {ADVICE}") from None
    except Exception as error:
        raise PromptError(f"The chat template fails with {type(error).__name__}: {_ended(error)} {ADVICE}") from None


def _ended(words: object) -> str:
    """Return a message of Jinja or of the template with a full stop, shortened if it is long."""
    text = str(words).rstrip()
    text = text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _check_numbers(*values: object) -> None:
    """Raise SecurityError if one of `values` is a number large enough for a huge text or list."""
    from jinja2.exceptions import SecurityError

    if any(isinstance(value, int) and abs(value) > _LARGEST for value in values):
        raise SecurityError("a number that large")


def _sandbox() -> Any:
    """Return Jinja as Transformers configures it for chat templates, with limits on the size of an expression."""
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks text for training. Here only its body is written."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**", "%"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            sized = [side for side in (left, right) if hasattr(side, "__len__")]
            numbers = [side for side in (left, right) if isinstance(side, int)]
            if operator == "*" and sized and numbers and len(sized[0]) * max(numbers) > _LARGEST:
                raise SecurityError("a repetition that large")
            if operator == "**" and any(abs(number) > 1000 for number in numbers):
                raise SecurityError("a power that large")
            if operator == "%" and isinstance(left, str) and re.search(r"\*|\d{5}", left):
                raise SecurityError("a format that wide")
            return super().call_binop(context, operator, left, right)

        def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (Jinja's names)
            if isinstance(getattr(__obj, "__self__", None), (str, bytes, int)):
                _check_numbers(*args, *kwargs.values())
            return super().call(__context, __obj, *args, **kwargs)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: object, indent: int | None = None, ensure_ascii: bool = False) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    def bounded(work: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(work)
        def checked(value: object, *args: object, **kwargs: object) -> object:
            _check_numbers(*args, *kwargs.values())
            return work(value, *args, **kwargs)

        return checked

    sandbox = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    sandbox.filters["tojson"] = tojson
    for name in _SIZED_FILTERS:
        sandbox.filters[name] = bounded(sandbox.filters[name])
    del sandbox.globals["lipsum"]
    sandbox.globals["raise_exception"] = raise_exception
    sandbox.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return sandbox
