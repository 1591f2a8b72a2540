"""Texts of the hub that others measure and calibrate with: WikiText-2 and C4. They are downloaded once and kept.

The parts and how they are joined are those of the GPTQ paper's code, so numbers can be compared with published ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HubText:
    """One file of a data set. `name`: of the file that is kept; `title`: for people.

    first_rows: how many of its lines are used; 0 uses all. joined: what stands between the rows where they are one
    text; None keeps them apart. cut: a pattern of where the joined text is cut into rows again, such as headings.
    """

    repository: str
    path: str
    name: str
    title: str
    first_rows: int = 0
    joined: str | None = None
    cut: str = ""

    def arrange(self, texts: list[str]) -> list[str]:
        """Return the texts of the file's rows as they are used."""
        if self.joined is None:
            return texts
        whole = self.joined.join(texts)
        return re.split(self.cut, whole) if self.cut else [whole]


@dataclass(frozen=True)
class HubTexts:
    """The texts of one data set: for calibration, and another part of it for evaluation."""

    calibration: HubText
    evaluation: HubText


# Before the heading of an article, " = Title = ". Those of its sections have more signs.
_ARTICLE = r"\n(?= = [^=\n]+ = \n)"


def _wikitext(part: str, cut: str = "") -> HubText:
    path = f"wikitext-2-raw-v1/{part}-00000-of-00001.parquet"
    title = f"WikiText-2 ({part})"
    return HubText("Salesforce/wikitext", path, f"wikitext2-{part}.parquet", title, joined="\n\n", cut=cut)


def _c4(shard: int, rows: int, joined: str | None) -> HubText:
    # The parts for training have 319 MB each; these have 40 MB.
    path = f"en/c4-validation.{shard:05}-of-00008.json.gz"
    title = f"C4 (validation, part {shard})"
    return HubText("allenai/c4", path, f"c4-validation-{shard}.json.gz", title, rows, joined)


# What `--calibration` and `--text` take besides paths.
HUB_TEXTS = {
    "wikitext2": HubTexts(_wikitext("train", _ARTICLE), _wikitext("test")),
    "c4": HubTexts(_c4(1, 4096, None), _c4(0, 1100, " ")),
}


def saved_text(folder: Path, text: HubText) -> Path | None:
    """Return the file of a text that was downloaded before."""
    file = folder / text.name
    return file if file.is_file() else None


def fetch_text(folder: Path, text: HubText, report: Callable[[str], None], endpoint: str | None = None) -> Path:
    """Download a text from the hub at `endpoint` (None: HF_ENDPOINT) into `folder` and return its file.

    What arrived of a broken download is kept.
    Raises DownloadError, and whatever `report` raises to stop.
    """
    # Importing huggingface_hub takes most of a second.
    from modules.library.download import Download, DownloadProgress
    from modules.library.download_choice import FileSelection
    from modules.library.download_listing import find_dataset_file

    report(f"Downloading {text.title}")

    def tell(progress: DownloadProgress) -> None:
        tenth = 10 * progress.done // max(1, progress.total)
        report(f"Downloading {text.title}: {tenth * 10} %")

    listing = find_dataset_file(text.repository, text.path, endpoint)
    folder.mkdir(parents=True, exist_ok=True)
    selection = FileSelection(text.name, listing.files, "A text for jobs.", single=True)
    return Download(folder, listing, selection, tell).run()
