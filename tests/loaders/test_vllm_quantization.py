"""What vLLM's build for the CPU computes of quantized weights."""

from __future__ import annotations

import subprocess

import pytest

from loaders.vllm.quantization import computed_dtype
from loaders.vllm.spec import SPEC
from modules.runtime.environment import Environments
from tests.conftest import ROOT
from tests.support.environments import installed, not_here

INT8, INT4 = {"num_bits": 8}, {"num_bits": 4}
AMX = frozenset({"avx512f", "amx_tile"})


def test_processes_that_vllm_spawns_ask_for_amx(environments: Environments) -> None:
    if reason := not_here(SPEC, environments):
        pytest.skip(reason)
    installed(SPEC, environments)
    command = [str(environments.python(SPEC)), "-m", "tests.support.amx_process"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert answer.stdout.split() == ["asked"], answer.stderr[-2000:]


@pytest.mark.parametrize(
    ("weights", "inputs", "dtype", "features", "computed"),
    [
        (INT8, INT8, "float32", AMX, "bfloat16"),
        (INT8, INT8, "float32", frozenset({"avx512f"}), "float32"),
        (INT8, INT8, "float16", AMX, "float16"),
        (INT8, INT8, "auto", AMX, "auto"),
        (INT4, None, "float32", AMX, "float32"),
        (INT8, None, "float32", AMX, "float32"),
    ],
)
def test_the_product_of_8_bits_takes_no_float32_with_amx(
    weights: object, inputs: object, dtype: str, features: frozenset[str], computed: str
) -> None:
    config = {"quantization_config": {"config_groups": {"group_0": {"weights": weights, "input_activations": inputs}}}}
    assert computed_dtype(config, dtype, features) == computed


@pytest.mark.parametrize("config", [{}, {"quantization_config": "odd"}, {"quantization_config": {"config_groups": []}}])
def test_a_model_without_groups_keeps_its_dtype(config: dict[str, object]) -> None:
    assert computed_dtype(config, "float32", AMX) == "float32"
