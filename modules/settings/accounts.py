"""Accounts of people who share one Paddock: users.yaml in the user data folder, with names, roles and hashes."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from modules.files.data_files import DataFileError, read_yaml, to_yaml
from modules.files.paths import write_atomically
from modules.protocol.errors import PaddockError

ADMIN, USER = "admin", "user"
ROLES = (ADMIN, USER)
# The name with which the password of --password is sent.
OWNER = "paddock"
# The name of the account of people who have only the admin key. No other account can have it.
ADMIN_KEY_NAME = "admin key"
SHORTEST_PASSWORD = 8
_LONGEST_PASSWORD = 1024
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")
# So that a key is recognized where it was published by mistake.
_KEY_PREFIX = "paddock-"


@dataclass(frozen=True)
class Account:
    """One account. `id` differs from that of an earlier account of the same name. `keys`: SHA-256 of its API keys."""

    name: str
    role: str
    id: str
    password: str = field(repr=False)
    keys: tuple[str, ...] = field(default=(), repr=False)

    @property
    def access(self) -> tuple[str, str]:
        """What an App and a page are made for: they are made again for another account of this name, or role."""
        return self.id, self.role

    @property
    def credentials(self) -> str:
        """What a session began with: it ends once the password, the role or the account itself is another."""
        return f"{self.id} {self.role} {self.password}"

    @property
    def is_admin(self) -> bool:
        """True if it may load models, run jobs and change what all share."""
        return self.role == ADMIN


def admin_key_account(key: str) -> Account:
    """Return the account of everyone who opens the page with the admin key: it manages models and jobs, and has chats
    apart from the owner's."""
    return Account(ADMIN_KEY_NAME, ADMIN, ADMIN_KEY_NAME, key)


def account_client(account: Account) -> str:
    """Return the name under which an account takes turns with other clients, on its page and over the API."""
    return f"account {account.name}"


class Accounts:
    """The accounts in one file, read again when it changes. Thread-safe. Every method may raise PaddockError.

    `folder`: has a folder with the data of each account.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._lock = threading.Lock()
        self._hasher = PasswordHasher()
        # What is compared with the password for a name that does not exist, so that it takes as long.
        self._nobody = ""
        self._version: tuple[int, ...] = ()
        self._known: dict[str, Account] = {}

    def all(self) -> dict[str, Account]:
        """Return the accounts by name."""
        with self._lock:
            try:
                facts = self._path.stat()
            except FileNotFoundError:
                self._version, self._known = (), {}
                return {}
            except OSError as error:
                raise PaddockError(f"{self._path.name} cannot be read ({error.strerror}). Check its rights.") from error
            version = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            if version != self._version:
                self._known, self._version = self._read(), version
            return dict(self._known)

    def get(self, name: str) -> Account:
        """Return the account of this name. Raise PaddockError if there is none."""
        if found := self.all().get(name):
            return found
        names = ", ".join(self.all()) or "none yet"
        raise PaddockError(f"There is no account named {name!r}. The accounts are: {names}.")

    def check(self, name: str, password: str) -> Account | None:
        """Return the account if the password is right. Takes about as long for a name that does not exist.

        Needs 64 MiB while it runs.
        """
        account = self.all().get(name)
        self._nobody = self._nobody or self._hasher.hash(secrets.token_hex())
        try:
            self._hasher.verify(account.password if account else self._nobody, password[:_LONGEST_PASSWORD])
        except (VerificationError, InvalidHashError):
            return None
        return account

    def by_key(self, key: bytes) -> Account | None:
        """Return the account that this API key belongs to."""
        # The comparison of hashes reveals nothing about the key.
        digest = hashlib.sha256(key).hexdigest()
        return next((account for account in self.all().values() if digest in account.keys), None)

    def add(self, name: str, password: str, role: str) -> None:
        """Add an account."""
        if not _NAME.fullmatch(name) or name == OWNER:
            raise PaddockError(
                f"{name!r} cannot be an account's name. Use up to 32 small letters, digits, - and _, and another word "
                f"than {OWNER}."
            )
        if role not in ROLES:
            raise PaddockError(f"There is no role {role!r}. The roles are: {', '.join(ROLES)}.")
        accounts = self.all()
        if name in accounts:
            raise PaddockError(f"There is an account named {name} already. Choose another name, or remove it first.")
        accounts[name] = Account(name, role, secrets.token_hex(8), self._hash(password))
        self._write(accounts)

    def remove(self, name: str) -> None:
        """Remove an account. Its data moves to another name, so that no later account of this name finds it."""
        self.get(name)
        self._write({other: account for other, account in self.all().items() if other != name})
        with contextlib.suppress(FileNotFoundError):
            (self._folder / name).rename(self._folder / f".removed-{name}-{time.time_ns()}")

    def set_password(self, name: str, password: str) -> None:
        """Replace the password. Sessions that began with the old one end."""
        self._change(self.get(name), password=self._hash(password))

    def add_key(self, name: str) -> str:
        """Make an API key for the account, and return it. Only its hash is kept."""
        account, key = self.get(name), _KEY_PREFIX + secrets.token_urlsafe(32)
        self._change(account, keys=(*account.keys, hashlib.sha256(key.encode()).hexdigest()))
        return key

    def remove_keys(self, name: str) -> int:
        """Remove all API keys of the account. Return how many there were."""
        account = self.get(name)
        self._change(account, keys=())
        return len(account.keys)

    def _hash(self, password: str) -> str:
        if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
            raise PaddockError(f"A password has {SHORTEST_PASSWORD} to {_LONGEST_PASSWORD} characters. Choose another.")
        return self._hasher.hash(password)

    def _change(self, account: Account, **values: object) -> None:
        self._write({**self.all(), account.name: Account(**{**vars(account), **values})})

    def _write(self, accounts: dict[str, Account]) -> None:
        values = {
            name: {"role": one.role, "id": one.id, "password": one.password, "keys": list(one.keys)}
            for name, one in accounts.items()
        }
        if values:
            write_atomically(self._path, to_yaml(values))
        else:
            self._path.unlink(missing_ok=True)
        with self._lock:
            self._version = ()

    def _read(self) -> dict[str, Account]:
        try:
            values = read_yaml(self._path)
        except DataFileError as error:
            raise PaddockError(f"{self._path.name} in the user data folder cannot be read: {error.why}.") from error
        if not isinstance(values, dict) and values is not None:
            raise self._invalid("The file")
        return {name: self._account(name, entry) for name, entry in (values or {}).items()}

    def _account(self, name: object, entry: object) -> Account:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name == OWNER or not isinstance(entry, dict):
            raise self._invalid(f"The entry {name!r}")
        keys = entry.get("keys") or []
        texts = [entry.get("role"), entry.get("id"), entry.get("password"), *(keys if isinstance(keys, list) else [0])]
        if not all(isinstance(text, str) for text in texts) or entry["role"] not in ROLES:
            raise self._invalid(f"The entry {name!r}")
        return Account(name, entry["role"], entry["id"], entry["password"], tuple(keys))

    def _invalid(self, what: str) -> PaddockError:
        return PaddockError(
            f"{what} of {self._path.name} in the user data folder is invalid. Remove it, and add the account again."
        )
