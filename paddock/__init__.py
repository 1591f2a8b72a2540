"""The public names for authors of loaders and extensions.

The names in `__all__` keep their meaning within a major version. Everything below `modules` may change
with any release. All names work in the host and in a loader's environment: they need only the standard library.
"""

# ruff: noqa: E402 (an installed package first adds the folder that holds its modules)
from __future__ import annotations

import sys
from pathlib import Path


def program_folder() -> Path:
    """Return the folder with modules/, loaders/ and presets/: the checkout, or `_app` of an installed package."""
    here = Path(__file__).resolve().parent
    return here / "_app" if (here / "_app").is_dir() else here.parent


if "modules" not in sys.modules and (_program := str(program_folder())) not in sys.path:
    sys.path.append(_program)

from modules.plugins.extension_host import ApiRequest, Host
from modules.plugins.speech_request import SpeechRequest, read_speech_request
from modules.protocol.commands import Generate, Quantize
from modules.protocol.errors import (
    ModelError,
    OutOfMemory,
    PaddockError,
    PromptError,
    SettingError,
    Unsupported,
)
from modules.protocol.events import ModelInfo, RerankResult
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.quantization_method import QuantizationMethod
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import setting
from modules.protocol.variants import Variant
from modules.system.public_web import AddressRefused, PublicPage, fetch_public
from modules.system.version import VERSION as __version__
from modules.worker.engine import EngineBase as Engine
from modules.worker.engine import Outcome, Piece, Report
from modules.worker.quantizer import Quantized
from modules.worker.quantizer import QuantizerBase as Quantizer
from modules.worker.stop_strings import StopFilter
from modules.worker.truncation import fit_prompt

__all__ = [
    "AddressRefused",
    "ApiRequest",
    "Claim",
    "Demand",
    "Engine",
    "Generate",
    "Host",
    "LoaderSpec",
    "Machine",
    "ModelError",
    "ModelFacts",
    "ModelInfo",
    "Outcome",
    "OutOfMemory",
    "PaddockError",
    "Piece",
    "PromptError",
    "PublicPage",
    "QuantizationMethod",
    "Quantize",
    "Quantized",
    "Quantizer",
    "Report",
    "RerankResult",
    "SamplingParams",
    "SettingError",
    "SpeechRequest",
    "StopFilter",
    "Unsupported",
    "Variant",
    "__version__",
    "fetch_public",
    "fit_prompt",
    "program_folder",
    "read_speech_request",
    "setting",
]
