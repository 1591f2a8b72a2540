"""Read NVIDIA's cards from the answer of nvidia-smi."""

from __future__ import annotations

from modules.protocol.model_facts import Gpu

_FIELDS = "uuid,name,memory.total,memory.free"
_FORMAT = "--format=csv,noheader,nounits"
# The second for tools before R510, which do not know compute_cap.
NVIDIA_SMI = (
    ("nvidia-smi", f"--query-gpu={_FIELDS},driver_version,compute_cap", _FORMAT),
    ("nvidia-smi", f"--query-gpu={_FIELDS}", _FORMAT),
)

# The first branch of the driver that supports each CUDA. Source: table 3 of the CUDA Toolkit's release notes,
# https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/
_CUDA_OF_BRANCH = {
    595: "13.2",
    590: "13.1",
    580: "13.0",
    575: "12.9",
    570: "12.8",
    565: "12.7",
    560: "12.6",
    555: "12.5",
    550: "12.4",
    545: "12.3",
    535: "12.2",
    530: "12.1",
    525: "12.0",
    520: "11.8",
    515: "11.7",
    510: "11.6",
    495: "11.5",
    470: "11.4",
    465: "11.3",
    460: "11.2",
    455: "11.1",
    450: "11.0",
    440: "10.2",
    418: "10.1",
    410: "10.0",
}


def cuda_of_driver(driver: str) -> str:
    """Return the newest CUDA that a driver supports: "595.71.05" -> "13.2"; "" if it is not known."""
    branch = driver.partition(".")[0]
    if not branch.isdecimal():
        return ""
    return next((cuda for first, cuda in _CUDA_OF_BRANCH.items() if int(branch) >= first), "9.0")


def parse_nvidia(output: str) -> list[tuple[str, Gpu]]:
    """Return (UUID, card) of lines such as "GPU-8f, NVIDIA H200, 143771, 143000, 595.71.05, 9.0" (MiB).

    The last two fields may be missing. Unknown memory is 0.
    """
    cards = []
    for line in output.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) not in (4, 6):
            continue
        uuid, name, total, free, driver, capability = [*parts, "", ""][:6]
        known = capability if "." in capability else ""
        card = Gpu("cuda", name, whole(total) << 20, whole(free) << 20, known, driver, cuda_of_driver(driver))
        cards.append((uuid, card))
    return cards


def whole(word: str) -> int:
    """Return the number, 0 if it is none."""
    return int(word) if word.isdecimal() else 0
