/** Many small things in few messages, none of which is larger than Temporal takes. */

/** Characters of JSON in one message: at most three bytes each, of 2 MiB. */
const charactersPerMessage = 600_000;

/** Removes and answers the first of the items, as many as go into one message, at least one. */
export function takeBundle<Item>(items: Item[]): Item[] {
  let count = 0;
  for (let characters = 0; count < items.length; count++) {
    characters += JSON.stringify(items[count]).length;
    if (characters > charactersPerMessage && count > 0) break;
  }
  return items.splice(0, count);
}
