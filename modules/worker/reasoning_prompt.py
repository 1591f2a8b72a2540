"""Prompts for models that reason: the reasoning that a template begins, and earlier replies in its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from modules.families.message_content import content_text
from modules.families.reasoning import Markers, find_markers, open_reasoning, split_reasoning

# render(messages, continue_last) returns the chat as the template writes it.
Render = Callable[[Sequence[Mapping[str, object]], bool], str]


def render_reasoning_prompt(
    render: Render, template: str, messages: Sequence[Mapping[str, object]], continue_last: bool
) -> tuple[str, str]:
    """Return (the prompt, the reasoning that it begins for the reply, or "")."""
    markers = find_markers(template)
    earlier = [_with_reasoning_apart(message, markers) for message in messages]
    if not continue_last:
        prompt = render(earlier, False)
        return prompt, open_reasoning(prompt, content_text(earlier[-1].get("content")) if earlier else "", template)
    last = content_text(messages[-1]["content"])
    if not any(last.lstrip().startswith(pair.start) for pair in markers):
        return render([*earlier[:-1], messages[-1]], True), ""
    # Templates remove reasoning from a message or close it. The model wrote it directly after this prompt.
    prompt = render(earlier[:-1], False)
    begun = open_reasoning(prompt, content_text(earlier[-2].get("content")) if len(earlier) > 1 else "", template)
    return prompt + (last[len(begun) :] if last.startswith(begun) else last), ""


def skip_reasoning(prompt: str, opening: str, template: str) -> str:
    """Return a prompt after which the model writes its answer at once. `opening`: the reasoning that it begins."""
    markers = find_markers(opening or template)
    if opening:
        return f"{prompt.rstrip()}\n{markers[0].end}\n\n{markers[0].answer}" if markers else prompt
    answer = next((pair.answer for pair in markers if pair.answer), "")
    begun = next((size for size in range(len(answer), 0, -1) if prompt.endswith(answer[:size])), 0)
    return prompt + answer[begun:] if begun else prompt


def _with_reasoning_apart(message: Mapping[str, object], markers: Sequence[Markers]) -> Mapping[str, object]:
    """Return an earlier reply with its reasoning under all names that templates read.

    A template with channels (OpenAI's harmony) refuses its markers in a message and writes them itself. Other templates
    also read the reasoning from the text.
    """
    channels = [pair for pair in markers if pair.answer]
    content = message.get("content")
    if isinstance(given := message.get("reasoning_content"), str) and given:
        return {"thinking": given, **message}
    if message.get("role") != "assistant" or not isinstance(content, str) or not channels:
        return message
    reasoning, answer = split_reasoning(content, channels)
    if not reasoning:
        return message
    return {**message, "content": answer, "thinking": reasoning, "reasoning_content": reasoning}
