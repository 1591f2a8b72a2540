"""The parts of the exllamav2 loader that need no GPU: claim, settings, samplers, and the generator's thread."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loaders.exllamav2.jobs import JobFactory
from loaders.exllamav2.lora import read_adapter, remove_adapters
from loaders.exllamav2.model_headers import read_config
from loaders.exllamav2.model_setup import apply_settings, lengths_of, load_weights
from loaders.exllamav2.sampler_settings import breaker_tokens, sampler_settings
from loaders.exllamav2.spec import SAMPLERS, SPEC, Settings
from loaders.exllamav2.worker import Engine
from modules.library.ranking import rank_loaders
from modules.protocol.errors import ModelError, OutOfMemory, PromptError, SettingError, Unsupported
from modules.protocol.model_facts import Gpu, Machine, ModelFacts
from modules.protocol.sampling import SamplingParams
from modules.worker.exllama.batcher import Batcher
from modules.worker.exllama.lengths import parse_gpu_split, round_up_to_pages
from modules.worker.hf.cuda_kernels import prepare_compilation
from modules.worker.hf.folder_tokenizer import FolderTokenizer
from tests.support.models import write_safetensors

BARE = Machine("linux", "x86_64", 4, 2**34, 2**33)
CARD = replace(BARE, gpus=(Gpu("cuda", "a card", 2**34, 2**34),))


@pytest.mark.parametrize("facts", [ModelFacts("m", "m", "exl2", bits=4.65), ModelFacts("m", "m", "gptq", bits=4)])
def test_exllamav2_requires_cuda_and_names_it(facts: ModelFacts) -> None:
    (there,), (here,) = rank_loaders(facts, [SPEC], CARD), rank_loaders(facts, [SPEC], BARE)
    assert there.runs and there.score >= 85
    assert not here.runs
    assert here.reason == "ExLlamaV2 needs CUDA, which this machine does not have."


@pytest.mark.parametrize("facts", [ModelFacts("m", "m", "gptq", bits=8), ModelFacts("m", "m", "safetensors")])
def test_exllamav2_claims_only_formats_that_it_reads(facts: ModelFacts) -> None:
    assert not any(entry.runs for entry in rank_loaders(facts, [SPEC], CARD))


def test_neutral_parameters_are_neutral_in_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = sampler_settings(SamplingParams(), 32000)
    off = {name: value for name, value in fields.items() if name not in ("temperature", "token_repetition_penalty")}
    assert fields["temperature"] == fields["token_repetition_penalty"] == 1
    assert off["top_k"] == off["top_p"] == off["top_a"] == off["min_p"] == off["tfs"] == off["typical"] == 0
    assert off["token_repetition_range"] == -1
    assert off["mirostat"] is False and off["dry_multiplier"] == off["xtc_probability"] == 0
    assert "cfg_scale" not in fields


@pytest.mark.parametrize(
    "given, expected",
    [
        (
            {"do_sample": False, "temperature": 2.0, "repetition_penalty": 1.5},
            {"top_k": 1, "token_repetition_penalty": 1},
        ),
        ({"temperature": 0, "repetition_penalty": 1.5, "top_p": 0.5}, {"top_k": 1, "token_repetition_penalty": 1.5}),
        ({"temperature": 0, "top_p": 0.5, "min_p": 0.2}, {"top_p": 0, "min_p": 0, "temperature": 1}),
        ({"top_p": 0}, {"top_p": 1e-6}),
        ({"top_p": 0.9, "typical_p": 0.8, "tfs": 0.7}, {"top_p": 0.9, "typical": 0.8, "tfs": 0.7}),
        ({"repetition_penalty_range": 64}, {"token_repetition_range": 64, "dry_range": 64}),
        ({"repetition_penalty_range": 3}, {"token_repetition_range": 3, "dry_range": 21}),
        ({"mirostat_mode": 2, "mirostat_tau": 3.0}, {"mirostat": True, "mirostat_tau": 3.0}),
        (
            {"dynamic_temperature": True, "dynatemp_low": 2, "dynatemp_high": 0.5},
            {"min_temp": 0.5, "max_temp": 2, "temperature": 1},
        ),
        ({"dynamic_temperature": True, "dynatemp_low": 0.7, "dynatemp_high": 0.7}, {"temperature": 0.7, "max_temp": 0}),
        ({"mirostat_mode": 2, "top_k": 5, "min_p": 0.5, "smoothing_factor": 1}, {"top_k": 0, "min_p": 0}),
        (
            {"mirostat_mode": 2, "smoothing_factor": 1, "xtc_probability": 1},
            {"smoothing_factor": 1, "xtc_probability": 0},
        ),
        ({"xtc_probability": 0.5}, {"xtc_probability": 0.5, "top_k": 31999}),
        ({"min_p": 1}, {"min_p": 0.999999}),
        ({"xtc_probability": 0.5, "top_k": 40}, {"top_k": 40, "top_p": 0}),
        ({"guidance_scale": 1.5}, {"cfg_scale": 1.5}),
        ({"smoothing_factor": 0.3, "temperature_last": True}, {"smoothing_factor": 0.3, "temperature_last": True}),
    ],
)
def test_each_parameter_reaches_the_engine(given: dict[str, Any], expected: dict[str, Any]) -> None:
    fields = sampler_settings(SamplingParams(**given), 32000)
    assert {name: fields[name] for name in expected} == expected


def test_unsupported_parameters_are_refused_and_not_declared() -> None:
    with pytest.raises(Unsupported, match="Mirostat 2 only"):
        sampler_settings(SamplingParams(mirostat_mode=1), 32000)
    assert not SAMPLERS & {"sampler_priority", "epsilon_cutoff", "top_n_sigma", "smoothing_curve"}


def test_sequence_breakers_are_the_tokens_that_contain_them() -> None:
    assert breaker_tokens(["a", ":\n", "b:", '"', "c"], [":", '"', ""]) == {1, 2, 3}


def test_lengths_are_multiples_of_a_page() -> None:
    assert [round_up_to_pages(tokens) for tokens in (0, 1, 256, 257)] == [0, 256, 256, 512]
    plain = lengths_of(Settings(context=1000, batch=300), trained=4096)
    assert (plain.context, plain.cache, plain.batch) == (1024, 1024, 512)
    assert lengths_of(Settings(), trained=2048).context == 2048
    assert lengths_of(Settings(rope_alpha=2.6), trained=2048).context == 8192
    assert lengths_of(Settings(context=4096), trained=2048).context == 4096
    assert lengths_of(Settings(context=1024, cache_tokens=5000), trained=2048).cache == 5120
    assert lengths_of(Settings(context=1024, ngram_draft=True), trained=2048).cache == 1280


@pytest.mark.parametrize("text, split", [("", None), ("20, 22", [20.0, 22.0]), ("17.2;24", [17.2, 24.0])])
def test_a_gpu_split_is_read(text: str, split: list[float] | None) -> None:
    assert parse_gpu_split(text) == split


@pytest.mark.parametrize("text", ["much", "20,,x", "-1", "nan"])
def test_an_invalid_gpu_split_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="GPU split"):
        parse_gpu_split(text)


@dataclass
class Config:
    """The fields of ExLlamaV2Config that settings change, with its defaults."""

    max_seq_len: int = 2048
    max_input_len: int = 2048
    max_attention_size: int = 2048**2
    scale_pos_emb: float = 1.0
    scale_alpha_value: float = 1.0
    alt_rope_method: str | None = None
    yarn_rope_factor: float | None = None
    yarn_rope_original_max_position_embeddings: int | None = None
    no_flash_attn: bool = False
    overridden: bool = False

    def arch_compat_overrides(self) -> None:
        """Disable what the architecture does not support, as in ExLlamaV2."""
        self.overridden = True


def test_settings_become_the_engines_configuration() -> None:
    settings = Settings(context=4096, batch=512, rope_alpha=2.6, rope_scale=2, flash_attention=False, rope_yarn=4)
    config = Config()
    apply_settings(config, settings, lengths_of(settings, config.max_seq_len))
    assert (config.max_seq_len, config.max_input_len, config.max_attention_size) == (4096, 512, 512**2)
    assert (config.scale_alpha_value, config.scale_pos_emb, config.no_flash_attn) == (2.6, 2, True)
    assert (config.alt_rope_method, config.yarn_rope_factor) == ("yarn", 4)
    assert config.yarn_rope_original_max_position_embeddings == 2048
    assert config.overridden


class Module:
    """Records the arguments with which ExLlamaV2 would load."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def ExLlamaV2(self, config: Any) -> Module:
        return self

    def load(self, split: Any, callback: Any) -> None:
        callback(1, 4)
        self.calls.append(("load", split))

    def load_autosplit(self, cache: Any, reserve_vram: Any, last_id_only: bool, callback: Any) -> None:
        self.calls.append(("autosplit", reserve_vram))

    def load_tp(self, split: Any, callback: Any, expect_cache_tokens: int, expect_cache_base: Any) -> None:
        self.calls.append(("tensor parallel", split, expect_cache_tokens, expect_cache_base))

    def ExLlamaV2Cache_TP(self, model: Any, base: Any, max_seq_len: int) -> str:
        return f"parallel {base.__name__} {max_seq_len}"

    def ExLlamaV2Cache(self, model: Any, max_seq_len: int, lazy: bool = False) -> str:
        return f"fp16 {max_seq_len} {lazy}"

    def ExLlamaV2Cache_Q4(self, model: Any, max_seq_len: int, lazy: bool = False) -> str:
        return f"q4 {max_seq_len} {lazy}"


@pytest.mark.parametrize(
    "settings, calls, cache",
    [
        (Settings(), [("autosplit", None)], "fp16 512 True"),
        (Settings(reserve=1.5), [("autosplit", 3 * 2**29)], "fp16 512 True"),
        (Settings(gpu_split="20,22", cache_type="q4"), [("load", [20.0, 22.0])], "q4 512 False"),
    ],
)
def test_weights_go_where_the_settings_say(settings: Settings, calls: list[Any], cache: str) -> None:
    module = Module()
    _, made = load_weights(module, None, settings, 512, lambda text, part: None, "Loading")
    assert (module.calls, made) == (calls, cache)


def test_tensor_parallel_has_its_own_cache() -> None:
    module = Module()
    _, cache = load_weights(
        module, None, Settings(tensor_parallel=True, cache_type="q4"), 512, lambda text, part: None, ""
    )
    assert cache == "parallel ExLlamaV2Cache_Q4 512"
    assert module.calls[0][:3] == ("tensor parallel", None, 512)


@dataclass(eq=False)
class Linear:
    """A linear layer like ExLlamaV2's."""

    lora_a_tensors: dict[Any, str] = field(default_factory=dict)
    lora_b_tensors: dict[Any, str] = field(default_factory=dict)


@dataclass(eq=False)
class Adapted:
    """The parts of a model that adapters use."""

    modules_dict: dict[str, Any] = field(default_factory=lambda: {"norm": object(), "q_proj": Linear()})
    updates: int = 0

    def update_loras(self) -> None:
        self.updates += 1


class LoraModule:
    """Stands for the module exllamav2. A loaded adapter adds itself to the layers."""

    @staticmethod
    def ExLlamaV2Lora(model: Adapted, config: str, weights: str, scaling: float) -> tuple[str, float]:  # noqa: N802
        made = (Path(weights).parent.name, scaling)
        model.modules_dict["q_proj"].lora_a_tensors[made] = "A"
        model.modules_dict["q_proj"].lora_b_tensors[made] = "B"
        return made


def _adapter_folder(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, **config}))
    write_safetensors(folder / "adapter_model.safetensors", {"lora_A": [4, 8]})
    return folder


def test_unused_adapters_are_removed_from_the_layers(tmp_path: Path) -> None:
    model = Adapted()
    kept = read_adapter(LoraModule, model, _adapter_folder(tmp_path / "kept"), 0.5)
    dropped = read_adapter(LoraModule, model, _adapter_folder(tmp_path / "dropped", use_rslora=True), 0.5)
    # ExLlamaV2 scales rank-stabilised adapters by the root of r.
    assert (kept, dropped) == (("kept", 0.5), ("dropped", 0.5))
    remove_adapters(model, [kept])
    assert model.modules_dict["q_proj"].lora_a_tensors == {kept: "A"}
    assert model.modules_dict["q_proj"].lora_b_tensors == {kept: "B"}
    assert model.updates == 1


def test_a_pickled_adapter_is_refused(tmp_path: Path) -> None:
    folder = _adapter_folder(tmp_path / "old")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match="has no adapter_model.safetensors"):
        read_adapter(LoraModule, Adapted(), folder, 1.0)


@dataclass(eq=False)
class Job:
    """A job that ends after some steps. Jobs are compared by identity."""

    steps: int


@dataclass
class Generator:
    """A generator with the methods that the batcher uses. `entered`: the threads that used it."""

    jobs: list[Job] = field(default_factory=list)
    entered: set[int] = field(default_factory=set)
    most: int = 0
    broken: bool = False

    def enqueue(self, job: Job) -> None:
        self.entered.add(threading.get_ident())
        if job.steps < 0:
            raise AssertionError("Job requires 9 pages")
        self.jobs.append(job)

    def cancel(self, job: Job) -> None:
        self.entered.add(threading.get_ident())
        self.jobs.remove(job)

    def clear_queue(self) -> None:
        self.jobs.clear()
        if self.broken:
            raise RuntimeError("CUDA error, still")

    def iterate(self) -> list[dict[str, Any]]:
        self.entered.add(threading.get_ident())
        self.most = max(self.most, len(self.jobs))
        if self.broken:
            raise RuntimeError("CUDA error")
        results = []
        for job in list(self.jobs):
            job.steps -= 1
            results.append({"job": job, "eos": job.steps == 0, "left": job.steps})
            if job.steps == 0:
                self.jobs.remove(job)
        return results


def _batcher() -> tuple[Batcher, Generator]:
    batcher, generator = Batcher(), Generator()
    batcher.use(generator)
    return batcher, generator


def test_requests_of_several_threads_share_the_batch_on_one_thread() -> None:
    batcher, generator = _batcher()
    cancelled, tickets = threading.Event(), []

    def begin() -> None:
        tickets.append(batcher.submit(lambda: Job(10**9), cancelled))

    threads = [threading.Thread(target=begin) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    # The last job's first result is from an iteration with all three jobs.
    next(iter(tickets[-1]))
    assert generator.most == 3
    for ticket in tickets:
        ticket.close()
    batcher.close()
    assert len(generator.entered) == 1
    assert not generator.entered & {threading.get_ident(), *(thread.ident for thread in threads)}


def test_the_error_of_a_job_reaches_its_request() -> None:
    batcher, _ = _batcher()
    with pytest.raises(AssertionError, match="9 pages"):
        batcher.submit(lambda: Job(-1), threading.Event())
    assert len(list(batcher.submit(lambda: Job(2), threading.Event()))) == 2
    batcher.close()


def test_a_cancelled_job_is_removed_and_others_continue() -> None:
    batcher, generator = _batcher()
    cancelled = threading.Event()
    endless = batcher.submit(lambda: Job(10**9), cancelled)
    assert next(iter(endless))["eos"] is False
    cancelled.set()
    list(endless)
    endless.close()
    assert batcher.call(lambda: list(generator.jobs)) == []
    assert len(list(batcher.submit(lambda: Job(3), threading.Event()))) == 3
    batcher.close()


def test_an_error_of_the_batch_reaches_all_its_requests_and_the_next_runs() -> None:
    batcher, generator = _batcher()
    held = threading.Event()
    waiting = threading.Thread(target=batcher.call, args=(held.wait,))
    waiting.start()
    generator.broken = True
    held.set()
    ticket = batcher.submit(lambda: Job(5), threading.Event())
    with pytest.raises(RuntimeError, match="CUDA error"):
        list(ticket)
    ticket.close()
    generator.broken = False
    assert len(list(batcher.submit(lambda: Job(2), threading.Event()))) == 2
    waiting.join()
    batcher.close()


def test_work_for_idle_times_waits_for_all_jobs() -> None:
    batcher, generator = _batcher()
    ticket = batcher.submit(lambda: Job(500), threading.Event())
    assert batcher.call(lambda: len(generator.jobs), when_idle=True) == 0
    assert list(ticket)[-1]["eos"]
    batcher.close()


def _engine(monkeypatch: pytest.MonkeyPatch, *, paged: bool = True, drafts: int = 0, cache: int = 1024) -> Engine:
    """Return an engine with a loaded model, as far as jobs and adapters need it."""
    engine = Engine()
    generator = SimpleNamespace(
        paged=paged,
        num_draft_tokens=drafts,
        use_ngram_draft=drafts > 0,
        max_ngram=4,
        current_loras=None,
        padded_vocab_size=32,
        reset_page_table=lambda: None,
    )
    model = SimpleNamespace(config=SimpleNamespace(vocab_size=32), modules_dict={}, tp_context=None)
    model.update_loras = lambda: None
    loaded = SimpleNamespace(generator=generator, model=model, cache=SimpleNamespace(max_seq_len=cache))
    kinds = SimpleNamespace(
        ExLlamaV2Sampler=SimpleNamespace(Settings=SimpleNamespace),
        ExLlamaV2DynamicJob=lambda **fields: SimpleNamespace(**fields),
    )
    monkeypatch.setattr(engine, "_loaded", loaded)
    monkeypatch.setattr(engine, "_exl", SimpleNamespace(generator=kinds))
    monkeypatch.setattr(engine, "_torch", SimpleNamespace(tensor=lambda rows, dtype: rows, long=None))
    tokens = SimpleNamespace(ends=[2], tokenize=lambda text, special: [1] * 300)
    jobs = JobFactory(engine._exl, engine._torch, engine._loaded, cast(FolderTokenizer, tokens))
    monkeypatch.setattr(engine, "_jobs", jobs)
    return engine


@pytest.mark.parametrize("how, why", [({"paged": False}, "flash-attn"), ({"drafts": 4}, "drafts")])
def test_guidance_that_would_break_the_batch_is_refused(
    how: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = _engine(monkeypatch, **how)
    with pytest.raises(Unsupported, match=f"{why}.* Set Guidance scale to 1"):
        engine._jobs.make([1, 5, 7], SamplingParams(guidance_scale=1.5), 0, 20)
    engine.unload()


def test_guidance_with_two_texts_that_never_fit_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _engine(monkeypatch)
    guided = SamplingParams(guidance_scale=1.5)
    assert len(engine._jobs.make([1] * 300, guided, 0, 200).input_ids) == 2
    with pytest.raises(OutOfMemory, match="Lower Maximum new tokens"):
        engine._jobs.make([1] * 300, guided, 0, 250)
    engine.unload()


def test_dry_with_a_range_accepts_a_prompt_of_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _engine(monkeypatch)
    params = SamplingParams(repetition_penalty_range=64)
    assert [engine._jobs.make([1] * length, params, 0, 9).gen_settings.dry_range for length in (1, 2)] == [0, 64]
    engine.unload()


def test_a_prompt_too_short_to_draft_from_is_refused_before_it_breaks_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = _engine(monkeypatch, drafts=4)
    with pytest.raises(PromptError, match="a prompt of 3 tokens"):
        engine._jobs.make([1, 5], SamplingParams(), 0, 9)
    engine.unload()


def test_an_unreadable_adapter_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = _engine(monkeypatch)
    linear = Linear()
    engine._loaded.model.modules_dict["q_proj"] = linear

    def half_read(*arguments: Any) -> None:
        linear.lora_a_tensors["half"] = "A"
        raise ValueError("incompatible tensor shape")

    monkeypatch.setattr(engine._exl, "ExLlamaV2Lora", half_read, raising=False)
    with pytest.raises(ModelError, match="incompatible tensor shape"):
        engine.apply_adapter({str(_adapter_folder(tmp_path / "other")): 1.0})
    assert not linear.lora_a_tensors
    engine.unload()


def test_adapters_are_refused_in_tensor_parallel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = _engine(monkeypatch)
    engine._loaded.model.tp_context = object()
    with pytest.raises(Unsupported, match="Tensor parallel"):
        engine.apply_adapter({str(tmp_path): 1.0})
    engine.unload()


class Reading:
    """An ExLlamaV2Config that stores the values which it read, by its own names."""

    model_dir = ""

    def prepare(self) -> None:
        config = json.loads(Path(self.model_dir, "config.json").read_text())
        self.rope = (config.get("rope_theta"), config.get("rope_scaling"))


def test_rope_settings_of_transformers_5_are_read(tmp_path: Path) -> None:
    scaling = {"rope_type": "llama3", "factor": 8.0}
    (tmp_path / "config.json").write_text(json.dumps({"rope_parameters": {"rope_theta": 5e5, **scaling}}))
    with ExitStack() as stages:
        config = read_config(SimpleNamespace(ExLlamaV2Config=Reading), tmp_path, stages)
        assert config.rope == (5e5, scaling)


def test_kernels_are_compiled_despite_a_lock_of_a_dead_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = tmp_path / "exllamav2_ext" / "lock"
    lock.parent.mkdir()
    lock.touch()
    for name, value in {"TORCH_EXTENSIONS_DIR": str(tmp_path), "MAX_JOBS": "3"}.items():
        monkeypatch.setenv(name, value)
    for name in ("CUDA_HOME", "CPLUS_INCLUDE_PATH"):
        # Restores what the block sets.
        monkeypatch.setenv(name, "")
    with prepare_compilation("exllamav2_ext"):
        assert not lock.exists()
