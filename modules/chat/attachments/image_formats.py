"""Which pictures are read: their formats, and how large they may be. For files in chats and for images of models."""

from __future__ import annotations

# Pillow's name -> MIME type. Formats whose readers are in wide use; Pillow knows many more, which are rarely sent.
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
# A picture of more pixels is refused by its header, before it is decoded.
MOST_PIXELS = 50_000_000
