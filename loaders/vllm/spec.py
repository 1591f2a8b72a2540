"""What the vllm loader declares: many requests at once, spread over cards and machines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from loaders.vllm.quantization import cpu_features, format_problem, processor_problem
from modules.families.card_builds import CudaBuild
from modules.families.drafts import HeadDraftSettings, draft_bytes, draft_demand
from modules.families.node_spread import NODE_CHOICES, spread_over_nodes
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.schema import setting
from modules.protocol.variants import Variant

_CONTEXT = "Context and cache"
_DEVICES = "Devices and machines"
_MODEL = "Model"


@dataclass(frozen=True)
class Settings(HeadDraftSettings):
    """How vLLM loads and runs a model. Each help names vLLM's own argument."""

    same_rows: ClassVar[bool] = True

    context: int = setting(
        8192,
        label="Context length",
        minimum=64,
        maximum=10_000_000,
        unit="tokens",
        group=_CONTEXT,
        help="How much text the model sees at once (max_model_len). The default never exceeds the trained context.",
    )
    slots: int = setting(
        16,
        label="Replies at once",
        minimum=1,
        maximum=64,
        group=_CONTEXT,
        help="Requests computed as one batch (max_num_seqs). Further requests wait in order.",
    )
    memory_share: float = setting(
        0.9,
        label="GPU memory utilization",
        minimum=0.05,
        maximum=0.99,
        step=0.01,
        group=_CONTEXT,
        help="Share of each graphics card's memory that vLLM takes for weights and cache together, independent of the "
        "context (gpu_memory_utilization). Without a card it has no effect.",
    )
    cache_gb: float = setting(
        0.0,
        label="KV cache",
        minimum=0,
        maximum=10_000,
        unit="GiB",
        group=_CONTEXT,
        help="Memory for the KV cache of all chats together (kv_cache_memory_bytes). 0: on a graphics card what GPU "
        "memory utilization leaves, otherwise enough for two full contexts.",
    )
    cache_type: str = setting(
        "auto",
        label="KV cache type",
        choices=("auto", "fp8", "fp8_e5m2", "fp8_e4m3"),
        group=_CONTEXT,
        help="Precision of cached keys and values (kv_cache_dtype). fp8 halves their memory on cards and CPUs that "
        "support it.",
    )
    prefix_caching: bool = setting(
        True,
        label="Prefix caching",
        group=_CONTEXT,
        advanced=True,
        help="Reuses what was already read, in any chat, in whole blocks of tokens.",
    )
    dtype: str = setting(
        "auto",
        label="Data type",
        choices=("float32", "auto", "bfloat16", "float16"),
        group=_MODEL,
        help="Type of weights and arithmetic. auto: as saved, but 16 bits in place of 32 where little is lost.",
    )
    quantization: str = setting(
        "auto",
        label="Quantization",
        choices=(
            *("auto", "awq", "awq_marlin", "gptq", "gptq_marlin", "fp8", "compressed-tensors"),
            *("fp8_per_tensor", "fp8_per_block"),
        ),
        group=_MODEL,
        help="Which kernels read the weights. auto goes by the model's files. fp8_per_tensor and fp8_per_block "
        "quantize full-precision weights while loading, on a graphics card.",
    )
    tensor_parallel: int = setting(
        1,
        label="Tensor parallel",
        minimum=1,
        maximum=256,
        group=_DEVICES,
        help="Splits every layer over this many cards. It must divide the attention heads (tensor_parallel_size).",
    )
    pipeline_parallel: int = setting(
        1,
        label="Pipeline parallel",
        minimum=1,
        maximum=256,
        group=_DEVICES,
        help="Spreads the layers over this many groups of cards, one group after another. For machines with a slow "
        "network between them (pipeline_parallel_size).",
    )
    executor: str = setting(
        "auto",
        label="Executor",
        choices=("auto", "mp", "ray"),
        group=_DEVICES,
        help="mp: processes on this machine. ray: also processes on other machines, which have joined the cluster with "
        "`ray start --address` (distributed_executor_backend). auto chooses.",
    )
    nodes: str = setting(
        "off",
        label="Nodes",
        choices=NODE_CHOICES,
        group=_DEVICES,
        help="Spreads the model over all machines that have joined with `node join`; with Executor ray by a Ray "
        "cluster that Paddock starts. Tensor and pipeline parallel then come from their cards. pipeline: layers on "
        "machine after machine. tensor: each layer on all machines, for a fast network. auto: pipeline, or tensor "
        "without cards.",
    )
    ray_address: str = setting(
        "",
        label="Ray address",
        group=_DEVICES,
        advanced=True,
        help="Address of the cluster's head node, such as 192.168.0.5:6379. Empty: this machine's cluster.",
    )
    compile: str = setting(
        "auto",
        label="Compile",
        choices=("auto", "on", "off"),
        group=_MODEL,
        advanced=True,
        help="Compiles the model and records CUDA graphs (the opposite of enforce_eager). Faster, but each start takes "
        "a minute or more. auto: on with a graphics card.",
    )
    offload_gb: float = setting(
        0.0,
        label="Weights in main memory",
        minimum=0,
        maximum=10_000,
        unit="GiB",
        group=_DEVICES,
        advanced=True,
        help="How much of each card's weights stays in main memory, which is slower (cpu_offload_gb).",
    )
    lora_rank: int = setting(
        0,
        label="LoRA rank",
        choices=(0, 8, 16, 32, 64, 128, 256),
        group=_MODEL,
        advanced=True,
        help="Highest rank of adapters that can be applied later. 0: no adapters, which saves memory.",
    )


SAMPLERS = frozenset(
    {
        "temperature",
        "top_p",
        "min_p",
        "top_k",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
        "do_sample",
        "custom_token_bans",
        "logit_bias",
        "ban_eos_token",
        "grammar_string",
        "json_schema",
    }
)


# From vLLM's source (vllm/v1/sample/sampler.py, vllm/model_executor/layers/utils.py, vllm/sampling_params.py).
DIFFERS = {
    "frequency_penalty": "Counts the reply's tokens only, not the prompt's.",
    "logit_bias": "A bias beyond 100 or -100 is limited to that.",
    "min_p": "Applied before top-k and top-p.",
    "presence_penalty": "Counts the reply's tokens only, not the prompt's.",
    "temperature": "At most 2. A higher value is refused.",
    "top_k": "All tokens as likely as the last one are kept.",
}


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format == "bitsandbytes":
        return Claim(0, "vLLM 0.32 no longer reads weights quantized by bitsandbytes. Choose Transformers.", runs=False)
    if facts.format not in SPEC.formats:
        return None
    if problem := format_problem(facts):
        return Claim(0, problem, runs=False)
    if machine.has("cuda"):
        reason = "vLLM answers many requests at once, on one card or several. It takes most of their memory."
        return Claim(70, reason, speed=15, memory=-40)
    if facts.vision:
        return Claim(
            0,
            "vLLM's build for the CPU has no torchvision, which models that see images need. Choose Transformers.",
            runs=False,
        )
    if problem := processor_problem(facts.format, facts.bits, cpu_features()):
        return Claim(0, problem, runs=False)
    return Claim(30, "vLLM's build for the CPU: for many requests at once.", memory=-20)


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """Return the memory that a load takes.

    On cards vLLM fills its share with cache. Elsewhere it takes two contexts, or what the KV cache setting says. A
    draft model's keys and values lie in the same cache. Where a model is spread over several devices, each part has a
    process.
    """
    context = min(settings.context, facts.context or settings.context)
    bits = 8 if settings.cache_type.startswith("fp8") else 16
    spread = settings.tensor_parallel * settings.pipeline_parallel
    if settings.nodes != "off" and not settings.ray_address:
        # This machine has at most one part for each of its cards.
        spread = min(spread, max(1, sum(gpu.kind == "cuda" for gpu in machine.gpus)))
    cache_bytes = int(settings.cache_gb * 1024 * MEBIBYTE) or None
    if machine.has("cuda") and not cache_bytes:
        room = settings.memory_share * sum(gpu.total_bytes for gpu in machine.gpus if gpu.kind == "cuda")
        cache_bytes = max(0, int(room) - facts.size_bytes - draft_bytes(settings.draft_model, Path(facts.path)))
    demand = Demand(
        process=(680 + (600 * spread if spread > 1 or settings.executor != "auto" else 0)) * MEBIBYTE,
        context=context,
        cache_tokens=2 * context,
        cache_bits=(bits, bits),
        cache_bytes=cache_bytes,
        batch=2048,
        activation=2,
        gpu_layers=-1,
        logits=settings.slots,
        gpu_process=500 * MEBIBYTE,
    )
    own = demand if cache_bytes is None else replace(demand, cache_bytes=0)
    return replace(demand, draft=draft_demand(settings.draft_model, Path(facts.path), own))


# The wheel of vLLM 0.32 is built with torch's CUDA 13.0.
_CUDA = CudaBuild("13.0", "7.5", glibc="2.34")

SPEC = LoaderSpec(
    name="vllm",
    title="vLLM",
    summary="Many requests at once. Models can be spread over several cards or machines.",
    formats=("safetensors", "awq", "gptq", "fp8", "mxfp4", "compressed-tensors"),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    logprobs=True,
    differs=DIFFERS,
    accelerators=("cpu", "cuda"),
    systems=("linux",),
    over_nodes=spread_over_nodes,
    adapters=("peft",),
    adapters_note="vLLM applies one adapter, with weight 1. Load the model with a LoRA rank that is high enough.",
    requirements="requirements.txt",
    variants=(Variant("cuda", "CUDA 13.0", "cuda", "requirements-cuda.txt", (), _CUDA.obstacle),),
    probe="import vllm; from vllm.platforms import current_platform as found; "
    "print(vllm.__version__, found.device_type)",
)
