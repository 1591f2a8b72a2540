"""Sentences for what vLLM raises while it answers."""

from __future__ import annotations

import re

from modules.protocol.errors import OutOfMemory, PaddockError, PromptError
from modules.protocol.json_schema import unreadable_grammar_error
from modules.protocol.sampling import SamplingParams

# What vLLM raises for an invalid request, by name, since vLLM is imported late.
_CLIENT_ERRORS = ("ValueError", "VLLMClientError", "VLLMValidationError")
_NO_MEMORY = re.compile("out of memory|OutOfMemory|ALLOC_FAILED|allocate memory", re.IGNORECASE)
_ABOUT_GRAMMAR = re.compile("grammar|schema|regex", re.IGNORECASE)


def request_error(error: Exception, params: SamplingParams) -> PaddockError:
    """Return the exception for an error of vLLM, with a next step."""
    words = str(error) or type(error).__name__
    refused = any(kind.__name__ in _CLIENT_ERRORS for kind in type(error).__mro__)
    if (params.grammar_string or params.json_schema) and refused and _ABOUT_GRAMMAR.search(words):
        return unreadable_grammar_error("vLLM", words)
    if refused:
        return PromptError(f"vLLM does not accept this request: {words.rstrip('.')}. Change it.", detail=words)
    if _NO_MEMORY.search(words):
        return OutOfMemory(
            "vLLM ended the reply because memory ran out. The text so far is kept. Close other programs that use the "
            "card, or lower GPU memory utilization (memory_share) or Context length (context), and load the model "
            "again.",
            detail=words,
            lower=("context",),
        )
    return PaddockError(f"vLLM ended the reply: {words.rstrip('.')}. Try again, or load the model again.", detail=words)
