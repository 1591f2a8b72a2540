"""List a repository of the hub: its files with sizes and checksums, pinned to one commit.

Addresses, sessions, tokens (HF_TOKEN), mirrors (HF_ENDPOINT) and the listing come from huggingface_hub.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

import httpx2
from huggingface_hub import HfApi, get_hf_file_metadata, get_session, get_token, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling

from modules.library.download_staging import DownloadError

_LISTING_SECONDS = 30.0
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The hub's rule: huggingface.co/docs/huggingface_hub/package_reference/utilities, validate_repo_id.
_NAME = re.compile(r"\w([\w.-]{0,94}\w)?", re.ASCII)
_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class RepositoryId:
    """A repository at a branch, tag or commit. A `revision` of "" is the main branch. `kind`: "model" or "dataset"."""

    repository: str
    revision: str = ""
    kind: str = "model"

    def __str__(self) -> str:
        return f"{self.repository}:{self.revision}" if self.revision else self.repository

    @property
    def name(self) -> str:
        """The name of its folder in models/."""
        revision = self.revision[:8] if _SHA1.fullmatch(self.revision) else self.revision.replace("/", "-")
        base = self.repository.partition("/")[2]
        return f"{base}-{revision}" if revision not in ("", "main") else base


@dataclass(frozen=True)
class RemoteFile:
    """A file at the hub: path with forward slashes, bytes, and checksum (SHA-256, or Git's SHA-1; "": unknown)."""

    path: str
    size: int
    sha256: str = ""
    git_sha1: str = ""

    @property
    def checksum(self) -> str:
        """The checksum that is known."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True)
class RepositoryListing:
    """The files of a repository at `commit`, from the hub at `endpoint`."""

    wanted: RepositoryId
    endpoint: str
    commit: str
    files: tuple[RemoteFile, ...]


def parse_repository_id(text: str) -> RepositoryId:
    """Parse `owner/name` or `owner/name:revision`. Raises DownloadError."""
    repository, colon, revision = text.partition(":")
    good = all(_NAME.fullmatch(part) and "--" not in part and ".." not in part for part in repository.split("/"))
    if not good or repository.count("/") != 1 or repository.endswith(".git"):
        raise DownloadError(
            f"{text[:200]!r} names no repository. Write owner/name, or owner/name:revision, with letters, digits, "
            "'-', '_' and '.'; for example ggml-org/tinygemma3-GGUF."
        )
    if colon and (not re.fullmatch(r"[\w][\w./+-]*", revision) or ".." in revision or len(revision) > 200):
        raise DownloadError(
            f"{revision[:200]!r} cannot be a revision. After the colon comes a branch, tag or commit, such as main."
        )
    return RepositoryId(repository, revision)


def list_files(wanted: RepositoryId, endpoint: str | None = None) -> RepositoryListing:
    """Return the repository's files from the hub at `endpoint` (default: HF_ENDPOINT). Raises DownloadError."""
    api = HfApi(endpoint=endpoint)
    address = str(api.endpoint)
    check_network_settings()
    try:
        info = api.model_info(
            wanted.repository, revision=wanted.revision or None, timeout=_LISTING_SECONDS, files_metadata=True
        )
        files = [_remote_file(entry) for entry in info.siblings or ()]
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise explain_error(error, wanted, address) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(
            f"{address} did not answer like a hub. Check HF_ENDPOINT, and whether your network shows a login page.",
            detail=repr(error),
        ) from error
    commit = info.sha or ""
    if not _SHA1.fullmatch(commit):
        raise DownloadError(f"{address} did not say which commit {wanted.repository} is at. Try another HF_ENDPOINT.")
    for file in files:
        _check_path(file.path, wanted)
    return RepositoryListing(wanted, address, commit, tuple(sorted(files, key=lambda file: file.path)))


def find_dataset_file(repository: str, path: str, endpoint: str | None = None) -> RepositoryListing:
    """Return a listing of one file of a data set, whose repository may have too many files to list. Raises
    DownloadError."""
    wanted = RepositoryId(repository, kind="dataset")
    address = str(HfApi(endpoint=endpoint).endpoint)
    check_network_settings()
    url = hf_hub_url(repository, path, repo_type="dataset", endpoint=address)
    try:
        found = get_hf_file_metadata(url, token=get_token(), timeout=_LISTING_SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise explain_error(error, wanted, address) from error
    tag, commit = found.etag or "", found.commit_hash or ""
    if found.size is None or not _SHA1.fullmatch(commit):
        raise DownloadError(
            f"{address} did not answer like a hub. Check HF_ENDPOINT, and whether your network shows a login page.",
            detail=repr(found),
        )
    file = RemoteFile(path, found.size, _digest(_SHA256, tag), _digest(_SHA1, tag))
    return RepositoryListing(wanted, address, commit, (file,))


def check_network_settings() -> None:
    """Raise DownloadError if the environment's proxies and certificates cannot be used."""
    try:
        get_session()
    except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
        socks = " Downloads cannot use a SOCKS proxy; name an HTTP proxy." if "SOCKS" in str(error) else ""
        raise DownloadError(
            f"The proxy or certificate settings in the environment cannot be used.{socks} Correct ALL_PROXY, "
            "HTTPS_PROXY, HTTP_PROXY, NO_PROXY, SSL_CERT_FILE or SSL_CERT_DIR, or unset them. "
            "Then start Paddock again.",
            detail=str(error),
        ) from error


def _remote_file(entry: RepoSibling) -> RemoteFile:
    size = entry.lfs.size if entry.lfs else entry.size
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"no size for {entry.rfilename!r}")
    sha256 = _digest(_SHA256, entry.lfs.sha256) if entry.lfs else ""
    return RemoteFile(str(entry.rfilename), size, sha256, "" if entry.lfs else _digest(_SHA1, entry.blob_id))


def _digest(form: re.Pattern[str], text: str | None) -> str:
    return text if text and form.fullmatch(text) else ""


def _check_path(path: str, wanted: RepositoryId) -> None:
    """Raise DownloadError if a path leads out of its folder on any system."""
    parts = PurePosixPath(path).parts
    if (
        not parts
        or ".." in parts
        or PurePosixPath(path).is_absolute()
        or PureWindowsPath(path).drive
        or re.search(r"[\x00-\x1f\x7f\\:]", path)
    ):
        raise DownloadError(
            f"The listing of {wanted.repository} names a file that would lie outside its folder ({path[:200]!r}), so "
            "nothing was downloaded. Do not trust this repository; report it, or choose another one."
        )


def explain_error(error: Exception, wanted: RepositoryId, endpoint: str) -> DownloadError:
    """Return the error for a failed request to the hub, with a next step."""
    name = wanted.repository
    page = f"{endpoint}/datasets/{name}" if wanted.kind == "dataset" else f"{endpoint}/{name}"
    noun = "data set" if wanted.kind == "dataset" else "model"
    token = "put a token of an account that may read it into HF_TOKEN, start Paddock with that"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    if isinstance(error, OfflineModeIsEnabled):
        sentence = "HF_HUB_OFFLINE is set, so the hub is not contacted. Unset it, then try again."
    elif isinstance(error, GatedRepoError):
        sentence = (
            f"{name} is gated: its owner requires you to accept conditions first. Do so on {page}, {token}, "
            "then start the download again."
        )
    elif isinstance(error, RevisionNotFoundError):
        sentence = f"{name} has no revision {wanted.revision!r}. Look at its branches and tags on {page}."
    elif isinstance(error, RemoteEntryNotFoundError):
        sentence = (
            f"{endpoint} lists a file of {name} but does not have it. Set HF_ENDPOINT to another mirror, or wait."
        )
    elif status == 401 and not isinstance(error, RepositoryNotFoundError):
        sentence = f"{endpoint} does not accept the token. Set HF_TOKEN to a valid one, or unset it for open models."
    elif status in (401, 404):
        sentence = (
            f"There is no {noun} {name} on {endpoint}, or it is private. Check the spelling; if it is private, {token}."
        )
    elif status == 403:
        sentence = f"{endpoint} does not allow you to read {name}. Check on {page} who may, and {token}."
    elif status == 429:
        sentence = f"{endpoint} asks to slow down. Wait a few minutes, then start it again."
    elif status:
        sentence = f"{endpoint} answered with error {status}. Start it again later."
    elif isinstance(error, httpx2.TimeoutException):
        sentence = f"{endpoint} did not answer in time. Check the connection, then start it again."
    elif isinstance(error, httpx2.UnsupportedProtocol | httpx2.InvalidURL):
        sentence = f"{endpoint!r} is not an address. Set HF_ENDPOINT to one such as https://huggingface.co."
    else:
        sentence = (
            f"{endpoint} cannot be reached. Check the network connection (and HTTPS_PROXY or HF_ENDPOINT, if you use "
            "them), then start it again."
        )
    return DownloadError(sentence, detail=str(error))
