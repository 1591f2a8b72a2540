"""How `python3 -m tests` shares the tests among processes and chooses them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.__main__ import process_arguments
from tests.support.fast import FOLDERS, SLOW_HELPERS, is_slow
from tests.support.scheduling import SLOWEST, SlowestFirst, group_of, rank

pytest_plugins = ("pytester",)


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


class Process:
    """A process of pytest-xdist that notes what it is given."""

    shutting_down = False

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.given: list[list[int]] = []

    def send_runtest_some(self, indexes: list[int]) -> None:
        self.given.append(indexes)

    def shutdown(self) -> None:
        self.shutting_down = True


def test_only_unfinished_tests_of_a_process_that_crashed_are_given_to_others(pytester: pytest.Pytester) -> None:
    scheduler = SlowestFirst(pytester.parseconfig("--tx=2*popen", "--dist=loadscope"), None)
    tests = [f"tests/test_{file}.py::test_{number}" for file in range(9) for number in range(3)]
    one, two = Process("one"), Process("two")
    for process in (one, two):
        scheduler.add_node(process)
        scheduler.add_node_collection(process, tests)
    scheduler.schedule()
    # The second file of the first process is given once two tests of the first one are left.
    for index in (0, 1, 2, 6):
        scheduler.mark_test_complete(one, index)
    assert one.given[:2] == [[0, 1, 2], [6, 7, 8]]
    waiting = [index for some in one.given[2:] for index in some]
    assert scheduler.remove_node(one) == tests[7]
    ran: list[int] = []
    while left := [index for some in two.given for index in some if index not in ran]:
        scheduler.mark_test_complete(two, left[0])
        ran.append(left[0])
    assert sorted(ran) == [index for index in range(27) if index not in (0, 1, 2, 6, 7)]
    assert [] not in two.given and waiting and not scheduler.has_pending


def test_every_named_path_exists(root: Path) -> None:
    folders = [f"tests/{name}" for name in FOLDERS]
    helpers = [f"tests/{name.replace('.', '/')}.py" for name in SLOW_HELPERS]
    paths = [*folders, *helpers, *(name for name in SLOWEST if name.startswith("tests/"))]
    assert not [path for path in paths if not (root / path).exists()]


@pytest.mark.parametrize(
    "text",
    [
        "from tests.support.environments import installed\n",
        "def test_x(\n    environments: Environments,\n) -> None: ...\n",
        "import pytest\n\npytestmark = pytest.mark.slow\n",
        "pytestmark = [\n    pytest.mark.slow,\n]\n",
    ],
)
def test_a_fast_run_leaves_out_a_file_that_asks_for_what_is_slow(tmp_path: Path, text: str) -> None:
    (tmp_path / "test_a.py").write_text(text)
    assert is_slow(tmp_path / "test_a.py")


def test_a_fast_run_tests_the_rest(tmp_path: Path, root: Path) -> None:
    (tmp_path / "test_a.py").write_text("from tests.support.server import serving\n")
    (tmp_path / "conftest.py").write_text("from tests.support.environments import installed\n")
    assert not is_slow(tmp_path / "test_a.py") and not is_slow(tmp_path / "conftest.py")
    assert is_slow(root / "tests/browser") and not is_slow(root / "tests/api")


def test_a_fast_run_does_not_import_what_it_leaves_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_slow="raise SystemExit('imported')\nimport pytest\npytestmark = pytest.mark.slow\n",
        test_quick="import pytest\ndef test_one(): ...\n@pytest.mark.slow\ndef test_two(): ...\n",
    )
    pytester.makeini("[pytest]\nmarkers = slow: takes long\n")
    result = pytester.runpytest_inprocess("-p", "tests.support.fast", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, deselected=1)


def test_a_whole_run_is_shared_and_a_path_runs_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.__main__._cores", lambda: 2)
    assert process_arguments(["-x", "-k", "no such path"]) == ["-n3", "--dist=loadscope"]
    assert process_arguments([]) == ["-n3", "--dist=loadscope"]
    assert process_arguments([__file__ + "::test_x"]) == []
    assert process_arguments(["--pdb"]) == []
    assert process_arguments(["-n3", __file__]) == ["--dist=loadscope"]
    monkeypatch.setattr("tests.__main__._cores", lambda: 1)
    assert process_arguments([]) == []
    monkeypatch.setattr("tests.__main__._cores", lambda: 64)
    assert process_arguments([]) == ["-n6", "--dist=loadscope"]
