/** Take files that people choose, drop anywhere on the page, or paste. */

import { InputError } from "../errors.js";
import { element } from "./elements.js";

/** @param {(files: File[]) => void} onFiles */
export function listenForFiles(onFiles) {
  const chooser = element("files", HTMLInputElement);
  chooser.addEventListener("change", () => {
    onFiles([...(chooser.files ?? [])]);
    chooser.value = ""; // so that the same file can be chosen again
  });
  const page = document.documentElement;
  let inside = 0; // elements below the pointer: each is entered before the last one is left
  document.addEventListener("dragenter", () => page.classList.toggle("dropping", ++inside > 0));
  document.addEventListener("dragleave", () => page.classList.toggle("dropping", --inside > 0));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // the browser would open the file instead of the page
    inside = 0;
    page.classList.remove("dropping");
    take(event.dataTransfer, onFiles);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData, onFiles));
}

/**
 * Return the content of a file.
 *
 * @param {Blob} file
 * @returns {Promise<Uint8Array>}
 * @throws {InputError} if it cannot be read: it is a folder, was removed, or has more bytes than an array can
 */
export async function contentOf(file) {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new InputError("this browser cannot read it: it is a folder, was moved, or is too large");
  }
}

/**
 * @param {DataTransfer | null} transfer
 * @param {(files: File[]) => void} onFiles
 */
function take(transfer, onFiles) {
  if (transfer !== null && transfer.files.length > 0) {
    onFiles([...transfer.files]);
  }
}
