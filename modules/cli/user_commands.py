"""`webui.py users …`: add, list and remove accounts, change passwords, make API keys."""

from __future__ import annotations

import argparse
import getpass
import json
import sys

from modules.protocol.errors import PaddockError
from modules.settings.accounts import ROLES, USER, Accounts
from modules.settings.config import Config

_FIRST = "Everyone logs in now, also where Paddock runs already. Its owner does with --password."


def add_user_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the parser of `users`."""
    top = commands.add_parser("users", parents=[common], help="add, list or remove accounts, and make their API keys")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    listed = verbs.add_parser("list", parents=[common], help="every account with its role")
    listed.add_argument("--json", action="store_true", help="print a JSON list with one object each")
    add = verbs.add_parser("add", parents=[common], help="add an account with separate chats, presets and characters")
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--role", choices=ROLES, default=USER, help=f"admins also load models and run jobs (default: {USER})"
    )
    remove = verbs.add_parser("remove", parents=[common], help="remove an account; its data stays in user_data/users/")
    remove.add_argument("name", metavar="NAME")
    password = verbs.add_parser("password", parents=[common], help="change the password; sessions of the account end")
    password.add_argument("name", metavar="NAME")
    key = verbs.add_parser("key", parents=[common], help="make an API key for the account, and print it once")
    key.add_argument("name", metavar="NAME")
    key.add_argument("--remove", action="store_true", help="remove all keys of the account instead")


def users(config: Config, arguments: argparse.Namespace) -> int:
    """Run the sub-command that the arguments name. Return the exit status."""
    accounts = Accounts(config.paths.users, config.paths.users_data)
    name = getattr(arguments, "name", "")
    if arguments.verb == "list":
        _list(accounts, arguments.json)
    elif arguments.verb == "add":
        first = not accounts.all()
        accounts.add(name, _password(name), arguments.role)
        print(f"Added {name} with the role {arguments.role}. {_FIRST if first else ''}".rstrip())
    elif arguments.verb == "remove":
        accounts.remove(name)
        print(f"Removed {name}.")
    elif arguments.verb == "password":
        accounts.get(name)
        accounts.set_password(name, _password(name))
        print(f"Changed the password of {name}.")
    elif arguments.remove:
        print(f"Removed {accounts.remove_keys(name)} keys of {name}.")
    else:
        print(accounts.add_key(name))
        print("This is shown only once. Send it as Authorization: Bearer KEY.", file=sys.stderr)
    return 0


def _list(accounts: Accounts, as_json: bool) -> None:
    found = [{"name": one.name, "role": one.role, "keys": len(one.keys)} for one in accounts.all().values()]
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for one in found:
        keys = f"{one['keys']} API keys" if one["keys"] else "no API key"
        print(f"{one['name']}: {one['role']}, {keys}")
    if not found:
        print("There are no accounts. Add one: users add NAME --role admin", file=sys.stderr)


def _password(name: str) -> str:
    """Ask for a password, or read the first line of standard input if that is no terminal."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"Password of {name}: ")
    if getpass.getpass("Again: ") != password:
        raise PaddockError("The passwords differ. Try again.")
    return password
