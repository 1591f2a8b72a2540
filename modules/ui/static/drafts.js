// Texts that are being written are kept across a reload.

/** Keep the text under this key of the browser's storage. Null removes it. */
export function saveDraft(key, text) {
  try {
    if (text === null) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
  } catch {
    // Storage may be off or full. Only the draft would be lost then.
  }
}
