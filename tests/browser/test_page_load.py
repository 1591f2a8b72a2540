"""What a browser requests to open the page."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Served
from tests.browser.driver import started

pytestmark = pytest.mark.browser
OURS = "/paddock/static/"


def test_the_page_s_own_files_come_in_few_requests(paddock: Served, browser: Any) -> None:
    context = browser.new_context()
    try:
        requests = []
        context.on("request", lambda request: requests.append(urlsplit(request.url).path))
        page = context.new_page()
        page.goto(paddock.address)
        started(page)
    finally:
        context.close()
    own = Counter(path.removeprefix(OURS) for path in requests if path.startswith(OURS))
    # The icon is requested as often as it is shown.
    assert {name: count for name, count in own.items() if name.endswith((".js", ".css"))} == {
        "page.js": 1,
        "page.css": 1,
    }
    assert own.total() <= 10, own


def test_a_reload_loads_no_script_or_style_again(paddock: Served, visit: Any) -> None:
    page = visit(paddock.address)
    answers = []
    page.on("response", lambda answer: answers.append((urlsplit(answer.url).path, answer.request)))
    page.reload()
    started(page)
    sizes = {
        path: request.sizes()["responseBodySize"] for path, request in answers if path.endswith(("page.js", "page.css"))
    }
    assert sizes == {f"{OURS}page.js": 0, f"{OURS}page.css": 0}
