"""Find out what a model is for, from its architecture, causal flag, pooling, and sentence-transformers' files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from modules.library.facts_builder import FactsBuilder
from modules.library.folder import ModelFolder
from modules.library.gguf import GgufHeader
from modules.library.json_files import as_object, as_text, positive_int
from modules.library.known_architectures import NATIVE_TYPES

_WRITES = re.compile(r"(ForCausalLM|LMHeadModel|ModelWithLMHead|WithLMHeadModel|GenerationDecoder|LMHead)$")
_LABELS = re.compile(
    r"For(Sequence|Token|Image|Audio|AudioFrame|Video)Classification$|ForQuestionAnswering|ForMultipleChoice$|"
    r"ForNextSentencePrediction$|Reward(Model)?$|ForScoring$"
)
_GAPS = re.compile(r"For(MaskedLM|PreTraining|MaskedImageModeling)$|EncoderModel$|TextModelWithProjection$")
_READS_IMAGES_TOO = re.compile(r"For(ConditionalGeneration|Vision2Seq|VisionText2Text|ImageTextToText)$")
# Encoders by model_type. Without a head they are for further training or for search.
_ENCODERS = re.compile(
    r"(bert|roberta|electra|deberta|mpnet|^ernie|xlm|convbert|^fnet|^funnel|^luke|^mra|nystromformer|^esm|"
    r"roformer|^yoso|canine|big_bird|longformer|data2vec|layoutlm|camembert|rembert|^xmod|^gte)"
)
_TEXT_PAIRS = frozenset(
    ("t5", "mt5", "umt5", "longt5", "bart", "mbart", "marian", "pegasus", "pegasus_x", "bigbird_pegasus", "fsmt", "led")
    + ("blenderbot", "blenderbot-small", "m2m_100", "mvp", "nllb-moe", "plbart", "prophetnet", "switch_transformers")
    + ("t5gemma", "encoder-decoder", "whisper")
)
_SENTENCE_FILES = ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json")
_IMAGE_KEYS = ("vision_config", "vision_tower", "mm_vision_tower", "visual", "vit_config", "image_token_id")
_AUDIO_KEYS = ("audio_config", "audio_token_id", "audio_token_index", "audio_processor", "sound_config")
_GGUF_ENCODERS = re.compile(r"(bert|^gemma-embedding$|^llama-embed$|^t5encoder$)")
# llama.cpp's enum llama_pooling_type.
_POOLING = {1: "mean", 2: "CLS", 3: "last token", 4: "rank"}


def read_purpose(folder: ModelFolder, config: Mapping[str, object], found: FactsBuilder) -> None:
    """Note what the model of a folder is for, and whether it sees images or hears."""
    architectures = config.get("architectures")
    first = as_text(architectures[0]) if isinstance(architectures, list) and architectures else ""
    kind = as_text(config.get("model_type"))
    for purpose, evidence in _folder_evidence(folder, config, first, kind):
        if purpose:
            found.add("purpose", purpose, evidence)
            break
    for fact, keys in (("vision", _IMAGE_KEYS), ("audio", _AUDIO_KEYS)):
        if key := next((key for key in keys if config.get(key) not in (None, "", {}, [])), ""):
            found.add(fact, True, f"config.json: {key}")


def _folder_evidence(
    folder: ModelFolder, config: Mapping[str, object], first: str, kind: str
) -> Iterator[tuple[str, str]]:
    """Yield (purpose or "", where it was read), the strongest evidence first."""
    written = "config.json: architectures"
    labels = len(as_object(config.get("id2label"))) or positive_int(config.get("num_labels"))
    if _LABELS.search(first):
        scores = first.endswith("ForSequenceClassification") and labels == 1
        yield ("rerank", f"{written}, and one label") if scores else ("classify", written)
    yield "embed" if first.endswith("ForRetrieval") else "", written
    yield "rerank" if as_object(config.get("sentence_transformers")) else "", "config.json: sentence_transformers"
    if sentence := next((name for name in _SENTENCE_FILES if name in folder.files), ""):
        yield "embed", f"file name: {sentence}"
    for values, place in ((config, "config.json"), (as_object(config.get("text_config")), "config.json: text_config")):
        for key, bidirectional in (("is_causal", False), ("use_bidirectional_attention", True)):
            yield "embed" if values.get(key) is bidirectional else "", f"{place}: {key}"
    asked = as_object(config.get("auto_map"))
    if kind not in NATIVE_TYPES and "AutoModelForCausalLM" in asked:
        yield "generate", "config.json: auto_map"
    encoder = bool(_ENCODERS.search(kind))
    if _WRITES.search(first):
        decodes = not encoder or config.get("is_decoder") is True
        yield ("generate", written) if decodes else ("encode", "config.json: is_decoder, which is not set")
    yield "encode" if _GAPS.search(first) else "", written
    if config.get("is_encoder_decoder") is True or kind in _TEXT_PAIRS or "AutoModelForSeq2SeqLM" in asked:
        key = "is_encoder_decoder" if config.get("is_encoder_decoder") is True else "model_type"
        yield "encode-decode", f"config.json: {key}"
    if _READS_IMAGES_TOO.search(first):
        yield "generate", written
    if kind not in NATIVE_TYPES or not first:
        yield "encode" if encoder else "generate", f"config.json: model_type {kind or 'is not named'}"
    if first.endswith("Model"):
        yield "encode" if encoder else "embed", f"{written}, which has no head that writes text"
    yield "other", written


def read_gguf_purpose(header: GgufHeader, architecture: str, found: FactsBuilder) -> None:
    """Note what the model of a GGUF file is for."""
    pooling = header.metadata.get(f"{architecture}.pooling_type")
    if pooling == 4:
        found.add("purpose", "rerank", f"GGUF metadata: {architecture}.pooling_type, which is rank")
    elif any(tensor.name.startswith(("cls.output", "classifier")) for tensor in header.tensors):
        found.add("purpose", "classify", "GGUF tensors: cls.output")
    elif isinstance(pooling, int) and pooling in _POOLING:
        found.add("purpose", "embed", f"GGUF metadata: {architecture}.pooling_type, which is {_POOLING[pooling]}")
    elif architecture == "t5":
        found.add("purpose", "encode-decode", "GGUF metadata: general.architecture")
    elif header.metadata.get(f"{architecture}.attention.causal") is False:
        found.add("purpose", "embed", f"GGUF metadata: {architecture}.attention.causal")
    elif _GGUF_ENCODERS.search(architecture):
        found.add("purpose", "embed", "GGUF metadata: general.architecture")
    elif architecture:
        found.add("purpose", "generate", "GGUF metadata: general.architecture")
