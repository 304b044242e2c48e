/** Asks for many things at a time, but not for all at once. */

/**
 * The answers in the order of the items. `atATime` keeps a disk or a server busy and stays far below the limits on open
 * files and connections, which thousands of records would exceed. After a failure nothing new is begun.
 */
export async function mapInParallel<Item, Answer>(
  items: readonly Item[],
  ask: (item: Item) => Promise<Answer>,
  atATime = 16,
): Promise<Answer[]> {
  const answers = new Array<Answer>(items.length);
  const queue = items.entries();
  let failed = false;
  const runner = async (): Promise<void> => {
    for (const [i, item] of queue) {
      if (failed) return;
      try {
        answers[i] = await ask(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atATime, items.length) }, runner));
  return answers;
}

/** The same, one after another as they are wanted, with a few asked for ahead: each is a request where a store is remote. */
export async function* mapAhead<Item, Answer>(
  items: readonly Item[],
  ask: (item: Item) => Promise<Answer>,
  ahead = 8,
): AsyncGenerator<Answer> {
  for (let at = 0; at < items.length; at += ahead) yield* await mapInParallel(items.slice(at, at + ahead), ask);
}
