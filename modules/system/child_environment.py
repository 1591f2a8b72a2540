"""The environment variables that Paddock passes to other programs. The user's secrets stay in the host.

This is an allowlist of what engines, compilers and package managers read: an unknown variable is not passed on.
PADDOCK_PASS_ENV adds names, separated by commas. Standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from modules.system.interpreter import foreign_variables

PASS_ENV = "PADDOCK_PASS_ENV"


def _words(*lines: str) -> tuple[str, ...]:
    return tuple(" ".join(lines).split())


# System, language, certificates, and search paths of compilers.
_NAMES = _words(
    "PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM COLUMNS LINES NO_COLOR TMPDIR TEMP TMP",
    "LD_LIBRARY_PATH LD_PRELOAD DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NIX_SSL_CERT_FILE HTTP_PROXY HTTPS_PROXY ALL_PROXY FTP_PROXY NO_PROXY",
    "http_proxy https_proxy all_proxy ftp_proxy no_proxy CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS CPATH",
    "C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH PKG_CONFIG_PATH CUDAHOSTCXX FORCE_CMAKE MAX_JOBS",
    "MAKEFLAGS SDKROOT DEVELOPER_DIR MACOSX_DEPLOYMENT_TARGET INCLUDE LIB LIBPATH SYSTEMROOT SYSTEMDRIVE",
    "WINDIR COMSPEC PATHEXT OS PROGRAMDATA PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES",
    "COMMONPROGRAMFILES(X86) COMMONPROGRAMW6432 ALLUSERSPROFILE PUBLIC APPDATA LOCALAPPDATA VSINSTALLDIR",
    "VCINSTALLDIR VCTOOLSINSTALLDIR VS140COMNTOOLS WINDOWSSDKDIR USERPROFILE USERNAME USERDOMAIN COMPUTERNAME",
    "HOMEDRIVE HOMEPATH NUMBER_OF_PROCESSORS",
)
# Variables of engines and their libraries.
_PREFIXES = _words(
    "LC_ XDG_ PYTHON PADDOCK_ COVERAGE_ PYTEST_ PROCESSOR_ CUDA_ CUDNN_ CUBLAS_ NVIDIA_ NVCC_ NCCL_ HIP_ HSA_",
    "ROCM_ ROCR_ ROCBLAS_ MIOPEN_ AMD_ GPU_ ONEAPI_ SYCL_ ZE_ ZES_ INTEL_ ASCEND_ METAL_ MTL_ VK_ MESA_",
    "LIBGL_ GALLIUM_ LP_ DRI_ GGML_ LLAMA_ OMP_ GOMP_ KMP_ MKL_ DNNL_ ONEDNN_ OPENBLAS_ BLIS_ GOTO_ VECLIB_",
    "NUMEXPR_ MALLOC_ JEMALLOC_ GLIBC_ TORCH_ TORCHINDUCTOR_ TORCHDYNAMO_ PYTORCH_ ATEN_ TRITON_ INDUCTOR_",
    "NUMBA_ VLLM_ RAY_ GLOO_ UCX_ TP_ HF_ TRANSFORMERS_ TOKENIZERS_ ACCELERATE_ SAFETENSORS_ BNB_",
    "BITSANDBYTES_ GPTQMODEL_ GPTQ_ EXLLAMA_ HQQ_ AWQ_ CMAKE_ NINJA_ CCACHE_ VSCMD_",
)
# Names on these lists that indicate a secret.
_SECRET = re.compile(
    r"(?:^|_)(?:TOKEN|KEY|APIKEY|PASS|PAT|PWD|AUTH|COOKIE|DSN|BEARER)(?:_|$)|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE_",
    re.IGNORECASE,
)


def worker_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for an engine, or for other programs that load untrusted files."""
    named = {name.strip() for name in environ.get(PASS_ENV, "").split(",")}
    return {name: value for name, value in environ.items() if name in named or _is_plain(name)}


def install_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for pip and uv, with their configuration, which may contain a package index's password."""
    own = {
        name: value
        for name, value in environ.items()
        if name == "NETRC" or (name.startswith(("PIP_", "UV_")) and not name.startswith("UV_PUBLISH"))
    }
    return {**worker_environment(environ), **own}


def git_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for Git, with the user's Git settings and SSH agent."""
    agent = ("SSH_AUTH_SOCK", "SSH_AGENT_PID")
    own = {
        name: value
        for name, value in environ.items()
        if name in agent or (name.startswith("GIT_") and not _SECRET.search(name))
    }
    return {**worker_environment(environ), **own}


def _is_plain(name: str) -> bool:
    known = name in _NAMES or name.startswith(_PREFIXES)
    return known and not _SECRET.search(name) and not foreign_variables({name: ""})
