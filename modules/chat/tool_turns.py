"""The messages of a prompt that a reply with calls of tools stands for: each round, and the results after it."""

from __future__ import annotations

from collections.abc import Sequence

from modules.chat.parts import REASONING, TEXT, TOOL_CALL, TOOL_RESULT, Part, reasoning_text
from modules.chat.tool_calls import NOT_RUN


def split_rounds(parts: Sequence[Part]) -> list[tuple[Part, ...]]:
    """Return the rounds of a reply: what the model wrote, and then the results. At least one.

    The last one has no calls: it is the answer, or empty if there is none yet.
    """
    rounds: list[list[Part]] = [[]]
    for part in parts:
        if rounds[-1] and rounds[-1][-1].kind == TOOL_RESULT != part.kind:
            rounds.append([])
        rounds[-1].append(part)
    if any(part.kind == TOOL_CALL for part in rounds[-1]):
        rounds.append([])
    return [tuple(one) for one in rounds]


def round_turns(parts: Sequence[Part]) -> list[dict[str, object]]:
    """Return the messages of one round with calls: the model's, and one for each result."""
    calls = [part for part in parts if part.kind == TOOL_CALL]
    results = {part.meta.get("id"): part.text for part in parts if part.kind == TOOL_RESULT}
    turn: dict[str, object] = {
        "role": "assistant",
        "content": "".join(part.text for part in parts if part.kind == TEXT).strip(),
        "tool_calls": [
            {"id": call.meta["id"], "type": "function", "function": {"name": call.meta["name"], "arguments": call.text}}
            for call in calls
        ],
    }
    if reasoning := reasoning_text(part for part in parts if part.kind == REASONING):
        turn["reasoning_content"] = reasoning
    return [
        turn,
        *(
            {
                "role": "tool",
                "tool_call_id": call.meta["id"],
                "name": call.meta["name"],
                "content": results.get(call.meta["id"], NOT_RUN),
            }
            for call in calls
        ),
    ]
