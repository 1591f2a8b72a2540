// Files that are dropped on the page.

import { toast } from "./toasts.js";

const REFUSAL = "You cannot drop a file here. Paste its text into the message, or copy a model into the models folder.";

/** Keep the browser from opening a dropped file in place of the page. Fields that take files get the event first. */
export function refuseDroppedFiles() {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files") && !event.defaultPrevented;
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    toast(REFUSAL);
  });
}
