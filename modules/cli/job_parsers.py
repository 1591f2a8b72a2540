"""The arguments of `webui.py quantize | evaluate | compare | train | merge | jobs …`."""

from __future__ import annotations

import argparse
from pathlib import Path

from modules.settings.config import parse_model_name

_TEXTS = "a file, a folder, wikitext2, c4 or chat:TITLE"


def add_job_parsers(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the sub-commands of jobs."""
    quantize = commands.add_parser("quantize", parents=[common], help="make a quantized copy of a model")
    quantize.add_argument("model", metavar="MODEL", type=parse_model_name, help="a name in models/")
    quantize.add_argument("--method", required=True, help="gguf, bnb, gptq, awq, hqq, w8a8, exl2 or exl3")
    quantize.add_argument("--loader", default="", help="whose environment quantizes (default: the best for the method)")
    quantize.add_argument(
        "--calibration",
        default="",
        metavar="TEXT",
        help=f"text for methods that look at some, such as gptq and awq: {_TEXTS} (default: a sample that ships)",
    )
    quantize.add_argument("--name", default="", help="the result's name (default: the model's name and the method)")
    evaluate = commands.add_parser("evaluate", parents=[common], help="measure a model: perplexity, speed, memory")
    evaluate.add_argument("model", metavar="MODEL", type=parse_model_name, help="a name in models/")
    evaluate.add_argument("--loader", default="", help="default: the best for this model")
    evaluate.add_argument(
        "--text", default="", metavar="TEXT", help=f"to predict: {_TEXTS} (default: a held-out sample)"
    )
    evaluate.add_argument("--against", default="", metavar="ORIGINAL", type=parse_model_name, help="the model before")
    compare = commands.add_parser("compare", parents=[common], help="measure several models, the original first")
    compare.add_argument("models_", nargs="+", metavar="MODEL", type=parse_model_name, help="names in models/")
    compare.add_argument("--loader", default="", help="for all but the original (default: the best for each)")
    compare.add_argument(
        "--text", default="", metavar="TEXT", help=f"to predict: {_TEXTS} (default: a held-out sample)"
    )
    compare.add_argument("--export", type=Path, metavar="FILE", help="write the table as .csv, .json or .md")
    recommend = commands.add_parser("recommend", parents=[common], help="rank the methods for a model and a machine")
    recommend.add_argument("model", metavar="MODEL", type=parse_model_name, help="a name in models/")
    recommend.add_argument(
        "--device", default="", help="such as cuda:24GiB, rocm:16GiB, metal:32GiB, cpu:16GiB (default: this machine)"
    )
    recommend.add_argument("--context", type=int, default=0, metavar="N", help="tokens (default: the loader's)")
    recommend.add_argument("--fine-tune", action="store_true", help="the model is to be fine-tuned")
    recommend.add_argument(
        "--no-calibration",
        dest="calibration",
        action="store_false",
        help="there is no text like what the model will write",
    )
    recommend.add_argument("--json", action="store_true", help="print one JSON object")
    train = commands.add_parser("train", parents=[common], help="train a LoRA adapter for a model")
    train.add_argument("model", metavar="MODEL", type=parse_model_name, help="a folder in models/")
    train.add_argument("--data", required=True, metavar="TEXT", help=f"to learn from: {_TEXTS}")
    train.add_argument("--name", default="", help="the adapter's name (default: the model's name and -lora)")
    merge = commands.add_parser("merge", parents=[common], help="merge a LoRA adapter into its model")
    merge.add_argument("model", metavar="MODEL", type=parse_model_name, help="the folder that it was trained on")
    merge.add_argument("adapter", metavar="ADAPTER", type=parse_model_name, help="a PEFT folder in models/")
    merge.add_argument(
        "--to",
        default="folder",
        choices=["folder", "gguf", "adapter-gguf"],
        help="a model folder, a GGUF model, or the adapter alone for llama.cpp",
    )
    merge.add_argument("--name", default="", help="the result's name (default: the adapter's name)")
    for parser in (evaluate, compare):
        parser.add_argument(
            "--tasks", default="", metavar="FILE", help="questions with answers, one JSON object a line"
        )
    for parser in (quantize, evaluate, compare, train, merge):
        parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="a setting")
        parser.add_argument("--json", action="store_true", help="one JSON object a line; the last is the result")
    jobs = commands.add_parser("jobs", parents=[common], help="list jobs, show, cancel or resume one")
    jobs.add_argument("verb", nargs="?", default="list", choices=["list", "show", "cancel", "resume"])
    jobs.add_argument("id", nargs="?", default="", metavar="ID", help="the job's number")
    jobs.add_argument("--json", action="store_true", help="the same as JSON")
