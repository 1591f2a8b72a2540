"""Images in prompts for vLLM: their pixels, and how many tokens they take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.protocol.errors import PromptError
from modules.worker.hf.image_input import image_mark, open_images
from modules.worker.hf.image_processor import load_processor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Images:
    """The images of the model in `folder`, which vLLM has loaded with its part for images.

    `mark`: what stands for one in a prompt; "" if there is no processor (`problem`: why), and then none are taken.
    """

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        self._processor: Any
        self._processor, self.problem = load_processor(folder, tokenizer)
        if self._processor and not hasattr(self._processor, "image_processor"):
            self._processor, self.problem = None, "It hears, and Paddock sends no sound to vLLM."
        self.mark = image_mark(self._processor) if self._processor else ""

    def count(self, text: str, paths: Sequence[str]) -> int:
        """Return the length of a prompt with images. Raises PromptError."""
        try:
            found = self._processor(text=[text], images=open_images(paths), add_special_tokens=True)
        except (ValueError, RuntimeError) as error:
            raise PromptError(f"The model's processor cannot read these images ({error}). Attach other ones.") from None
        return len(found["input_ids"][0])

    def prompt(self, tokens: list[int], paths: Sequence[str]) -> dict[str, object]:
        """Return a prompt for vLLM, which puts the tokens of an image in the place of its mark."""
        return {"prompt_token_ids": tokens, "multi_modal_data": {"image": open_images(paths)}}
