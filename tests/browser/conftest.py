"""A real Paddock in a separate process, and a real browser. Without a browser, these tests are skipped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.browser.driver import new_chat, ready, started
from tests.support.models import write_model_folder

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Features of Chromium that are switched off. The last three are pages for its address bar, which it would load and run
# for each window: a third of the processor time of opening a page. The others are those that Playwright switches off,
# as Chromium takes the last of several lists.
FEATURES_OFF = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    "WebUIOmniboxPopup",
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--disable-features={','.join(FEATURES_OFF)}",
)
# Delays each answer to the page by a random time, at most so many milliseconds. It finds code that relies on the order.
LATE = """{
    const fetched = window.fetch;
    window.fetch = async (...request) => {
        const answer = await fetched(...request);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * %s));
        return answer;
    };
}"""
# For the echo loader, which repeats the last line of the prompt: one word every 30 ms.
# A long reply lasts some 15 seconds, so that it still runs when a busy machine has loaded the page again.
SETTINGS = {"context": 4096, "delay": 0.03}


class Served:
    """A running Paddock: its address, the lines that it printed, and its process."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.user_data = folder / "user_data"
        self.models = folder / "models"
        self.lines: list[str] = []
        self.address = ""
        self._ready = threading.Event()
        command = [sys.executable, "webui.py", "--no-venv", "--port", "0", "--show-echo"]
        command += ["--models", str(self.models), "--user-data", str(self.user_data), *flags]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.append(line.rstrip())
                if found := re.search(r"Paddock is ready: (https?://\S+)", line):
                    self.address = found.group(1)
                    self._ready.set()
        self._ready.set()

    def wait(self) -> str:
        """Wait until it serves, and return its address."""
        assert self._ready.wait(90) and self.address, "\n".join(self.lines)
        return self.address

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        import psutil

        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child.pid for child in children if child.cmdline()[1:3] == ["-m", "modules.worker"]]

    def kill(self) -> None:
        """Kill it without a warning, as a power cut does."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def close(self) -> None:
        """Interrupt it as Ctrl+C does, and wait until it has exited."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join()


def executable() -> str | None:
    """Return the path of Chromium, or None."""
    return os.environ.get("PADDOCK_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)


def prepare(folder: Path, **settings: Any) -> Path:
    """Write two models and their settings for the echo loader into `folder`, and return it."""
    for name in ("small", "other"):
        write_model_folder(folder / "models" / name)
    (folder / "user_data").mkdir()
    saved = {name: {"loader": "echo", "settings": {**SETTINGS, **settings}} for name in ("small", "other")}
    (folder / "user_data" / "model_settings.yaml").write_text(yaml.safe_dump(saved))
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start one Chromium for all tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (requirements/dev.txt)")
    found = executable()
    if found is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def paddock(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a Paddock with the echo loader, shared by the tests that leave it usable. Its log must stay clean."""
    served = Served(prepare(tmp_path_factory.mktemp("paddock")), "--model", "small")
    served.wait()
    yield served
    served.close()
    noise = [line for line in served.lines if re.search(r"warning|traceback|error", line, re.IGNORECASE)]
    assert not noise, noise


@pytest.fixture
def own_paddock(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Return a function that starts a Paddock for this test alone. A second call starts it again on the same data."""
    prepare(tmp_path)
    running: list[Served] = []

    def start(*flags: str) -> Served:
        served = Served(tmp_path, *flags)
        running.append(served)
        served.wait()
        return served

    yield start
    for served in running:
        served.close()
    assert not any("Traceback" in line for served in running for line in served.lines), running[-1].lines


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page in a new browser context.

    Errors in the page's console and requests to other hosts fail the test.
    """
    contexts: list[Any] = []
    errors: list[str] = []
    # The browser logs refused requests and connections to a Paddock that a test ended. A page of an earlier build gets
    # the status 410 until it has reloaded. Tests raise errors on purpose.
    expected = re.compile(
        "status of 4(00|10)|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_(REFUSED|RESET)|AbortError: signal"
        "|Connection errored out|on purpose"
    )

    def watch(page: Any) -> None:
        def on_console(message: Any) -> None:
            # A form shows a refusal as a sentence on the page. The browser sees an answer with status 500.
            refused = "status of 500" in message.text and message.location["url"].split("?")[0].endswith("/run/predict")
            if message.type == "error" and not refused and not expected.search(message.text):
                errors.append(f"console: {message.text}")

        page.on("console", on_console)

        def on_error(error: Any) -> None:
            if not expected.search(str(error)):
                errors.append(f"script: {error}")

        page.on("pageerror", on_error)

    def on_request(request: Any) -> None:
        if not re.match(r"(http://127\.0\.0\.1[:/]|data:|blob:)", request.url):
            errors.append(f"request: {request.url}")

    def open_page(address: str, *, context: Any = None, width: int = 1280, height: int = 800, **options: Any) -> Any:
        if context is None:
            context = browser.new_context(viewport={"width": width, "height": height}, **options)
            context.set_default_timeout(60_000)
            context.on("page", watch)
            context.on("request", on_request)
            contexts.append(context)
            if lateness := os.environ.get("PADDOCK_TEST_LATE_ANSWERS"):
                context.add_init_script(LATE % float(lateness))
        page = context.new_page()
        if slowness := os.environ.get("PADDOCK_TEST_SLOW_BROWSER"):
            tools = context.new_cdp_session(page)
            tools.send("Emulation.setCPUThrottlingRate", {"rate": float(slowness)})
        page.goto(address)
        started(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors, errors


@pytest.fixture
def page(paddock: Any, visit: Any) -> Any:
    """Return a page with a new chat and a loaded model."""
    page = visit(paddock.address)
    ready(page)
    new_chat(page)
    return page


@contextmanager
def expecting_reply(page: Any) -> Iterator[None]:
    """Wait for the reply that the block begins, until it has ended."""
    page.evaluate("window.before = document.querySelectorAll('.message.assistant:not(.living)').length")
    yield
    page.wait_for_function(
        "document.querySelectorAll('.message.assistant:not(.living)').length !== window.before"
        " || document.querySelector('.message.living')"
    )
    page.wait_for_selector(".message.assistant.newest:not(.living)")
