"""Loaders that Python packages bring by entry points: found without running their code, and used after consent."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from modules.loading.loader_packages import find_package_loaders
from modules.loading.own_loaders import OwnLoaders
from modules.protocol.errors import PaddockError
from modules.runtime.loader_registry import Registry
from modules.settings.user_settings import YamlStore
from modules.system.code_allowlist import CodeAllowlist
from tests.loading.test_own_loaders import ROOT, SPEC, write_loader


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, the first on sys.path."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def _install(site: Path, package: str, *points: str) -> None:
    """Write the metadata of a package, as an installer would."""
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    lines = "\n".join(points)
    (info / "entry_points.txt").write_text(f"[paddock.loaders]\n{lines}\n", encoding="utf-8")
    importlib.invalidate_caches()


def _own(tmp_path: Path) -> tuple[Registry, OwnLoaders]:
    registry = Registry(ROOT / "loaders")
    store = YamlStore(tmp_path / "loaders.yaml")
    return registry, OwnLoaders(tmp_path / "loaders", find_package_loaders(), store, registry, CodeAllowlist())


def test_a_package_brings_a_loader_and_none_of_its_code_runs_before_consent(site: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    touch = f"open({str(marker)!r}, 'a').close()\n"
    place = write_loader(site / "acme", "packed", touch + SPEC)
    (site / "acme" / "__init__.py").write_text(touch, encoding="utf-8")
    _install(site, "acme-packed", "packed = acme.packed")

    registry, own = _own(tmp_path)
    assert not marker.exists() and "acme" not in sys.modules
    assert "from the package acme-packed" in own.waiting()["packed"] and str(place) in own.waiting()["packed"]
    assert own.package_folders() == [place]
    own.enable("packed")
    assert marker.exists() and registry.get("packed").title == "Name"
    assert str(place) in own.variables("packed")["PADDOCK_OWN_LOADER"]
    assert "acme" not in sys.modules

    registry, own = _own(tmp_path)
    assert "packed" in registry.specs and not own.waiting()
    (place / "worker.py").write_text("class Engine: changed = True\n", encoding="utf-8")
    registry, own = _own(tmp_path)
    assert "packed" not in registry.specs and "packed" in own.waiting()


def test_an_entry_point_that_names_no_loader_is_named_and_the_rest_works(site: Path, tmp_path: Path) -> None:
    write_loader(site / "acme", "good")
    _install(site, "acme", "good = acme.good", "gone = acme.gone", "other = acme.good", "up = ...up", "absent = absent")
    registry, own = _own(tmp_path)
    assert own.names() == ["good"] and registry.faults.keys() == {"absent", "gone", "other", "up"}
    for name in ("absent", "gone"):
        assert "of the package acme names no folder with a spec.py" in registry.faults[name]
    for name in ("other", "up"):
        assert "must be a dotted path to a folder with the name of the loader" in registry.faults[name]
    own.enable("good")
    with pytest.raises(PaddockError, match="names no folder with a spec.py"):
        registry.get("gone")


def test_of_two_loaders_with_one_name_the_users_own_is_used_and_the_other_is_named(site: Path, tmp_path: Path) -> None:
    write_loader(site / "acme", "twice")
    write_loader(site / "zeta", "twice")
    _install(site, "acme", "twice = acme.twice")
    _install(site, "zeta", "twice = zeta.twice")
    registry, own = _own(tmp_path)
    assert own.package_folders() == [site / "acme" / "twice"]
    assert "has the name of a loader of acme" in registry.faults["twice"]

    mine = write_loader(tmp_path / "loaders", "twice")
    registry, own = _own(tmp_path)
    own.enable("twice")
    assert str(mine) in own.variables("twice")["PADDOCK_OWN_LOADER"]
    assert "is not used, since loaders/twice has the same name" in registry.faults["twice of acme"]
