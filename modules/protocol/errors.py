"""The errors that may reach a person: a sentence, a next step, and details for behind a fold.

PaddockError
├── SettingError      a value that a schema does not allow
├── ProtocolError     a message that is not one of ours
├── ModelError        files that cannot be a model: missing, truncated, corrupt, hostile
├── PromptError       a prompt, template or grammar that cannot be used
├── Unsupported       the loader has no such verb or parameter
├── OutOfMemory       device or main memory ran out; `lower` names the settings that help
└── EnvironmentBroken a loader's environment is missing or broken
"""

from __future__ import annotations


class PaddockError(Exception):
    """An error meant to be read by the user.

    `message` is a full sentence that ends with what to do next; `detail` is for behind a fold (a traceback,
    the engine's own words); `lower` names settings of the loader whose reduction would help.
    """

    code = "error"

    def __init__(self, message: str, *, detail: str = "", lower: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.lower = lower


class SettingError(PaddockError):
    """A setting's name is unknown, or its value is outside what the schema allows."""

    code = "setting"


class ProtocolError(PaddockError):
    """A line that is not a message of this protocol's version."""

    code = "protocol"


class ModelError(PaddockError):
    """The model's files cannot be used: missing, truncated, corrupt or hostile."""

    code = "model"


class PromptError(PaddockError):
    """The prompt, its template or its grammar cannot be used."""

    code = "prompt"


class Unsupported(PaddockError):
    """This loader cannot do what was asked."""

    code = "unsupported"


class OutOfMemory(PaddockError):
    """Memory of the device or the machine ran out."""

    code = "memory"


class EnvironmentBroken(PaddockError):
    """A loader's environment is not installed, or its engine does not import."""

    code = "environment"


ERRORS: dict[str, type[PaddockError]] = {
    kind.code: kind
    for kind in (
        PaddockError,
        SettingError,
        ProtocolError,
        ModelError,
        PromptError,
        Unsupported,
        OutOfMemory,
        EnvironmentBroken,
    )
}


def error_from_code(code: str, message: str, *, detail: str = "", lower: tuple[str, ...] = ()) -> PaddockError:
    """The error of that `code`, as it crossed the process boundary; an unknown code gives a plain PaddockError."""
    return ERRORS.get(code, PaddockError)(message, detail=detail, lower=lower)
