"""How pytest-xdist shares the tests among processes: groups that stay together, the slowest groups first.

The tests of one file share that file's fixtures. The contract tests of one loader share one worker, and its conformance
tests share one probe. A slow group that starts last would keep one process busy while the others are idle.
"""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# Beginnings of the names of groups that take longest, slowest first.
SLOWEST = (
    "contract-vllm",
    # It compiles llama.cpp, which later groups use. Beside it run groups that need not wait for that.
    "contract-llamacpp",
    "contract-gptqmodel",
    "contract-auto",
    "contract-",
    "tests/loaders/test_special_tokens.py",
    "tests/jobs/test_methods.py",
    "tests/worker/test_in_environment.py",
    "tests/browser/",
    "tests/jobs/",
    "conformance-",
    "tests/conformance/",
    "tests/worker/test_model_code.py",
    "tests/plugins/test_worker_hooks.py",
    "tests/loaders/",
    "tests/system/",
    "tests/test_shutdown.py",
    "tests/test_package.py",
    "tests/compat/",
    "tests/cli/",
    "tests/runtime/test_environment.py",
)


def group_of(nodeid: str) -> str:
    """Return the test's group: `contract-LOADER` or `conformance-LOADER` if its id says so, else its file."""
    found = re.search(r"\[((contract|conformance)-\w+)", nodeid)
    return found[1] if found else nodeid.partition("::")[0]


def rank(group: str) -> int:
    """Return the place of `group` in SLOWEST, or the number of places if it is not named there."""
    return next((index for index, begin in enumerate(SLOWEST) if group.startswith(begin)), len(SLOWEST))


class SlowestFirst(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each free process the slowest group that is left."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """Remove a process that crashed, and return the test that it was running.

        pytest-xdist would give its finished groups away again, and wait for ever for a process that got such a group:
        one that has nothing to run reports nothing, so it is given nothing else. It would run the test again, too.
        """
        work = self.assigned_work[node]
        crashed = next((test for group in work.values() for test, done in group.items() if not done), None)
        for group in work.values():
            if crashed in group:
                group[crashed] = True
        left = {name: group for name, group in work.items() if not all(group.values())}
        self.assigned_work[node] = {}
        super().remove_node(node)
        self.workqueue.update(left)
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(min(self.workqueue, key=rank), last=False)
        super()._assign_work_unit(node)
