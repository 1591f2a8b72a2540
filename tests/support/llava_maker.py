"""Write a tiny LLaVA around a Llama: `python llava_maker.py LLAMA FOLDER`, with Transformers 5 and Pillow.

The Llama keeps its weights, so it answers as before. The CLIP encoder and the projector behind it are random; an image
takes four tokens.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

IMAGE_SIZE, PATCH_SIZE = 28, 14
TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make(llama: str, folder: str, template: str = TEMPLATE) -> None:
    """Write the folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlavaConfig, LlavaForConditionalGeneration

    text = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(llama, local_files_only=True)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    token = tokenizer.convert_tokens_to_ids("<image>")
    text.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    vision = {
        "model_type": "clip_vision_model",
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    # Without the Llama's folder, which counts as one that the model leads to.
    words = {key: value for key, value in text.config.to_dict().items() if key != "_name_or_path"}
    config = LlavaConfig(vision_config=vision, text_config=words, image_token_index=token, image_seq_length=TOKENS)
    torch.manual_seed(3)
    model = LlavaForConditionalGeneration(config).float().eval()
    for name, weight in model.named_parameters():
        if "vision" in name or "projector" in name:
            weight.data = 0.5 * torch.randn_like(weight)
    model.model.language_model.load_state_dict(text.model.state_dict())
    model.lm_head.load_state_dict(text.lm_head.state_dict())
    model.generation_config = text.generation_config
    model.save_pretrained(folder)
    processor(tokenizer, template).save_pretrained(folder)
    Path(folder, "chat_template.jinja").write_text(template, encoding="utf-8")


def processor(tokenizer: Any, template: str) -> Any:
    """Return the processor for images of IMAGE_SIZE."""
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    images = CLIPImageProcessorPil(size=size, crop_size=size)
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=template,
    )


if __name__ == "__main__":
    make(*sys.argv[1:])
