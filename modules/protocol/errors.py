"""The errors that may reach a user: a sentence with a next step, and collapsed details.

PaddockError
├── SettingError      a value that a schema does not allow
├── ProtocolError     a line that is not a message of this protocol
├── ModelError        model files that cannot be used: missing, truncated, corrupt, hostile
├── PromptError       a prompt, template or grammar that cannot be used
├── Unsupported       the loader does not support the command or parameter
├── OutOfMemory       device or main memory ran out; `lower` names settings to lower
└── EnvironmentBroken a loader's environment is missing or broken
"""

from __future__ import annotations


class PaddockError(Exception):
    """An error that is shown to the user.

    `message`: full sentences, the last with the next step. `detail`: shown collapsed, such as a traceback or the
    engine's own message. `lower`: settings of the loader to lower.
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
    """This loader does not support the command or parameter."""

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
    """Return the error with this `code` that crossed the process boundary. An unknown code gives a PaddockError."""
    return ERRORS.get(code, PaddockError)(message, detail=detail, lower=lower)
