"""Finds extensions: folders with an extension.py (Paddock's own kind) or a script.py (text-generation-webui's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from modules.files.data_files import DataFileError, read_json
from modules.files.paths import safe_join
from modules.files.printable_name import printable_name
from modules.plugins.code_files import code_files, fingerprint
from modules.plugins.manifest import Manifest, ManifestError, read_manifest
from modules.plugins.script_needs import unnamed_needs

ENTRIES = ("extension.py", "script.py")
# Levels of folders around an extension that are searched, and folders per level.
_MOST_DEPTH = 4
_MOST_FOLDERS = 1000


@dataclass(frozen=True)
class ExtensionFolder:
    """An extension on disk.

    `kind`: its entry file, one of ENTRIES. `problem`: a sentence saying why it cannot run as it is, or "". `shipped`:
    it came with Paddock and is unchanged. `sha256`: the fingerprint of all its code. `files`: the digest of each file
    of code.
    """

    name: str
    path: Path
    kind: str
    manifest: Manifest = field(default_factory=Manifest)
    problem: str = ""
    sha256: str = ""
    shipped: bool = False
    files: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def title(self) -> str:
        """The name that the page shows."""
        return self.manifest.title or self.name.replace("_", " ").replace("-", " ").capitalize()


def discover(roots: Sequence[Path], installed: Mapping[str, Path] | None = None) -> dict[str, ExtensionFolder]:
    """Return every extension by name, also those that cannot run, with their problem.

    `roots`: folders that hold extensions. `installed`: folders of extensions in installed Python packages, by name.
    """
    found: dict[str, ExtensionFolder] = {}
    same_names: dict[str, list[ExtensionFolder]] = {}
    for extension in [*_in_roots(roots), *(_read_installed(*entry) for entry in (installed or {}).items())]:
        found[extension.name] = extension
        same_names.setdefault(extension.name.casefold(), []).append(extension)
    for extensions in same_names.values():
        if len(extensions) > 1:
            where = " and ".join(str(extension.path) for extension in extensions)
            problem = f"Two extensions have the same name: {where}. Rename or remove one of them."
            for extension in extensions:
                found[extension.name] = ExtensionFolder(extension.name, extension.path, extension.kind, problem=problem)
    return dict(sorted(found.items(), key=lambda pair: pair[0].casefold()))


def entry_folders(folder: Path) -> list[Path]:
    """Return the folders with an entry file: `folder` itself, or those nearest below it.

    Searches three levels down and skips hidden folders.
    """
    level = [folder]
    for _ in range(_MOST_DEPTH):
        if found := [place for place in level if any((place / name).is_file() for name in ENTRIES)]:
            return found
        level = [inner for place in level for inner in _subfolders(place) if not inner.is_symlink()][:_MOST_FOLDERS]
    return []


def root_of(folder: Path) -> Path:
    """Return the only folder below `folder` that holds an extension, else `folder`.

    Archives and repositories often have folders around the extension.
    """
    places = entry_folders(folder)
    return places[0] if len(places) == 1 else folder


def shipped_hashes(root: Path) -> dict[str, str]:
    """Return the sha256 of the extensions that came with Paddock by name, from shipped.json in `root`."""
    try:
        values = read_json(root / "shipped.json")
    except (OSError, DataFileError):
        return {}
    return {str(name): str(value) for name, value in values.items()} if isinstance(values, dict) else {}


def _in_roots(roots: Sequence[Path]) -> list[ExtensionFolder]:
    found = []
    for root in roots:
        shipped = shipped_hashes(root)
        for folder in _subfolders(root):
            if kind := _kind(folder):
                found.append(_read(root, printable_name(folder.name), folder, kind, shipped))
    return found


def _read_installed(name: str, folder: Path) -> ExtensionFolder:
    if kind := _kind(folder):
        return _read(folder.parent, name, folder, kind, {})
    problem = f"An installed package names {folder} as an extension, but it has no extension.py. Reinstall the package."
    return ExtensionFolder(name, folder, ENTRIES[0], problem=problem)


def _kind(folder: Path) -> str:
    return next((name for name in ENTRIES if (folder / name).is_file()), "")


def _subfolders(root: Path) -> list[Path]:
    try:
        entries = sorted(root.iterdir())
    except OSError:
        return []
    return [path for path in entries if path.name[0] not in "._" and path.is_dir()]


def _read(root: Path, name: str, folder: Path, kind: str, shipped: Mapping[str, str]) -> ExtensionFolder:
    try:
        safe_join(root, folder.name)
        files = code_files(folder)
        sha256 = fingerprint(files)
        manifest = read_manifest(folder)
        if kind == "script.py":
            more = unnamed_needs(folder, manifest.requirements)
            manifest = replace(manifest, requirements=(*manifest.requirements, *more))
    except ManifestError as error:
        return ExtensionFolder(name, folder, kind, problem=error.message)
    except (OSError, ValueError) as error:
        return ExtensionFolder(name, folder, kind, problem=str(error))
    except Exception as error:
        return ExtensionFolder(name, folder, kind, problem=getattr(error, "message", str(error)))
    is_shipped = shipped.get(name) == sha256
    return ExtensionFolder(name, folder, kind, manifest, manifest.refuses_host(), sha256, is_shipped, files)
