// Files that are dropped on the page.

import { toast } from "./dom.js";

const refused = "A file cannot be dropped here. Copy its text into the message; copy a model into the models folder.";

/** Let no dropped file take the page's place. A field that takes files handles them before this sees them. */
export function refuseDroppedFiles() {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files") && !event.defaultPrevented;
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    toast(refused);
  });
}
