"""What the vllm loader declares: many requests at once, spread over cards and machines."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts, unsupported_bits_reason
from modules.protocol.schema import setting

_CONTEXT = "Context and cache"
_DEVICES = "Devices and machines"
_MODEL = "Model"


@dataclass(frozen=True)
class Settings:
    """How vLLM loads and runs a model; names in its own words are in each help."""

    context: int = setting(
        8192,
        label="Context length",
        minimum=64,
        maximum=10_000_000,
        unit="tokens",
        group=_CONTEXT,
        help="How much text the model sees at once (max_model_len). At its default never more than it was made for.",
    )
    slots: int = setting(
        16,
        label="Replies at once",
        minimum=1,
        maximum=64,
        group=_CONTEXT,
        help="Requests computed as one batch (max_num_seqs); more wait in order.",
    )
    memory_share: float = setting(
        0.9,
        label="GPU memory utilization",
        minimum=0.05,
        maximum=0.99,
        step=0.01,
        group=_CONTEXT,
        help="Share of each graphics card's memory that vLLM takes, weights and cache together, whatever the context "
        "(gpu_memory_utilization). Without a card it changes nothing.",
    )
    cache_gb: float = setting(
        0.0,
        label="KV cache",
        minimum=0,
        maximum=10_000,
        unit="GiB",
        group=_CONTEXT,
        help="Memory for what is remembered of all chats together (kv_cache_memory_bytes). 0: on a graphics card what "
        "GPU memory utilization leaves, else enough for two full contexts.",
    )
    cache_type: str = setting(
        "auto",
        label="KV cache type",
        choices=("auto", "fp8", "fp8_e5m2", "fp8_e4m3"),
        group=_CONTEXT,
        help="Precision of the remembered keys and values (kv_cache_dtype). fp8 halves their memory on cards that have "
        "it, and some CPUs.",
    )
    prefix_caching: bool = setting(
        True,
        label="Prefix caching",
        group=_CONTEXT,
        advanced=True,
        help="What was read once is not read again, in any chat, by whole blocks.",
    )
    dtype: str = setting(
        "auto",
        label="Data type",
        choices=("float32", "auto", "bfloat16", "float16"),
        group=_MODEL,
        help="Of weights and arithmetic. auto: as the model was saved, with 32 bits made 16 where that loses little.",
    )
    quantization: str = setting(
        "auto",
        label="Quantization",
        choices=("auto", "awq", "awq_marlin", "gptq", "gptq_marlin", "bitsandbytes", "fp8", "compressed-tensors"),
        group=_MODEL,
        help="Which kernels read the weights. auto goes by the model's own files. bitsandbytes and fp8 also pack whole "
        "weights while they load, on a graphics card.",
    )
    tensor_parallel: int = setting(
        1,
        label="Tensor parallel",
        minimum=1,
        maximum=256,
        group=_DEVICES,
        help="Cuts every layer over so many cards, which must divide its attention heads (tensor_parallel_size).",
    )
    pipeline_parallel: int = setting(
        1,
        label="Pipeline parallel",
        minimum=1,
        maximum=256,
        group=_DEVICES,
        help="Puts the layers on so many groups of cards, one after another; for machines with a slow network between "
        "them (pipeline_parallel_size).",
    )
    executor: str = setting(
        "auto",
        label="Executor",
        choices=("auto", "mp", "ray"),
        group=_DEVICES,
        help="mp: processes on this machine. ray: also on other machines, which joined with `ray start --address` "
        "before (distributed_executor_backend). auto chooses.",
    )
    ray_address: str = setting(
        "",
        label="Ray address",
        group=_DEVICES,
        advanced=True,
        help="Where the cluster's head listens, such as 192.168.0.5:6379. Empty: the cluster that this machine is in.",
    )
    compile: str = setting(
        "auto",
        label="Compile",
        choices=("auto", "on", "off"),
        group=_MODEL,
        advanced=True,
        help="Compiles the model and records CUDA graphs: faster, but a minute or more at each start. auto: on with a "
        "graphics card (the opposite of enforce_eager).",
    )
    offload_gb: float = setting(
        0.0,
        label="Weights in main memory",
        minimum=0,
        maximum=10_000,
        unit="GiB",
        group=_DEVICES,
        advanced=True,
        help="How much of the weights of each card stays in main memory: slower (cpu_offload_gb).",
    )
    lora_rank: int = setting(
        0,
        label="LoRA rank",
        choices=(0, 8, 16, 32, 64, 128, 256),
        group=_MODEL,
        advanced=True,
        help="The highest rank of adapters that may be applied later. 0: none; it saves memory.",
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
    }
)


# As its source has it (vllm/v1/sample/sampler.py, vllm/model_executor/layers/utils.py, vllm/sampling_params.py).
DIFFERS = {
    "frequency_penalty": "Counts the reply's tokens alone, not the prompt's.",
    "logit_bias": "A bias beyond 100, either way, is taken as 100.",
    "min_p": "Acts before top-k and top-p.",
    "presence_penalty": "Sees the reply's tokens alone, not the prompt's.",
    "temperature": "At most 2; above, the request is refused.",
    "top_k": "All tokens that tie with the last one stay.",
}


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format not in SPEC.formats:
        return None
    bits = {"gptq": (2, 3, 4, 8), "awq": (4,)}.get(facts.format, ())
    if bits and facts.bits not in (0, *bits):
        return Claim(0, unsupported_bits_reason("vLLM", facts, bits), runs=False)
    if machine.has("cuda"):
        words = "vLLM answers many requests at once, on one card or several. It takes most of their memory."
        return Claim(70, words, speed=15, memory=-40)
    if facts.format == "bitsandbytes":
        return Claim(0, "vLLM reads weights packed by bitsandbytes on an NVIDIA card only.", runs=False)
    return Claim(30, "vLLM's build for the CPU: for many requests at once.", memory=-20)


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """On cards it fills the share it is given with cache; elsewhere it takes two contexts, or what it is told. Where it
    is spread, each part has a process of its own."""
    context = min(settings.context, facts.context or settings.context)
    bits = 8 if settings.cache_type.startswith("fp8") else 16
    spread = settings.tensor_parallel * settings.pipeline_parallel
    given = int(settings.cache_gb * 1024 * MEBIBYTE) or None
    if machine.has("cuda") and not given:
        room = settings.memory_share * sum(gpu.total_bytes for gpu in machine.gpus if gpu.kind == "cuda")
        given = max(0, int(room) - facts.size_bytes)
    return Demand(
        process=(680 + (600 * spread if spread > 1 or settings.executor != "auto" else 0)) * MEBIBYTE,
        context=context,
        cache_tokens=2 * context,
        cache_bits=(bits, bits),
        cache_bytes=given,
        batch=2048,
        activation=2,
        gpu_layers=-1,
        logits=settings.slots,
        gpu_process=500 * MEBIBYTE,
    )


SPEC = LoaderSpec(
    name="vllm",
    title="vLLM",
    summary="Many requests at once; models spread over several cards or machines.",
    formats=("safetensors", "awq", "gptq", "bitsandbytes"),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    samplers=SAMPLERS,
    differs=DIFFERS,
    accelerators=("cpu", "cuda"),
    systems=("linux",),
    adapters=("peft",),
    adapters_note="vLLM applies one adapter, with weight 1, and wants the model loaded with a LoRA rank that suffices.",
    requirements="requirements.txt",
    probe="import vllm; from vllm.platforms import current_platform as found; "
    "print(vllm.__version__, found.device_type)",
)
