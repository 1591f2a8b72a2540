"""AWQ's matrices, packed for torch's product with 4-bit weights, are compared with AutoAWQ's unpacking."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="runs in AutoAWQ's environment")
pytest.importorskip("awq", reason="runs in AutoAWQ's environment")

from awq.modules.linear.gemm import WQLinear_GEMM  # noqa: E402
from awq.utils.packing_utils import dequantize_gemm  # noqa: E402
from torch import nn  # noqa: E402

from loaders.autoawq.int4 import Int4Linear, int4_supported, repack_layers  # noqa: E402

pytestmark = pytest.mark.skipif(
    not int4_supported(), reason="torch has no fast product of 4-bit weights for this processor"
)


def _linear(group: int = 64, columns: int = 192, bias: bool = False) -> WQLinear_GEMM:
    """Return 256 rows of random weights, zero points and scales."""
    torch.manual_seed(0)
    linear = WQLinear_GEMM(4, group, 256, columns, bias, "cpu")
    for name in ("qweight", "qzeros"):
        shape = getattr(linear, name).shape
        setattr(linear, name, torch.randint(-(2**31), 2**31 - 1, shape, dtype=torch.int32))
    linear.scales = (torch.rand(linear.scales.shape) / 100).half()
    if bias:
        linear.bias = torch.randn(columns).half()
    return linear


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("group", "columns"), [(64, 192), (128, 64), (32, 2048 + 64)])
def test_the_product_equals_that_of_the_unpacked_matrix(group: int, columns: int, bias: bool) -> None:
    linear = _linear(group, columns, bias)
    states = torch.randn(1, 7, 256)
    whole = dequantize_gemm(linear.qweight, linear.qzeros, linear.scales.float(), 4, group)
    wanted = states @ whole + (linear.bias.float() if bias else 0)
    product = Int4Linear(linear)(states)
    assert product.shape == wanted.shape and product.dtype == states.dtype
    # bf16 has 8 bits.
    assert (product - wanted).norm() < 0.01 * wanted.norm()


def test_unsupported_layers_stay_unchanged() -> None:
    model = nn.Sequential(_linear(), _linear(group=256), _linear(group=16), _linear(columns=96))
    assert repack_layers(model) == 2
    assert [type(layer).__name__ for layer in model] == ["Int4Linear", "Int4Linear", "WQLinear_GEMM", "WQLinear_GEMM"]
