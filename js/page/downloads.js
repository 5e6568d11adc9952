/** Save bytes as a file. */

/**
 * @param {Uint8Array} content
 * @param {string} name
 */
export function download(content, name) {
  const url = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (content)]));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // some browsers read it after the click
}
