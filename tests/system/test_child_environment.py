"""Which variables other programs get: what engines need, and no secret."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modules.app import App
from modules.system.child_environment import git_environment, install_environment, worker_environment

SECRETS = [
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY"),
    *(
        "AWS_ACCESS_KEY_ID",
        "AWS_SESSION_TOKEN",
        "GITHUB_TOKEN",
        "GH_PAT",
        "DATABASE_URL",
        "PGPASSWORD",
        "SLACK_WEBHOOK",
    ),
    *("PADDOCK_PASSWORD", "PADDOCK_API_KEY", "VLLM_API_KEY", "RAY_REDIS_PASSWORD", "HF_TOKEN_PATH", "MY_SERVER_KEY"),
    *(
        "AZURE_CLIENT_SECRET",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "SOME_UNHEARD_OF_THING",
        "KUBECONFIG",
        "VSCODE_IPC_HOOK",
    ),
    *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PUBLISH_TOKEN"),
]
NEEDED = [
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "HIP_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION", "ROCM_PATH"),
    *("GGML_VK_VISIBLE_DEVICES", "VK_ICD_FILENAMES", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "CC", "MAX_JOBS"),
    *("PYTORCH_CUDA_ALLOC_CONF", "TRITON_CACHE_DIR", "VLLM_LOGGING_LEVEL", "NCCL_SOCKET_IFNAME", "HF_ENDPOINT"),
    *("TOKENIZERS_PARALLELISM", "PADDOCK_TEST_SLOW_BROWSER", "CMAKE_ARGS", "SYSTEMROOT", "GPTQMODEL_CPU_WORKERS"),
]


def test_engines_get_what_they_need_and_no_secret() -> None:
    environ = dict.fromkeys([*SECRETS, *NEEDED], "x")
    assert sorted(worker_environment(environ)) == sorted(NEEDED)


def test_installers_and_git_get_their_own_configuration_too() -> None:
    own = {"PIP_INDEX_URL": "https://me:pw@host", "UV_INDEX_X_PASSWORD": "x", "NETRC": "x"}
    environ = {
        **dict.fromkeys(SECRETS, "x"),
        "PATH": "x",
        **own,
        "GIT_SSH": "x",
        "SSH_AUTH_SOCK": "x",
        "GIT_TOKEN": "x",
    }
    assert sorted(install_environment(environ)) == sorted(["PATH", *own])
    assert sorted(git_environment(environ)) == ["GIT_SSH", "PATH", "SSH_AUTH_SOCK"]


def test_a_variable_that_the_user_names_is_handed_on() -> None:
    environ = {"MY_ENGINE_THING": "1", "MY_TOKEN": "2", "OTHER": "3", "PADDOCK_PASS_ENV": "MY_ENGINE_THING, MY_TOKEN"}
    assert sorted(worker_environment(environ)) == ["MY_ENGINE_THING", "MY_TOKEN"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_real_worker_was_given_no_secret(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS[:-4]:
        monkeypatch.setenv(name, "hush")
    app.models.load("tiny", "echo")
    given = Path(f"/proc/{app.supervisor.worker_pid()}/environ").read_bytes()
    assert b"hush" not in given and b"PATH=" in given
