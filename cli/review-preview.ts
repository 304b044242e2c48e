/** What a review has done so far to the AP that the current model is measured at, for `review list`. */

import type { Store } from '../artifacts/store.ts';
import type { PreviewJson } from '../review/api.ts';
import type { GateView } from '../review/gate-view.ts';
import { openPreview } from '../review/preview.ts';
import { isEnough } from '../review/wording.ts';

/** Of the gates that are open and have something to measure by. */
export async function previewsOf(store: Store, views: readonly GateView[]): Promise<Map<GateView, PreviewJson>> {
  const previews = new Map<GateView, PreviewJson>();
  for (const view of views) {
    if (view.gate.state !== 'open' || view.gate.reviewer === 'oracle') continue;
    const preview = await openPreview(store, view.run, view.gate);
    if (preview !== null) previews.set(view, await preview.json(view.decided));
  }
  return previews;
}

/** One line, in points of AP. */
export function previewWords({ AP, images, gainLeft }: PreviewJson): string {
  const points = (value: number) => (value < 0 ? '–' : (100 * value).toFixed(1));
  const left =
    gainLeft === undefined
      ? ''
      : isEnough(gainLeft)
        ? '; of the rest, under 0.1 more is expected'
        : `; of the rest, about ${points(gainLeft.value)} more is expected`;
  return `AP of the current model on ${images} validation images: ${points(AP.before)} before, ${points(AP.now)} with the answers so far${left}.`;
}
