"""Corrects the HTML of Gradio's page.

Leans on what Gradio writes into that page: `window.gradio_config` with the page's `root` in its first script, a script
with `const root = "…";`, a link to a web manifest, and that every `<` in its data is an escape, so that each `<script`
is an element of the page.
"""

from __future__ import annotations

import re

# Extensions' scripts carry this in place of the nonce, which is another one in each answer.
NONCE = "paddock-nonce"
# The browser knows at which address it opened the page. A proxy need not tell the host, nor the path that it adds.
_CORRECT_ROOT = """<script>(() => {
  const root = window.gradio_config.root;
  const real = new URL(root.slice(root.lastIndexOf("/") + 1), document.baseURI).href;
  if (root !== real) window.gradio_config = JSON.parse(JSON.stringify(window.gradio_config).replaceAll(root, real));
})();</script>"""
_CONFIG_END = "</script>"
_ROOT = re.compile(r'const root = "[^"\n]*";')
_MANIFEST = re.compile(r'<link rel="manifest"[^>]*>')
# If a page names no icon, a browser requests one from the root of the host, where another program may answer.
_ICON = '<link rel="icon" href="paddock/static/icon.svg" type="image/svg+xml">'
# Gradio adds Paddock's script and styles once its own scripts have run. Until then, the browser can load them.
_PRELOADS = (
    '<link rel="preload" as="style" href="paddock/static/page.css">'
    '<link rel="modulepreload" href="paddock/static/page.js">'
)


def with_nonce(html: str, nonce: str) -> str:
    """Return Gradio's page with the nonce in each script and the address it was opened at.

    It links Paddock's icon, and loads Paddock's styles and script early.
    """
    html = _MANIFEST.sub(_ICON + _PRELOADS, html)
    html = _ROOT.sub("const root = window.gradio_config.root;", html)
    html = html.replace(_CONFIG_END, _CONFIG_END + _CORRECT_ROOT, 1)
    return html.replace("<script", f'<script nonce="{nonce}"').replace(NONCE, nonce)
