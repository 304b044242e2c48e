/** Many small things in few messages, none of which is larger than Temporal takes. */

import { fitting } from '../plan/value-bytes.ts';

/** Removes and answers the first of the items, as many as go into one message, at least one. */
export function takeBundle<Item>(items: Item[]): Item[] {
  return items.splice(0, fitting(items));
}
