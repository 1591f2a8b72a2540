"""Write a projector for images with made weights: `python projector_maker.py HIDDEN FILE`, with gguf-py.

A tiny CLIP encoder with random weights, and an MLP as in LLaVA 1.5 into an embedding of HIDDEN numbers. The image has
28 x 28 pixels, which are 4 patches and so 4 tokens.
"""

from __future__ import annotations

import sys

IMAGE_SIZE, PATCH_SIZE, WIDTH, LAYERS = 28, 14, 32, 2
TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2


def make(hidden: int, file: str) -> None:
    """Write the file."""
    import gguf
    import numpy as np

    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(file, "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_type("mmproj")
    writer.add_file_type(0)
    for name, number in {
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        "embedding_length": WIDTH,
        "feed_forward_length": 2 * WIDTH,
        "block_count": LAYERS,
        "attention.head_count": 2,
        "projection_dim": hidden,
    }.items():
        writer.add_uint32(f"clip.vision.{name}", number)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    writer.add_bool("clip.use_gelu", True)

    def add(name: str, *shape: int, scale: float = 0.3) -> None:
        writer.add_tensor(name, (scale * random.standard_normal(shape)).astype(np.float32))

    add("v.patch_embd.weight", WIDTH, 3, PATCH_SIZE, PATCH_SIZE)
    add("v.class_embd", WIDTH)
    add("v.position_embd.weight", TOKENS + 1, WIDTH)
    for norm in ("v.pre_ln", *(f"v.blk.{layer}.ln{place}" for layer in range(LAYERS) for place in (1, 2))):
        writer.add_tensor(f"{norm}.weight", np.ones(WIDTH, np.float32))
        writer.add_tensor(f"{norm}.bias", np.zeros(WIDTH, np.float32))
    for layer in range(LAYERS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            add(f"v.blk.{layer}.{part}.weight", WIDTH, WIDTH)
            add(f"v.blk.{layer}.{part}.bias", WIDTH)
        add(f"v.blk.{layer}.ffn_up.weight", 2 * WIDTH, WIDTH)
        add(f"v.blk.{layer}.ffn_up.bias", 2 * WIDTH)
        add(f"v.blk.{layer}.ffn_down.weight", WIDTH, 2 * WIDTH)
        add(f"v.blk.{layer}.ffn_down.bias", WIDTH)
    add("mm.0.weight", hidden, WIDTH)
    add("mm.0.bias", hidden)
    add("mm.2.weight", hidden, hidden, scale=0.1)
    add("mm.2.bias", hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    make(int(sys.argv[1]), sys.argv[2])
