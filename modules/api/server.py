"""The web server: page, the page's own routes and API on one port, from bind to shutdown."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from modules.api.account_apps import AccountApps
from modules.api.account_gate import AccountGate
from modules.api.account_pages import AccountPages
from modules.api.body_limits import BodyLimitMiddleware
from modules.api.connections import HEADER_SECONDS, LimitedHTTPProtocol
from modules.api.cors import ApiCorsMiddleware
from modules.api.extension_middleware import ExtensionMiddleware
from modules.api.extension_routes import file_router
from modules.api.extension_routes import router as extensions_router
from modules.api.failed_logins import FailedLogins
from modules.api.headers import HeadersMiddleware, content_policy
from modules.api.login import router as login_router
from modules.api.metrics import Metrics
from modules.api.metrics import router as metrics_router
from modules.api.openai import router as openai_router
from modules.api.path_aliases import PathAliasMiddleware
from modules.api.request_log import RequestLog
from modules.api.request_record import RequestRecordMiddleware
from modules.api.root_path import RootPathMiddleware
from modules.api.security import SecurityMiddleware
from modules.api.sessions import Sessions
from modules.api.shutdown import ShutdownMiddleware
from modules.api.tls import tls_options
from modules.app import App
from modules.settings.accounts import Accounts
from modules.settings.config import Config
from modules.ui.extension_components import use_inline_handlers
from modules.ui.gradio_internals.served_routes import GradioRoutes
from modules.ui.mount import PageHost, ServedPage
from modules.ui.routes import router as page_router


def build_server(app: App, page_host: Callable[[App], ServedPage] = PageHost) -> FastAPI:
    """Return the application with all routes and middleware. `page_host`: returns what serves an App's Gradio page."""
    server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    metrics = Metrics(app)
    server.include_router(openai_router(app))
    server.include_router(metrics_router(metrics))
    server.add_exception_handler(ClientDisconnect, _client_gone)
    # The middleware that is added last sees a request first.
    server.add_middleware(ExtensionMiddleware, extensions=app.extensions)
    failed, apps = FailedLogins(), AccountApps(app)
    accounts, sessions = (
        Accounts(app.paths.users, app.paths.users_data),
        Sessions(app.paths.user_data / "sessions.json"),
    )
    accounts.all()  # A wrong file is an error at start.
    gate = AccountGate(app.config, accounts, sessions, apps)
    server.include_router(login_router(app.config, accounts, sessions, failed, lambda: gate.closed))
    server.add_middleware(SecurityMiddleware, config=app.config, failed=failed, gate=gate)
    server.add_middleware(ApiCorsMiddleware, access=app.config)
    server.add_middleware(BodyLimitMiddleware)
    server.add_middleware(HeadersMiddleware)
    server.add_middleware(RequestRecordMiddleware, on_end=[metrics.request_ended, *_request_log(app.config)])
    server.add_middleware(PathAliasMiddleware)
    server.add_middleware(RootPathMiddleware, root_path=app.config.root_path)
    app.extensions.start()
    pages = AccountPages(app, apps, partial(build_page_application, page_host=page_host))
    server.router.lifespan_context = pages.lifespan
    server.mount("/", pages)
    return server


def build_page_application(app: App, page_host: Callable[[App], ServedPage] = PageHost) -> FastAPI:
    """Return the application of one account, or of the owner: its page and the page's own routes."""
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    application.add_exception_handler(ClientDisconnect, _client_gone)
    application.include_router(page_router(app))
    application.include_router(extensions_router(app))
    application.include_router(file_router(app))
    page = page_host(app)
    application.router.lifespan_context = page.lifespan
    application.mount("/", GradioRoutes(page, lambda nonce: content_policy(nonce, use_inline_handlers(app))))
    return application


def _request_log(config: Config) -> list[RequestLog]:
    return [RequestLog(lambda line: print(line, flush=True), config.log_prompts)] if config.log_requests else []


def _client_gone(request: Request, error: Exception) -> Response:
    """Answer a client that hung up before its body was complete; it is not an error of the server."""
    return Response(status_code=400)


def uvicorn_config(app: ASGIApp, **options: Any) -> uvicorn.Config:
    """Return uvicorn's settings. Only the security middleware reads headers of a proxy; they change no address."""
    return uvicorn.Config(
        app,
        http=LimitedHTTPProtocol,
        proxy_headers=False,
        log_level="warning",
        use_colors=False,
        # Clients must be the first to drop a connection that waits: httpx and the packages on it do so after 5 seconds,
        # which is uvicorn's default too, so a request could meet the end of its connection.
        timeout_keep_alive=round(HEADER_SECONDS),
        **options,
    )


def serve(app: App, listeners: list[socket.socket], on_ready: Callable[[], None]) -> None:
    """Serve until Ctrl+C, and call `on_ready` once requests are answered.

    At the end, streams and loads are ended; other answers have two seconds.
    """
    application = ShutdownMiddleware(build_server(app))
    options = {"timeout_graceful_shutdown": 2, "access_log": False, "lifespan": "on", **tls_options(app.config)}
    config = uvicorn_config(application, **options)
    _Server(config, on_ready, application.event, app.cancel_load).run(sockets=listeners)


class _Server(uvicorn.Server):
    """uvicorn with callbacks at its start and its end."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        shutdown_event: asyncio.Event,
        cancel_load: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._shutdown_event = shutdown_event
        self._cancel_load = cancel_load

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind, then call `on_ready`."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams and loads, then everything else."""
        self._shutdown_event.set()
        await asyncio.to_thread(self._cancel_load)
        await super().shutdown(sockets)
