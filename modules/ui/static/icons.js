// The page's own line icons.

const PATHS = {
  copy: "M9 9h10v11H9zM5 15V4h10",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  again: "M20 11a8 8 0 1 0-2 6M20 5v6h-6",
  forward: "M5 12h13M13 6l6 6-6 6",
  branch: "M7 4v16M7 14c0-5 10-3 10-9M17 5l-3 3M17 5l3 3",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  up: "M12 19V6M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  close: "M6 6l12 12M18 6L6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  plus: "M12 5v14M5 12h14",
  sliders: "M4 8h9M17 8h3M4 16h3M11 16h9M15 6v4M9 14v4",
  clip: "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 4.8 4.8l-8.5 8.5a1.7 1.7 0 0 1-2.4-2.4l7.8-7.8",
  file: "M7 3h7l4 4v14H7zM14 3v4h4",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  book: "M5 5a3 3 0 0 1 3-2h11v15H8a3 3 0 0 0-3 2zM5 20a3 3 0 0 0 3 1h11v-3",
  tools: "M14 6a4 4 0 0 1 5-1l-3 3 2 2 3-3a4 4 0 0 1-6 5L8 19a2 2 0 0 1-3-3l7-7a4 4 0 0 1 2-3z",
  chat: "M4 5h16v11H10l-4 4v-4H4zM8 9h8M8 12h5",
  microphone: "M12 4a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V7a3 3 0 0 1 3-3zM5 11v1a7 7 0 0 0 14 0v-1M12 19v2",
  speaker: "M4 10v4h4l5 4V6l-5 4zM16.5 9a4 4 0 0 1 0 6M19 6.5a8 8 0 0 1 0 11",
  quill: "M20 4c-8 0-13 5-14 13M6 17c6 0 11-3 12-8M4 21l2-4",
  insert: "M4 6h16M4 18h16M12 9v6M9 12h6",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  thumbUp: "M7 11l4-7 2 2v4h7l-2 10H7zM4 11h3v9H4z",
  thumbDown: "M17 13l-4 7-2-2v-4H4l2-10h11zM20 13h-3V4h3z",
  gauge: "M4 18a9 9 0 1 1 16 0M12 15l4-5M12 15h.01",
};

/** Return an SVG element with the icon of that name. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon", `icon-${name}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Replace every `<i data-icon="…">` in the host's markup with its icon. */
export function fillIcons(root = document) {
  for (const placeholder of root.querySelectorAll("i[data-icon]"))
    placeholder.replaceWith(icon(placeholder.getAttribute("data-icon")));
}
