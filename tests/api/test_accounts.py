"""Accounts over real HTTP: logging in and out, what each role may do, and that no one sees another's chats."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from modules.api.authentication import ADMIN_PREFIXES, OWNER_PATHS
from modules.api.sessions import COOKIE
from modules.app import App
from modules.settings.accounts import Accounts
from modules.settings.config import Config
from tests.conftest import ROOMY
from tests.support.nginx import nginx, proxied
from tests.support.server import serving

PASSWORD = "correct horse"


@dataclasses.dataclass
class Server:
    """A server with the accounts anna (user), bert (user) and cora (admin), and the owner's password `word`."""

    app: App
    address: str
    accounts: Accounts

    @contextmanager
    def visitor(self, **headers: str) -> Iterator[httpx.Client]:
        """Yield a client that keeps cookies."""
        with httpx.Client(base_url=self.address, timeout=90, headers=headers) as client:
            yield client

    @contextmanager
    def login(self, name: str, password: str = PASSWORD) -> Iterator[httpx.Client]:
        """Yield a client that has logged in."""
        with self.visitor() as client:
            answer = client.post("/login", data={"name": name, "password": password})
            assert (answer.status_code, answer.headers["location"]) == (303, "./")
            yield client


def _serve(config: Config, **changes: Any) -> Iterator[Server]:
    accounts = Accounts(config.paths.users, config.paths.users_data)
    for name, role in (("anna", "user"), ("bert", "user"), ("cora", "admin")):
        accounts.add(name, PASSWORD, role)
    app = App(dataclasses.replace(config, accounts=True, password="word", api_key="key", **changes))
    try:
        app.models.load("tiny", "echo", ROOMY)
        with serving(app) as address:
            yield Server(app, address, accounts)
    finally:
        app.close()


@pytest.fixture
def server(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve with accounts, and answer wrong passwords without a delay."""
    monkeypatch.setattr("modules.api.failed_logins.MOST_SECONDS", 0.0)
    yield from _serve(config)


def _send(client: httpx.Client, text: str) -> str:
    chat = client.post("/paddock/chats", json={}).json()["id"]
    assert client.post(f"/paddock/chats/{chat}/send", json={"text": text}).status_code == 200
    return str(chat)


def _chats(client: httpx.Client) -> list[str]:
    return [chat["id"] for chat in client.get("/paddock/chats").json()]


def test_without_a_session_nothing_opens_and_a_browser_is_sent_to_the_login(server: Server) -> None:
    with server.visitor() as client:
        for path in ("/", "/config", "/paddock/start", "/v1/models", "/metrics", "/extensions", "/page-0/config"):
            assert client.get(path).status_code == 401, path
            # The browser would ask for one password, which is not that of an account.
            assert "www-authenticate" not in client.get(path).headers
        sent = client.get("/", headers={"Accept": "text/html,*/*"})
        assert (sent.status_code, sent.headers["location"]) == (303, "login")
        deep = client.get("/paddock/start", headers={"Accept": "text/html"})
        assert client.base_url.join("/paddock/start").join(deep.headers["location"]).path == "/login"
        assert 'name="password"' in client.get("/login").text


def test_a_login_sets_a_cookie_that_no_script_and_no_other_site_gets(server: Server) -> None:
    with server.visitor() as client:
        answer = client.post("/login", data={"name": " Anna ", "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert "; HttpOnly" in cookie and "; SameSite=Lax" in cookie and "; Secure" not in cookie
        assert client.get("/paddock/start").status_code == 200
        client.post("/logout")
        assert client.get("/paddock/start").status_code == 401
        # The old cookie is worth nothing, also for one who kept it.
        old = cookie.partition(";")[0]
        assert httpx.get(f"{server.address}/paddock/start", headers={"Cookie": old}).status_code == 401
        over_https = {"X-Forwarded-Proto": "https"}
        answer = client.post("/login", data={"name": "anna", "password": PASSWORD}, headers=over_https)
        assert "; Secure" in answer.headers["set-cookie"]


def test_a_wrong_login_is_one_sentence_whatever_was_wrong(server: Server) -> None:
    with server.visitor() as client:
        answers = [
            client.post("/login", data={"name": name, "password": password})
            for name, password in (("anna", "wrong"), ("nobody", PASSWORD), ("paddock", "wrong"), ("<b>", ""), ("", ""))
        ]
        names = ("anna", "nobody", "paddock", "&lt;b&gt;", "")
        texts = [answer.text.replace(f'value="{name}"', "") for answer, name in zip(answers, names, strict=True)]
        assert set(texts) == {texts[0]} and {answer.status_code for answer in answers} == {401}
        assert "value=" not in texts[0]
        assert "The name or the password is wrong." in answers[0].text
        assert not any("set-cookie" in answer.headers for answer in answers)


def test_a_restart_keeps_sessions_and_a_new_password_ends_them(config: Config) -> None:
    def served(password: str) -> Any:
        return contextmanager(_serve_again)(config, password)

    with contextmanager(_serve)(config) as server, server.login("anna") as anna, server.login("paddock", "word") as own:
        cookies = [{"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"} for client in (anna, own)]
    for password, statuses in (("word", [200, 200]), ("another", [200, 401])):
        with served(password) as address:
            answers = [httpx.get(f"{address}/paddock/chats", headers=each) for each in cookies]
            assert [answer.status_code for answer in answers] == statuses
    assert not any(
        cookie["Cookie"].partition("=")[2] in (config.paths.user_data / "sessions.json").read_text()
        for cookie in cookies
    )


def test_the_admin_key_is_a_login_too(config: Config) -> None:
    for server in _serve(config, admin_key="a key of admins"):
        with server.login("paddock", "a key of admins") as client, server.login("paddock", "word") as owner:
            _send(owner, "hello")
            assert client.get("/paddock/chats").json() == [] != owner.get("/paddock/chats").json()
            assert client.get("/paddock/models/loaded").status_code == 200
            assert ">admin key<" in client.get("/config").text
            client.post("/logout")
            assert client.get("/paddock/chats").status_code == 401


def _serve_again(config: Config, password: str) -> Iterator[str]:
    app = App(dataclasses.replace(config, accounts=True, password=password))
    try:
        with serving(app) as address:
            yield address
    finally:
        app.close()


def test_the_first_account_closes_a_running_paddock_and_the_last_one_opens_it(config: Config) -> None:
    app = App(config)
    accounts = Accounts(config.paths.users, config.paths.users_data)
    try:
        with serving(app) as address, httpx.Client(base_url=address, timeout=90) as client:
            assert client.get("/login").headers["location"] == "./"
            assert client.get("/paddock/chats").status_code == 200
            accounts.add("anna", PASSWORD, "user")
            assert client.get("/paddock/chats").status_code == client.get("/v1/models").status_code == 401
            assert client.post("/login", data={"name": "anna", "password": PASSWORD}).status_code == 303
            assert client.get("/paddock/chats").json() == []
            assert "Log out" in client.get("/config").text
            accounts.remove("anna")
            assert client.get("/paddock/chats").status_code == 200
    finally:
        app.close()


def test_a_form_of_many_fields_is_refused(server: Server) -> None:
    with server.visitor() as client:
        assert client.post("/login", data={str(number): "x" for number in range(50)}).status_code == 400


def test_a_login_of_another_sites_page_is_refused(server: Server) -> None:
    with server.visitor() as client:
        for headers in ({"Origin": "http://evil.test"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}):
            answer = client.post("/login", data={"name": "anna", "password": PASSWORD}, headers=headers)
            assert answer.status_code == 403
        with server.login("anna") as anna:
            evil = {"Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"}
            assert anna.post("/paddock/chats", json={}, headers=evil).status_code == 403
            assert anna.post("/logout", headers=evil).status_code == 403


def test_each_account_has_chats_of_its_own(server: Server) -> None:
    with server.login("anna") as anna, server.login("bert") as bert, server.login("paddock", "word") as owner:
        chats = {client: _send(client, f"the secret of {number}") for number, client in enumerate((anna, bert, owner))}
        for client, chat in chats.items():
            assert _chats(client) == [chat]
            for other in chats.values():
                if other == chat:
                    continue
                for path in (f"/paddock/chats/{other}/events", f"/paddock/chats/{other}/messages/x"):
                    assert client.get(path).status_code == 400
                for verb in ("send", "trash", "rename", "branch", "delete", "stop"):
                    client.post(
                        f"/paddock/chats/{other}/{verb}", json={"text": "mine", "title": "mine", "message": "x"}
                    )
            assert client.get("/paddock/chats", params={"search": "secret"}).json()[0]["title"].startswith("the secret")
        assert [_chats(client) for client in chats] == [[chat] for chat in chats.values()]
        assert not any("mine" in client.get("/paddock/chats").text for client in chats)
    folder = server.app.paths.users_data
    assert {path.name for path in folder.iterdir()} >= {"anna", "bert"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_attachments_are_served_only_to_the_account_that_attached_them(server: Server) -> None:
    with server.login("anna") as anna, server.login("bert") as bert, server.login("paddock", "word") as owner:
        answer = anna.put("/paddock/attachments", params={"name": "secret.txt"}, content=b"of anna")
        address = f"/paddock/attachments/{answer.json()['hash']}"
        for what in ("file", "text", "facts"):
            assert anna.get(f"{address}/{what}").status_code == 200
            for other in (bert, owner):
                refused = other.get(f"{address}/{what}")
                assert refused.status_code == 400 and "of anna" not in refused.text
    assert list((server.app.paths.users_data / "anna" / "attachments").glob("*.txt"))


def test_presets_characters_notebook_and_settings_are_apart(server: Server) -> None:
    folder = server.app.paths.users_data / "anna"
    for name, text in (
        ("presets/Mine.yaml", "temperature: 0.7\n"),
        ("characters/Ada.yaml", "name: Ada\ncontext: secret\n"),
        ("settings.yaml", "character: Ada\n"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with server.login("anna") as anna, server.login("bert") as bert, server.login("paddock", "word") as owner:
        assert anna.get("/paddock/start").json()["character"]["name"] == "Ada"
        assert [one.get("/paddock/start").json()["character"] for one in (bert, owner)] == [None, None]
        assert anna.post("/paddock/notebook/write", json={"text": "a note"}).status_code == 200
        assert (folder / "notebook.txt").read_text() == "a note"
        for other in (bert, owner):
            with other.stream("GET", "/paddock/notebook/events") as events:
                assert "a note" not in next(events.iter_text())
    ask = {"prompt": "x", "preset": "Mine", "max_tokens": 2}
    for key, status in ((server.accounts.add_key("anna"), 200), (server.accounts.add_key("bert"), 400), ("key", 400)):
        headers = {"Authorization": f"Bearer {key}"}
        assert (
            httpx.post(f"{server.address}/v1/completions", json=ask, headers=headers, timeout=90).status_code == status
        )


def test_a_user_uses_models_and_manages_nothing(server: Server) -> None:
    denied = [
        *OWNER_PATHS,
        *(f"{prefix}x" for prefix in ADMIN_PREFIXES),
        "/extensions/x/y",
        "/metrics",
        "/paddock/extensions/x/fault",
    ]
    with server.login("anna") as user, server.login("cora") as admin:
        for path in [
            "/paddock/model/load",
            "/paddock/workshop/state",
            "/paddock/workshop/jobs",
            "/paddock/models/loaded",
            *denied,
        ]:
            for method in ("GET", "POST"):
                assert user.request(method, path).status_code == 403, path
                assert admin.request(method, path).status_code not in (401, 403), path
        for page, tabs in (
            (user, ["parameters", "session"]),
            (admin, ["parameters", "model", "session", "extensions"]),
        ):
            components = page.get("/config").json()["components"]
            drawn = [
                one["props"]["elem_id"] for one in components if one["type"] == "tabitem" and one["props"]["elem_id"]
            ]
            assert [name for name in drawn if name.startswith("tab-")][: len(tabs)] == [f"tab-{name}" for name in tabs]
        assert 'data-view="workshop"' not in user.get("/config").text
        assert 'data-view=\\"workshop\\"' in admin.get("/config").text
        # A reply whose model is gone is not answered by a load. The admin unloaded it above.
        server.app.models.load("tiny", "echo", ROOMY)
        chat = _send(user, "hello")
        server.app.supervisor.unload()
        answer = user.post(f"/paddock/chats/{chat}/reload", json={"message": "x"})
        assert (answer.status_code, "Only an admin" in answer.text) == (400, True)
    assert server.app.supervisor.state.phase == "empty"


def test_an_accounts_key_opens_the_api_and_with_the_role_user_loads_nothing(server: Server) -> None:
    user, admin = (server.accounts.add_key(name) for name in ("anna", "cora"))
    for key, owner in ((user, False), (admin, True)):
        headers = {"Authorization": f"Bearer {key}"}
        with server.visitor(**headers) as client:
            assert client.get("/v1/models").status_code == 200
            assert client.post("/v1/completions", json={"prompt": "x", "max_tokens": 2}).status_code == 200
            for path in OWNER_PATHS:
                assert (client.post(path).status_code == 403) != owner
            for path in ("/", "/config", "/paddock/chats", "/paddock/start"):
                assert client.get(path).status_code == 401
    server.accounts.remove_keys("anna")
    assert httpx.get(f"{server.address}/v1/models", headers={"Authorization": f"Bearer {user}"}).status_code == 401


@pytest.mark.parametrize("change", ["password", "remove", "again"])
def test_sessions_end_when_the_account_changes(server: Server, change: str) -> None:
    with server.login("anna") as client:
        _send(client, "old")
        if change == "password":
            server.accounts.set_password("anna", "battery staple")
        else:
            server.accounts.remove("anna")
        if change == "again":
            server.accounts.add("anna", PASSWORD, "user")
        assert client.get("/paddock/chats").status_code == 401
    if change == "again":
        with server.login("anna") as client:
            assert _chats(client) == []


def test_the_owner_logs_in_with_the_password_and_keeps_what_was_there(server: Server) -> None:
    chat = server.app.chats.create().id
    with server.login("paddock", "word") as owner:
        assert _chats(owner) == [chat]
        assert owner.get("/paddock/workshop/state").status_code == 200
    with server.visitor(Authorization="Bearer word") as program:
        assert _chats(program) == [chat]


def test_a_page_calls_no_function_of_another_accounts_page(server: Server) -> None:
    with server.login("anna") as user, server.login("cora") as admin:
        admin.get("/config")
        server_page = admin.get("/config").json()["root"].rpartition("/")[2]
        assert server_page.startswith("page-")
        assert admin.get(f"/{server_page}/config").status_code == 200
        assert user.get(f"/{server_page}/config").status_code == 410


def test_a_file_of_accounts_that_breaks_lets_nobody_in(server: Server) -> None:
    with server.login("anna") as client:
        server.app.paths.users.write_text("anna: word")
        for path in ("/paddock/start", "/v1/models"):
            answer = client.get(path, headers={"Authorization": "Bearer x"})
            assert (answer.status_code, "users.yaml" in answer.text) == (503, True)
        answer = client.post("/login", data={"name": "anna", "password": PASSWORD})
        assert (answer.status_code, "users.yaml" in answer.text) == (503, True)
        assert client.get("/login").status_code == 200


def test_many_logins_at_once_keep_nobody_waiting(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    checking, go_on = threading.Event(), threading.Event()

    def slow(self: Accounts, name: str, password: str) -> None:
        checking.set()
        assert go_on.wait(60)

    monkeypatch.setattr(Accounts, "check", slow)
    ask = {"name": "anna", "password": "wrong"}
    with server.login("paddock", "word") as client, ThreadPoolExecutor(60) as pool:
        answers = [pool.submit(httpx.post, f"{server.address}/login", data=ask, timeout=90) for _ in range(60)]
        assert checking.wait(60)
        # More than the server has threads, and others are served.
        assert client.get("/paddock/start").status_code == 200
        refused = next(answer for answer in as_completed(answers))
        assert refused.result().status_code == 429
        go_on.set()
        assert {answer.result().status_code for answer in answers} == {401, 429}


def test_a_user_stops_only_replies_of_its_own_account(server: Server) -> None:
    keys = [server.accounts.add_key(name) for name in ("anna", "bert")]
    ask = {"prompt": "on and on !long", "max_tokens": 900_000, "stream": True}
    own, others = ({"Authorization": f"Bearer {key}"} for key in keys)
    with (
        server.visitor(**own) as anna,
        server.visitor(**others) as bert,
        anna.stream("POST", "/v1/completions", json=ask) as first,
        bert.stream("POST", "/v1/completions", json=ask) as second,
    ):
        lines = second.iter_lines()
        assert next(lines)
        assert httpx.post(f"{server.address}/v1/internal/stop-generation", headers=own).json() == "OK"
        assert "[DONE]" in first.read().decode()
        # More than was under way when the other ended.
        assert not any("[DONE]" in next(lines) for _ in range(200))


def test_a_start_with_accounts_alone_may_listen(config: Config) -> None:
    for server in _serve(config, listen=True):
        with server.visitor(Host="any.test") as client:
            assert client.get("/paddock/start").status_code == 401


@pytest.mark.skipif(nginx() is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")
@pytest.mark.parametrize("way", ["plain", "path", "forwarded"])
def test_people_log_in_through_a_proxy(server: Server, tmp_path: Path, way: str) -> None:
    with proxied(tmp_path / "nginx", server.address) as addresses, httpx.Client(timeout=90) as client:
        address = addresses[way]
        sent = client.get(address, headers={"Accept": "text/html"})
        login = httpx.URL(address).join(sent.headers["location"])
        assert (sent.status_code, str(login)) == (303, f"{address}login")
        answer = client.post(login, data={"name": "anna", "password": PASSWORD})
        assert (answer.status_code, str(login.join(answer.headers["location"]))) == (303, address)
        assert ("; Secure" in answer.headers["set-cookie"]) == (way == "forwarded")
        cookie = answer.headers["set-cookie"].partition(";")[0]
        assert httpx.get(f"{address}paddock/start", headers={"Cookie": cookie}).status_code == 200
        out = client.post(f"{address}logout", headers={"Cookie": cookie})
        assert str(httpx.URL(f"{address}logout").join(out.headers["location"])) == str(login)
        assert httpx.get(f"{address}paddock/start", headers={"Cookie": cookie}).status_code == 401
