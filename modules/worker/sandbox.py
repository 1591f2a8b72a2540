"""Confines a worker with Linux's Landlock: model files are untrusted, and engines that read them have had faults.

With Landlock a process gives up access to the file system except the paths that it names. The host names this worker's
paths in an open file, whose descriptor is in PADDOCK_SANDBOX; those of the system, compilers, devices and the
environment are named here. Without Landlock in the kernel the worker runs unconfined. Standard library only.

Reference: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

SANDBOX = "PADDOCK_SANDBOX"

# System call numbers, the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_MACHINES = ("x86_64", "aarch64", "riscv64", "ppc64le", "s390x", "loongarch64")
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38

_CAPABILITY_VERSION = 0x20080522
# chown, dac_override, fowner, fsetid, kill, ipc_lock, sys_nice, sys_resource
_KEPT_CAPABILITIES = sum(1 << bit for bit in (0, 1, 3, 4, 5, 14, 23, 24))

# Rights, in the order of the kernel's bits.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REMOVE_FOLDER = 1 << 4
_OF_FOLDERS = sum(1 << bit for bit in range(4, 13))  # remove, make (each kind)
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE

# Programs, libraries, certificates, and facts from the kernel.
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix", "/gnu", "/snap", "/proc", "/sys"),
    *("/run/opengl-driver", "/run/current-system", "/run/systemd/resolve", "/run/nscd"),
)
# In /dev: files that every program uses, of accelerators and of shared memory. No disks.
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue", "kfd", "dxg", "dri")
_ACCELERATORS = ("nvidia", "nvhost", "nvmap", "mali", "accel", "davinci", "hisi", "infiniband", "habana", "gaudi")
# Folders in the environment where engines compile their kernels.
_COMPILED = ("compiled", "torch_extensions")
# Variables by which users put an engine's cache elsewhere, and those of caches that hold more than an engine's.
_CACHES = ("_CACHE_DIR", "_CACHE_ROOT", "_CACHE_PATH", "_EXTENSIONS_DIR")
_HOMES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
_HUB = ("HF_HUB_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE", "HF_TOKEN_PATH", "HUGGINGFACE_HUB_CACHE")
# Variables of graphics drivers for the code that they compile for a card, which takes up to minutes. Mesa ignores HOME.
_SHADERS = {"MESA_SHADER_CACHE_DIR": "mesa", "CUDA_CACHE_PATH": "cuda", "__GL_SHADER_DISK_CACHE_PATH": "gl"}
# Folders with files of other programs and users.
_SHARED = ("/", "/home", "/tmp", "/var", "/var/tmp", "/run", "/run/user", "/mnt", "/media", "/srv")


def harden() -> str:
    """Give up rights that no engine needs, before threads start. Return a description of what is in force.

    A kernel that lacks a feature is no error.
    """
    descriptor = os.environ.pop(SANDBOX, "")
    _no_core_dumps()
    if sys.platform != "linux":
        return ""
    with contextlib.suppress(OSError, AttributeError):
        # Programs that the worker starts gain no rights, as with sudo.
        ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        _drop_capabilities()
    try:
        if not descriptor.isdigit() or not _landlock_version():
            return ""
        with os.fdopen(int(descriptor), encoding="utf-8") as file:
            given = json.load(file)
        _move_caches()
        return _restrict(_readable(map(Path, given["read"])), _writable(map(Path, given["write"])))
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        print(f"The worker runs without Landlock: {error}", file=sys.stderr)
        return ""


def _drop_capabilities() -> None:
    """As root, such as in a container, keep only the capabilities for files and memory. Others would give access to the
    host's environment in /proc, devices, and network settings. Child processes cannot get them back."""
    libc = _libc()
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: bits 0 to 31, then 32 to 63
    if libc.capget(header, data) == 0:
        kept = [value & mask for value, mask in zip(data, [_KEPT_CAPABILITIES] * 3 + [0] * 3, strict=True)]
        libc.capset(header, (ctypes.c_uint32 * 6)(*kept))


def _no_core_dumps() -> None:
    """Disable core dumps, which would contain chats and keys."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _move_caches() -> None:
    """Set a folder in the environment for the caches of libraries, apart from the user's files. It persists, so that
    compiled kernels are found again."""
    place = Path(sys.prefix, "cache")
    try:
        for name in ("cache", *_COMPILED):
            Path(sys.prefix, name).mkdir(exist_ok=True)
        usable = os.access(place, os.W_OK) and not _is_the_hosts()
    except OSError:
        usable = False
    home = place if usable else Path(tempfile.mkdtemp(prefix="home-"))
    for name in (*_HOMES, *_HUB):
        os.environ.pop(name, None)
    os.environ["HOME"] = str(home)
    os.environ["HF_HOME"] = str(home / "huggingface")
    for name, folder in _SHADERS.items():
        os.environ.setdefault(name, str(home / folder))


def _is_the_hosts() -> bool:
    """Return True if this is the host's environment, to which no worker writes."""
    return not Path(sys.prefix, "paddock.json").exists()


def _readable(given: Iterable[Path]) -> list[Path]:
    """Return the readable paths: of the system, of this Python, in the user's variables, and from the host."""
    code = Path(__file__).resolve().parent.parent
    python = [
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        str(Path(sys.executable).resolve().parent),
        *sys.path,
    ]
    # The folder of Paddock's code is on the path, but user data is beside the code.
    found = [Path(path) for path in python if path and Path(path).resolve() != code.parent]
    found += [part for value in os.environ.values() for part in _folders(value)]
    found += [code, code.parent / "loaders", code.parent / "paddock", *given]
    return [*map(Path, _SYSTEM), *(path for path in found if not _is_too_much(path))]


def _writable(given: Iterable[Path]) -> list[Path]:
    """Return the writable paths: devices, the worker's temporary folder, caches, and those from the host."""
    devices = [Path("/dev", name) for name in _DEVICES]
    devices += [path for path in Path("/dev").iterdir() if path.name.startswith(_ACCELERATORS)]
    found = [Path(os.environ["HOME"]), Path(tempfile.gettempdir()), *given]
    if not _is_the_hosts():
        found += [Path(sys.prefix, name) for name in _COMPILED]
    found += [path for name in os.environ if name.endswith(_CACHES) for path in _folders(os.environ[name])]
    return [*devices, *(path for path in found if not _is_too_much(path))]


def _folders(value: str) -> list[Path]:
    return [Path(part) for part in value.split(os.pathsep) if Path(part).is_absolute()]


def _is_too_much(path: Path) -> bool:
    """Return True if the path is a whole home folder, or a folder that several users share."""
    import pwd

    real = Path(os.path.realpath(path))
    try:
        home = Path(os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir))
    except KeyError:  # a user without an entry, as in containers
        home = Path("/root")
    return str(real) in _SHARED or home.is_relative_to(real)


def _landlock_version() -> int:
    """Return the version of the kernel's Landlock, or 0 if there is none or it is disabled."""
    if platform.machine() not in _MACHINES:
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def _restrict(read: Iterable[Path], write: Iterable[Path]) -> str:
    version = _landlock_version()
    handled = _READ | _WRITE_FILE | _OF_FOLDERS
    handled |= _REFER if version >= 2 else 0
    handled |= _TRUNCATE if version >= 3 else 0
    ruleset = _call(_CREATE_RULESET, ctypes.byref(_Ruleset(handled)), ctypes.c_size_t(8), ctypes.c_uint32(0))
    try:
        for path in read:
            _allow(ruleset, path, _READ & handled)
        for path in write:
            _allow(ruleset, path, handled)
        # A worker whose host was killed removes its temporary folder, for which it needs the right to remove empty
        # folders in the parent folder.
        _allow(ruleset, Path(tempfile.gettempdir()).resolve().parent, _REMOVE_FOLDER)
        # Python finds no package in a folder that it cannot list. This allows listing names, not reading files.
        _allow(ruleset, Path(__file__).resolve().parents[2], _READ_DIR)
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return f"Landlock {version}"


def _allow(ruleset: int, path: Path, rights: int) -> None:
    """Allow access to `path` and everything below it. A missing path is skipped."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= _OF_FILES
        rule = _PathBeneath(rights, handle)
        _call(
            _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)
        )
    finally:
        os.close(handle)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())} (system call {number})")
    return result
