"""The folders that workers may read and write."""

from __future__ import annotations

from pathlib import Path

from modules.files.paths import Paths
from modules.loading.own_loaders import OwnLoaders
from modules.plugins.entry_points import installed_extensions


def worker_folders(paths: Paths, loaders: OwnLoaders) -> tuple[list[Path], list[Path]]:
    """Return the folders that workers read (models, adapters, images, loaders, extensions) and those they write."""
    own_loaders = [paths.own_loaders, *loaders.package_folders()]
    extensions = [*paths.extensions, *installed_extensions().values(), paths.extension_packages]
    return [paths.models, paths.model_images, *own_loaders, *extensions], [paths.extension_data]
