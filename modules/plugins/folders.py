"""Which extensions there are: folders with an extension.py (our own way) or a script.py (text-generation-webui's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from modules.files.data_files import DataFileError, read_json
from modules.files.paths import safe_join
from modules.plugins.code_files import code_files, fingerprint
from modules.plugins.manifest import Manifest, ManifestError, read_manifest
from modules.plugins.script_needs import unnamed_needs

ENTRIES = ("extension.py", "script.py")
# Levels of folders around an extension that are looked through, and folders on one of them.
_MOST_DEPTH = 4
_MOST_FOLDERS = 1000


@dataclass(frozen=True)
class ExtensionFolder:
    """An extension on disk. `kind`: of ENTRIES. `problem`: a sentence saying why it cannot run as it is. `shipped`: it
    came with Paddock and is unchanged. `sha256`: of all its code. `files`: the digest of each file of code."""

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
        """What the page calls it."""
        return self.manifest.title or self.name.replace("_", " ").replace("-", " ").capitalize()


def discover(roots: Sequence[Path]) -> dict[str, ExtensionFolder]:
    """Every extension in these folders, by name. Folders that cannot run are there too, with their problem."""
    found: dict[str, ExtensionFolder] = {}
    names: dict[str, list[Path]] = {}
    for root in roots:
        shipped = shipped_hashes(root)
        for folder in _folders(root):
            kind = next((name for name in ENTRIES if (folder / name).is_file()), "")
            if kind:
                names.setdefault(folder.name.casefold(), []).append(folder)
                found[folder.name] = _read(root, folder, kind, shipped)
    for twins in names.values():
        if len(twins) > 1:
            where = " and ".join(str(folder) for folder in twins)
            problem = f"Two extensions are named alike: {where}. Rename or remove one of them."
            for folder in twins:
                found[folder.name] = ExtensionFolder(folder.name, folder, found[folder.name].kind, problem=problem)
    return dict(sorted(found.items(), key=lambda pair: pair[0].casefold()))


def entry_folders(folder: Path) -> list[Path]:
    """Where an extension lies in what somebody handed out: the folder itself, or else those nearest within, with their
    entry files. None lies more than three levels down, nor in a hidden folder."""
    level = [folder]
    for _ in range(_MOST_DEPTH):
        if found := [place for place in level if any((place / name).is_file() for name in ENTRIES)]:
            return found
        level = [inner for place in level for inner in _folders(place) if not inner.is_symlink()][:_MOST_FOLDERS]
    return []


def root_of(folder: Path) -> Path:
    """The one folder within that holds the extension, else the folder itself: archives and repositories often have
    folders around it."""
    places = entry_folders(folder)
    return places[0] if len(places) == 1 else folder


def _folders(root: Path) -> list[Path]:
    try:
        entries = sorted(root.iterdir())
    except OSError:
        return []
    return [path for path in entries if path.name[0] not in "._" and path.is_dir()]


def _read(root: Path, folder: Path, kind: str, shipped: dict[str, str]) -> ExtensionFolder:
    try:
        safe_join(root, folder.name)
        files = code_files(folder)
        sha256 = fingerprint(files)
        manifest = read_manifest(folder)
        if kind == "script.py":
            more = unnamed_needs(folder, manifest.requirements)
            manifest = replace(manifest, requirements=(*manifest.requirements, *more))
    except ManifestError as error:
        return ExtensionFolder(folder.name, folder, kind, problem=error.message)
    except (OSError, ValueError) as error:
        return ExtensionFolder(folder.name, folder, kind, problem=str(error))
    except Exception as error:
        return ExtensionFolder(folder.name, folder, kind, problem=getattr(error, "message", str(error)))
    ours = shipped.get(folder.name) == sha256
    return ExtensionFolder(folder.name, folder, kind, manifest, manifest.refuses_host(), sha256, ours, files)


def shipped_hashes(root: Path) -> dict[str, str]:
    """Name -> sha256 of the extensions that came with Paddock, from shipped.json beside them."""
    try:
        values = read_json(root / "shipped.json")
    except (OSError, DataFileError):
        return {}
    return {str(name): str(value) for name, value in values.items()} if isinstance(values, dict) else {}
