/** Find elements of index.html. */

/**
 * Return the element with that id.
 *
 * @template {Element} Kind
 * @param {string} id
 * @param {new () => Kind} kind
 * @returns {Kind}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) {
    throw new TypeError(`index.html has no ${kind.name} with id ${id}`);
  }
  return found;
}
