"""Turn exceptions of torch and of an ExLlama engine into error messages."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from modules.protocol.errors import OutOfMemory, PaddockError
from modules.worker.broken_weights import nan_logits_error
from modules.worker.hf.error_messages import is_out_of_memory

_ADVICE = "Lower Context length, choose cache type q8 or q4, or use a smaller quantization."


@contextmanager
def translate_errors(engine: str, doing: str, lower: tuple[str, ...], advice: str = _ADVICE) -> Iterator[None]:
    """Turn exceptions raised in the block into PaddockErrors. `engine`: its name for people; `doing` completes "Not
    enough memory for …"; `lower`: settings that take less; `advice`: what to do then."""
    try:
        yield
    except PaddockError:
        raise
    except Exception as error:
        message = str(error).strip().split("\n")[0][:300]
        full = "pages" in message or "Insufficient" in message or "VRAM" in message
        if is_out_of_memory(error) or full:
            raise OutOfMemory(
                f"Not enough memory on the graphics card for {doing}. {advice}",
                detail=traceback.format_exc(),
                lower=lower,
            ) from None
        if type(error).__name__ == "NonFiniteLogits":
            raise nan_logits_error() from None
        if isinstance(error, (AssertionError, NotImplementedError)):
            raise PaddockError(
                f"{engine} does not accept this: {message or 'no reason given'}. Change the setting, or choose "
                "another loader.",
                detail=traceback.format_exc(),
            ) from None
        raise
