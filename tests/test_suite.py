"""How `python3 -m tests` shares the tests among processes and chooses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.__main__ import SLOW, process_arguments
from tests.support.scheduling import SLOWEST, group_of, rank


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/contract/test_contract.py::test_x[contract-vllm]", "contract-vllm"),
        ("tests/contract/test_contract_samplers.py::test_y[contract-remote-top_k]", "contract-remote"),
        ("tests/conformance/test_draws.py::test_z[conformance-hqq-top_k: top_k=3]", "conformance-hqq"),
        ("tests/chat/test_store.py::test_a[b-c]", "tests/chat/test_store.py"),
    ],
)
def test_tests_that_share_a_worker_or_a_file_stay_together(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group


def test_slow_groups_come_first() -> None:
    groups = ["tests/chat/test_store.py", "tests/browser/test_chat.py", "contract-hqq", "contract-vllm"]
    assert sorted(groups, key=rank) == groups[::-1]


def test_every_named_path_exists(root: Path) -> None:
    paths = [*SLOW, *(name for name in SLOWEST if name.startswith("tests/"))]
    assert not [path for path in paths if not (root / path).exists()]


def test_a_whole_run_is_shared_and_a_path_runs_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.__main__._cores", lambda: 2)
    assert process_arguments(["-x", "-k", "no such path"]) == ["-n3", "--dist=loadscope"]
    assert process_arguments([__file__ + "::test_x"]) == []
    assert process_arguments(["--pdb"]) == []
    assert process_arguments(["-n3", __file__]) == ["--dist=loadscope"]
    monkeypatch.setattr("tests.__main__._cores", lambda: 1)
    assert process_arguments([]) == []
    monkeypatch.setattr("tests.__main__._cores", lambda: 64)
    assert process_arguments([]) == ["-n6", "--dist=loadscope"]
