r"""LaTeX formulas as MathML, which browsers show without a script.

A formula is untrusted text. latex2mathml builds a tree of elements from it; only known elements and attributes of that
tree are written, and all text is escaped.
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# Longer formulas stay as they are written. The time of a conversion grows with their length.
MOST_CHARACTERS = 1_500
_ELEMENT = re.compile(
    "math|mrow|mi|mn|mo|ms|mtext|mspace|msqrt|mroot|mfrac|msup|msub|msubsup|mover|munder|munderover|mmultiscripts|"
    "mprescripts|none|mtable|mtr|mtd|mstyle|mpadded|mphantom|menclose"
)
_ATTRIBUTE = re.compile(
    "display|displaystyle|stretchy|fence|form|accent|accentunder|mathvariant|mathcolor|columnalign|rowalign|rowspacing|"
    "columnspacing|columnlines|rowlines|linethickness|minsize|maxsize|width|height|depth|lspace|rspace|voffset|"
    "notation|separator|symmetric|largeop|movablelimits|scriptlevel|frame"
)
# Words, colours, and lengths below a hundred of any unit: a larger one would push the page apart.
_VALUE = re.compile(
    r"(?:[+-]?(?:\d{1,2}(?:\.\d{0,4})?|\.\d{1,4})[a-z%]{0,3}|#?[A-Za-z][A-Za-z0-9-]{0,20}|#[0-9A-Fa-f]{3,8})"
)
# A definition can expand without end.
_DEFINES = re.compile(
    r"\\(?:[egx]?def|(?:re)?newcommand|renewcommand|let|newenvironment|DeclareMathOperator)(?![A-Za-z])"
)
# Environments that the library lacks, or numbers -> those that look the same.
_SAME = {"aligned": "split", "align": "align*", "eqnarray": "split", "eqnarray*": "split", "dcases": "cases"}
_ENVIRONMENT = re.compile(r"\\(begin|end)\{([a-z]+\*?)\}")


def to_mathml(latex: str, block: bool) -> str:
    """Return a formula without its marks as MathML, or "" if it cannot be converted. `block`: on separate lines."""
    if len(latex) > MOST_CHARACTERS or not latex.strip() or _DEFINES.search(latex):
        return ""
    from latex2mathml.converter import convert_to_element

    known = _ENVIRONMENT.sub(lambda found: f"\\{found[1]}{{{_SAME.get(found[2], found[2])}}}", latex)
    try:
        element = convert_to_element(known, display="block" if block else "inline")
        return _written(element, f' alttext="{escape(latex)}"')
    except Exception:  # it raises one of many errors for what is no formula, or nests too deep
        return ""


def _written(element: Element, more: str = "") -> str:
    """Return an element of the tree as text. An unknown one is left out, but not what it contains."""
    inner = _text(element.text) + "".join(_written(child) + _text(child.tail) for child in element)
    if not _ELEMENT.fullmatch(element.tag):
        return inner
    known = ((name, value) for name, value in element.attrib.items() if _ATTRIBUTE.fullmatch(name))
    attributes = "".join(
        f' {name}="{escape(value)}"' for name, value in known if all(map(_VALUE.fullmatch, value.split()))
    )
    return f"<{element.tag}{attributes}{more}>{inner}</{element.tag}>"


def _text(text: str | None) -> str:
    # The library writes symbols as references, such as &#x0002B;.
    return escape(unescape(text or ""))
