"""Settings of a LoRA training: of the base, the adapter, the optimizer and the data. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.schema import setting

_BASE = "Base model"
_ADAPTER = "Adapter"
_STEPS = "Training"
_DATA = "Data"

# Optimizers of Transformers' Trainer. Those in 8 bits and the paged ones are bitsandbytes'; on a CPU nothing is paged.
OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_32bit": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "lion_8bit": "lion_8bit",
}


@dataclass(frozen=True)
class TrainingSettings:
    """How an adapter is trained: LoRA (Hu et al. 2021), on an NF4 base QLoRA (Dettmers et al. 2023)."""

    base: str = setting(
        "nf4",
        label="Base",
        choices=("nf4", "int8", "16bit"),
        group=_BASE,
        help="How the model's own weights are held during training. nf4 (QLoRA) takes the least memory, int8 more, "
        "16bit the most. On a CPU, 16bit computes in 32 bits.",
    )
    rank: int = setting(
        16,
        label="Rank",
        minimum=1,
        maximum=1024,
        group=_ADAPTER,
        help="Size of the two small matrices beside each layer. A higher rank can learn more and takes more memory.",
    )
    alpha: float = setting(
        32.0,
        label="Alpha",
        minimum=0.1,
        maximum=4096,
        group=_ADAPTER,
        help="Strength of the adapter: it is scaled by alpha / rank. Twice the rank is usual.",
    )
    dropout: float = setting(
        0.0,
        label="Dropout",
        minimum=0,
        maximum=0.9,
        step=0.01,
        group=_ADAPTER,
        help="Share of inputs that are ignored at random, against learning by heart.",
    )
    targets: str = setting(
        "all-linear",
        label="Layers",
        group=_ADAPTER,
        help="Layers that get an adapter: all-linear for all linear layers except the head, or names such as "
        "q_proj, v_proj.",
    )
    rslora: bool = setting(
        False,
        label="Rank-stabilized (rsLoRA)",
        group=_ADAPTER,
        advanced=True,
        help="Scales by alpha / √rank, which helps high ranks.",
    )
    dora: bool = setting(
        False,
        label="DoRA",
        group=_ADAPTER,
        advanced=True,
        help="Trains length and direction of the weights separately. Often better at low ranks, and slower.",
    )
    learning_rate: float = setting(
        2e-4, label="Learning rate", minimum=1e-7, maximum=1, step=1e-5, group=_STEPS, help="2e-4 is usual for LoRA."
    )
    schedule: str = setting(
        "cosine",
        label="Schedule",
        choices=("cosine", "linear", "constant"),
        group=_STEPS,
        advanced=True,
        help="How the learning rate falls after the warm-up.",
    )
    warmup: float = setting(
        0.05,
        label="Warm-up",
        minimum=0,
        maximum=0.9,
        step=0.01,
        group=_STEPS,
        advanced=True,
        help="Share of the steps in which the learning rate rises.",
    )
    optimizer: str = setting(
        "adamw", label="Optimizer", choices=tuple(OPTIMIZERS), group=_STEPS, help="Those in 8 bits take less memory."
    )
    epochs: float = setting(
        3.0, label="Epochs", minimum=0.01, maximum=10_000, step=0.5, group=_STEPS, help="Passes over the data."
    )
    batch_size: int = setting(
        2, label="Batch size", minimum=1, maximum=4096, group=_STEPS, help="Examples computed at once."
    )
    accumulation: int = setting(
        1,
        label="Accumulation",
        minimum=1,
        maximum=4096,
        group=_STEPS,
        help="Batches that make one step: like a larger batch, in less memory.",
    )
    early_stop: int = setting(
        0,
        label="Early stop",
        minimum=0,
        maximum=100,
        group=_STEPS,
        advanced=True,
        help="Stop after so many epochs without a better validation loss, and keep the best adapter. 0 never stops "
        "early.",
    )
    seed: int = setting(
        42, label="Seed", minimum=0, maximum=2**31 - 1, group=_STEPS, advanced=True, help="For repeats."
    )
    cutoff: int = setting(
        512,
        label="Cutoff length",
        minimum=8,
        maximum=1_000_000,
        unit="tokens",
        group=_DATA,
        help="Longer examples lose their end. Raw text is cut into pieces of this length.",
    )
    replies_only: bool = setting(
        True,
        label="Replies only",
        group=_DATA,
        help="Learn only the replies of the assistant. Raw text is always learned whole.",
    )
    validation: float = setting(
        0.0,
        label="Validation split",
        minimum=0,
        maximum=0.5,
        step=0.01,
        group=_DATA,
        help="Share of the examples that are not trained on, to measure the loss on new text.",
    )
    sample: str = setting(
        "",
        label="Sample prompt",
        group=_DATA,
        help="A question that the model answers after each epoch, to show what it has learned.",
    )
