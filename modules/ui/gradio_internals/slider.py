"""A slider that does not check its number.

Leans on `gr.Slider.preprocess`, which checks the number, and on the metaclass of Gradio's components, which derives
from ABCMeta. The metaclass writes a .pyi file beside the source of each class that it makes. So ABCMeta makes this one.
"""

from __future__ import annotations

from abc import ABCMeta

import gradio as gr

# The schema checks the number, and its message names the setting. Gradio's message does not, and its check raises an
# error for an empty field.
UncheckedSlider: type[gr.Slider] = ABCMeta.__new__(
    type(gr.Slider),
    "Slider",
    (gr.Slider,),
    {"preprocess": lambda self, payload: payload, "__module__": __name__},
)
