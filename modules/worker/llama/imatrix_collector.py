"""Sums of the squares of what flows into each weight matrix while llama.cpp computes.

Reference: IMatrixCollector of tools/imatrix/imatrix.cpp and ggml/include/ggml.h of https://github.com/ggml-org/llama.cpp
(build 11549). ggml itself adds the squares up, so no other library is needed.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from typing import Any

from modules.protocol.errors import ModelError

_F32 = 0
# llama.cpp leaves out matrices with fewer rows, such as those of a single token.
_FEWEST_ROWS = 16
# Room for tensors' headers and the graph, beside their numbers.
_HEADERS = 4 << 20
_POINTER, _WIDE, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int


class ggml_tensor(ctypes.Structure):  # noqa: N801 (ggml.h's own name)
    """The beginning of ggml's tensor, up to its name."""

    _fields_ = (
        ("type", _INT),
        ("buffer", _POINTER),
        ("ne", _WIDE * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", _INT),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", _POINTER * 10),
        ("view_src", _POINTER),
        ("view_offs", ctypes.c_size_t),
        ("data", _POINTER),
        ("name", ctypes.c_char * 64),
    )


class _InitParams(ctypes.Structure):
    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", _POINTER), ("no_alloc", ctypes.c_bool))


_FUNCTIONS: tuple[tuple[str, object, tuple[object, ...]], ...] = (
    ("ggml_init", _POINTER, (_InitParams,)),
    ("ggml_free", None, (_POINTER,)),
    ("ggml_new_tensor_4d", _POINTER, (_POINTER, _INT, _WIDE, _WIDE, _WIDE, _WIDE)),
    ("ggml_new_tensor_2d", _POINTER, (_POINTER, _INT, _WIDE, _WIDE)),
    ("ggml_cont_2d", _POINTER, (_POINTER, _POINTER, _WIDE, _WIDE)),
    ("ggml_cont", _POINTER, (_POINTER, _POINTER)),
    ("ggml_sqr", _POINTER, (_POINTER, _POINTER)),
    ("ggml_transpose", _POINTER, (_POINTER, _POINTER)),
    ("ggml_mul_mat", _POINTER, (_POINTER, _POINTER, _POINTER)),
    ("ggml_add_inplace", _POINTER, (_POINTER, _POINTER, _POINTER)),
    ("ggml_new_graph", _POINTER, (_POINTER,)),
    ("ggml_build_forward_expand", None, (_POINTER, _POINTER)),
    ("ggml_graph_compute_with_ctx", _INT, (_POINTER, _POINTER, _INT)),
    ("ggml_backend_tensor_get", None, (_POINTER, _POINTER, ctypes.c_size_t, ctypes.c_size_t)),
    ("ggml_nbytes", ctypes.c_size_t, (_POINTER,)),
    ("ggml_op_name", ctypes.c_char_p, (_INT,)),
)


class ActivationSums:
    """Collects while it is called as llama.cpp's cb_eval. `libraries`: paths of the libraries that hold ggml.

    `sums`: tensor name -> a float for each column, of each expert; `counts`: how many rows each expert's sums have.
    """

    def __init__(self, libraries: Sequence[str], threads: int) -> None:
        self.sums: dict[str, array[float]] = {}
        self.counts: dict[str, list[int]] = {}
        # What went wrong in a call: an exception cannot pass through llama.cpp.
        self.error: BaseException | None = None
        self._threads = threads
        loaded = [ctypes.CDLL(path) for path in libraries]
        self._call: dict[str, Any] = {}
        for name, result, arguments in _FUNCTIONS:
            function = next(getattr(library, name) for library in loaded if hasattr(library, name))
            function.restype, function.argtypes = result, arguments
            self._call[name] = function

    def __call__(self, address: int, ask: bool, user_data: object) -> bool:
        """Say whether a node of the graph is wanted; then, with `ask` False, add up what flows into it."""
        try:
            node = ggml_tensor.from_address(address)
            operation = self._call["ggml_op_name"](node.op)
            if operation not in (b"MUL_MAT", b"MUL_MAT_ID"):
                return False
            weight, flow = (ggml_tensor.from_address(node.src[place]) for place in (0, 1))
            name = _plain_name(weight.name)
            if not name.startswith("blk.") or flow.type != _F32:
                return False
            if operation == b"MUL_MAT" and flow.ne[1] < _FEWEST_ROWS:
                return False
            if not ask:
                experts = self._experts(node, flow) if operation == b"MUL_MAT_ID" else _matrices(weight, flow)
                self._add(name, node.src[1], flow, experts, weight.ne[2] * weight.ne[3])
            return True
        except Exception as error:
            self.error = self.error or error
            return False

    def _experts(self, node: ggml_tensor, flow: ggml_tensor) -> list[list[int]]:
        """Return, for each row that flows in, the experts that it goes to."""
        ids = ggml_tensor.from_address(node.src[2])
        used, tokens = ids.ne[0], ids.ne[1]
        raw = self._bytes(node.src[2]).raw
        rows: list[list[int]] = [[] for _ in range(flow.ne[1] * flow.ne[2])]
        for token in range(tokens):
            for place in range(used):
                at = token * ids.nb[1] + place * ids.nb[0]
                expert = int.from_bytes(raw[at : at + 4], "little")
                rows[token * flow.ne[1] + place % flow.ne[1]].append(expert)
        return rows

    def _bytes(self, address: int) -> ctypes.Array[ctypes.c_char]:
        size = self._call["ggml_nbytes"](address)
        buffer = ctypes.create_string_buffer(size)
        self._call["ggml_backend_tensor_get"](address, buffer, 0, size)
        return buffer

    def _add(self, name: str, address: int, flow: ggml_tensor, experts: list[list[int]], matrices: int) -> None:
        columns, rows = flow.ne[0], len(experts)
        sums = self.sums.setdefault(name, array("f", bytes(4 * columns * matrices)))
        counts = self.counts.setdefault(name, [0] * matrices)
        if len(sums) != columns * matrices:
            raise ModelError(f"llama.cpp computes {name} with matrices of different widths, so it has no importance.")
        # chosen[matrix][row] counts how often the row goes through the matrix.
        chosen = array("f", bytes(4 * rows * matrices))
        for row, those in enumerate(experts):
            for matrix in those:
                chosen[matrix * rows + row] += 1
                counts[matrix] += 1
        numbers = self._bytes(address)
        call = self._call
        context = call["ggml_init"](_InitParams(5 * 4 * columns * rows + 4 * len(chosen) + _HEADERS, None, False))
        try:
            held = call["ggml_new_tensor_4d"](context, _F32, *flow.ne)
            view = ggml_tensor.from_address(held)
            view.nb, view.data = flow.nb, ctypes.addressof(numbers)
            squares = call["ggml_sqr"](context, call["ggml_cont_2d"](context, held, columns, rows))
            columns_first = call["ggml_cont"](context, call["ggml_transpose"](context, squares))
            weights = _borrowed(call["ggml_new_tensor_2d"](context, _F32, rows, matrices), chosen)
            total = _borrowed(call["ggml_new_tensor_2d"](context, _F32, columns, matrices), sums)
            added = call["ggml_mul_mat"](context, columns_first, weights)
            graph = call["ggml_new_graph"](context)
            call["ggml_build_forward_expand"](graph, call["ggml_add_inplace"](context, total, added))
            call["ggml_graph_compute_with_ctx"](context, graph, self._threads)
        finally:
            call["ggml_free"](context)


def _borrowed(address: int, numbers: array[float]) -> int:
    """Let the tensor at `address` have its numbers in `numbers`."""
    ggml_tensor.from_address(address).data = numbers.buffer_info()[0]
    return address


def _matrices(weight: ggml_tensor, flow: ggml_tensor) -> list[list[int]]:
    """Return, for each row that flows in, the matrix of the weight that it goes through."""
    found = []
    for third in range(flow.ne[3]):
        for second in range(flow.ne[2]):
            matrix = third % weight.ne[3] * weight.ne[2] + second % weight.ne[2]
            found += [[matrix]] * flow.ne[1]
    return found


def _plain_name(raw: bytes) -> str:
    """CUDA0#blk.0.attn_k.weight#0 -> blk.0.attn_k.weight."""
    parts = raw.decode("utf-8", "replace").split("#")
    return parts[1] if len(parts) > 1 else parts[0]
