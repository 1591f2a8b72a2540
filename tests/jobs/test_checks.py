"""Checks of a model beside the original: what fails names the cause and the next step."""

from __future__ import annotations

from typing import Any

from modules.jobs.checks import Answer, judge, judge_load

KERNEL = "AWQ on a CPU: AutoAWQ has no kernel for it."


def _load(weights: int | None, rate: float | None, **more: str) -> dict[str, Any]:
    return {"weights_bytes": weights, "decode_tokens_per_second": rate, "weights_dtype": "", "kernel": "", **more}


def _checks(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    return {check["name"]: (check["passed"], check["detail"]) for check in judge_load(ours, theirs, KERNEL)}  # type: ignore[misc]


def test_less_memory_and_more_speed_pass() -> None:
    assert _checks(_load(50, 96), _load(100, 100)) == {"memory": (True, ""), "speed": (True, "")}


def test_weights_that_are_unpacked_and_a_slow_kernel_are_named() -> None:
    found = _checks(_load(100, 50, weights_dtype="float32", kernel="TorchLinear"), _load(100, 100))
    assert not found["memory"][0] and not found["speed"][0]
    assert "as float32" in found["memory"][1] and "a higher precision" in found["memory"][1]
    assert "50 tokens a second, and the original 100. The kernel that ran is TorchLinear." in found["speed"][1]
    assert KERNEL in found["speed"][1] and found["speed"][1].endswith("keep it for its size.")


def test_what_was_not_measured_is_no_check() -> None:
    assert _checks(_load(None, 50), _load(100, None)) == {}


def test_garbled_answers_fail_by_name() -> None:
    good = [Answer("Q", "One short answer.", "stop")] * 5
    loop = [Answer("Q", "the same six words again now " * 9, "length")] * 5
    names = [check["name"] for check in judge(loop, 3, good, (90, 80)) if not check["passed"]]
    assert names == ["numbers", "no_loop", "long_prompt", "ends", "same_start", "smaller"]
    empty = [Answer("Q", " ", "stop")] * 5
    names = [check["name"] for check in judge(empty, 0, good, (70, 80)) if not check["passed"]]
    assert names == ["answers", "long_prompt", "unusual_characters", "same_start"]
    assert all(check["passed"] for check in judge(good, 0, good, (70, 80)))
