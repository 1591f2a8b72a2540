"""Write a projector for sound with made weights: `python audio_projector_maker.py HIDDEN FILE`, with gguf-py.

A tiny Whisper encoder with random weights, and a projector as in Ultravox into an embedding of HIDDEN numbers. The
encoder reads 30 seconds as 1500 frames, and each STACK of them become one token.
"""

from __future__ import annotations

import sys

MELS, FRAMES, WIDTH, LAYERS, STACK, MIDDLE = 80, 1500, 32, 2, 30, 48
# For each 30 seconds that have begun.
TOKENS = FRAMES // STACK


def make(hidden: int, file: str) -> None:
    """Write the file."""
    import gguf
    import numpy as np

    random = np.random.default_rng(11)
    writer = gguf.GGUFWriter(file, "clip")
    writer.add_bool("clip.has_audio_encoder", True)
    writer.add_bool("clip.has_vision_encoder", False)
    writer.add_string("clip.projector_type", "ultravox")
    writer.add_type("mmproj")
    writer.add_file_type(0)
    for name, number in {
        "num_mel_bins": MELS,
        "embedding_length": WIDTH,
        "feed_forward_length": 2 * WIDTH,
        "block_count": LAYERS,
        "attention.head_count": 2,
        "projection_dim": hidden,
        "projector.stack_factor": STACK,
    }.items():
        writer.add_uint32(f"clip.audio.{name}", number)
    writer.add_float32("clip.audio.attention.layer_norm_epsilon", 1e-5)
    writer.add_bool("clip.use_gelu", True)

    def add(name: str, *shape: int, scale: float = 0.3) -> None:
        writer.add_tensor(name, (scale * random.standard_normal(shape)).astype(np.float32))

    add("a.conv1d.1.weight", WIDTH, MELS, 3)
    add("a.conv1d.1.bias", WIDTH, 1)
    add("a.conv1d.2.weight", WIDTH, WIDTH, 3)
    add("a.conv1d.2.bias", WIDTH, 1)
    add("a.position_embd.weight", FRAMES, WIDTH)
    for norm in ("a.post_ln", *(f"a.blk.{layer}.ln{place}" for layer in range(LAYERS) for place in (1, 2))):
        writer.add_tensor(f"{norm}.weight", np.ones(WIDTH, np.float32))
        writer.add_tensor(f"{norm}.bias", np.zeros(WIDTH, np.float32))
    for layer in range(LAYERS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            add(f"a.blk.{layer}.{part}.weight", WIDTH, WIDTH)
            if part != "attn_k":  # Whisper's keys have no bias.
                add(f"a.blk.{layer}.{part}.bias", WIDTH)
        add(f"a.blk.{layer}.ffn_up.weight", 2 * WIDTH, WIDTH)
        add(f"a.blk.{layer}.ffn_up.bias", 2 * WIDTH)
        add(f"a.blk.{layer}.ffn_down.weight", WIDTH, 2 * WIDTH)
        add(f"a.blk.{layer}.ffn_down.bias", WIDTH)
    writer.add_tensor("mm.a.norm_pre.weight", np.ones(WIDTH * STACK, np.float32))
    writer.add_tensor("mm.a.norm_mid.weight", np.ones(MIDDLE, np.float32))
    add("mm.a.mlp.1.weight", 2 * MIDDLE, WIDTH * STACK, scale=0.1)
    add("mm.a.mlp.2.weight", hidden, MIDDLE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    make(int(sys.argv[1]), sys.argv[2])
