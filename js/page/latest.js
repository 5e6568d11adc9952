/** Do work again and again, never twice at once. */

/**
 * Return a function that asks for `work`. If it is asked for while it runs, it runs once more, however often that was.
 *
 * @param {() => Promise<void>} work
 * @returns {() => Promise<void>} resolved when no work is left
 */
export function latest(work) {
  let isWanted = false;
  /** @type {Promise<void> | null} */
  let running = null;
  const run = async () => {
    while (isWanted) {
      isWanted = false;
      await work();
    }
  };
  return () => {
    isWanted = true;
    running ??= run().finally(() => (running = null));
    return running;
  };
}
