"""The fixed markup of the page: what the scripts in static/ fill with life. No text from outside passes through here."""

from __future__ import annotations

HEAD = """
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/paddock/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/paddock/static/tokens.css">
<link rel="stylesheet" href="/paddock/static/layout.css">
<link rel="stylesheet" href="/paddock/static/chat.css">
<link rel="stylesheet" href="/paddock/static/drawer.css">
<script type="module" src="/paddock/static/main.js"></script>
"""

HEADER = """
<header class="header_bar">
  <button type="button" class="icon-button" id="open-sidebar" aria-label="Chats" title="Chats"><i data-icon="menu"></i></button>
  <nav class="views" aria-label="View">
    <button type="button" data-view="chat" aria-pressed="true">Chat</button>
    <button type="button" data-view="notebook" aria-pressed="false">Notebook</button>
  </nav>
  <h1 id="chat-heading"></h1>
  <button type="button" id="model-pill" class="pill" title="Open the Model tab"><span class="dot"></span><span class="pill-text">…</span></button>
  <button type="button" class="icon-button" id="open-drawer" aria-label="Settings" title="Settings" aria-expanded="false" aria-controls="drawer"><i data-icon="sliders"></i></button>
  <div id="load-bar" role="progressbar" aria-label="Loading the model" hidden><span></span></div>
</header>
"""

SIDEBAR = """
<aside aria-label="Chats">
  <div class="brand"><img src="/paddock/static/icon.svg" alt="" width="24" height="24"><strong>Paddock</strong>
    <button type="button" class="icon-button" id="close-sidebar" aria-label="Close the list" title="Close the list"><i data-icon="close"></i></button></div>
  <button type="button" class="button" id="new-chat"><i data-icon="plus"></i> New chat</button>
  <input type="search" id="chat-search" placeholder="Search chats" aria-label="Search chats" autocomplete="off">
  <nav id="chat-list" aria-label="Past chats"></nav>
</aside>
"""

CHAT = '<div id="chat"></div>'

COMPOSER = """
<button type="button" id="send" class="round primary" aria-label="Send" title="Send (Enter)" disabled><i data-icon="up"></i></button>
<button type="button" id="stop" class="round" aria-label="Stop" title="Stop (Esc)" hidden><i data-icon="stop"></i></button>
"""

NOTEBOOK = """
<section aria-label="Notebook">
  <textarea id="notebook-text" aria-label="Text" spellcheck="true"
    placeholder="Write the beginning of any text. Generate goes on with it, word for word as it stands, without a chat template."></textarea>
  <div class="notebook-bar">
    <button type="button" id="notebook-generate" class="button primary" title="Ctrl+Enter">Generate</button>
    <button type="button" id="notebook-stop" class="button" title="Esc" hidden>Stop</button>
    <button type="button" id="notebook-undo" class="button" disabled>Undo</button>
    <button type="button" id="notebook-redo" class="button" disabled>Redo</button>
    <span id="notebook-count" class="figures" aria-live="polite"></span>
  </div>
</section>
"""

DRAWER_HEAD = """
<div class="drawer-head"><strong>Settings</strong>
  <button type="button" class="icon-button" id="close-drawer" aria-label="Close settings" title="Close settings"><i data-icon="close"></i></button></div>
"""
