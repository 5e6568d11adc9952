/** Do work again and again, never twice at once. */

/**
 * Return a function that asks for `work`. If it is asked for while it runs, it runs once more, however often that
 * was.
 *
 * @param {() => Promise<void>} work
 * @returns {() => Promise<void>} resolved when no work is left
 */
export function latest(work) {
  let isWanted = false;
  let isRunning = false;
  let done = Promise.resolve();
  const run = async () => {
    isRunning = true;
    try {
      while (isWanted) {
        isWanted = false;
        await work();
      }
    } finally {
      isRunning = false; // at once when the loop ends: a call in between would be lost
    }
  };
  return () => {
    isWanted = true;
    if (!isRunning) {
      done = run();
    }
    return done;
  };
}
