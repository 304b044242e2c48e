import { describe, expect, it } from 'vitest';
import { gainsOf } from '../../bench/review/gain.ts';
import { detectionsFromRows } from '../../detection/detections.ts';
import { findCandidates } from '../../detection/label-issues.ts';
import { createRandom } from '../../detection/random.ts';
import type { Annotation, Box, Dataset, ImageEntry } from '../../detection/types.ts';

/** Labels of which some were planted wrong, and a model that finds most of the truth and some of what is none. */
function planted(seed: string) {
  const random = createRandom(seed);
  const images = Array.from(
    { length: 120 },
    (_, i): ImageEntry => ({
      id: i + 1,
      fileName: `${i}.png`,
      width: 400,
      height: 100,
      digest: String(i),
      split: 'val',
      group: String(i),
    }),
  );
  const truth = images.flatMap(({ id }) =>
    [0, 1, 2, 3].map(
      (k): Annotation => ({ id: `${id}-${k}`, imageId: id, categoryId: 1, box: [k * 90, 20, k * 90 + 30, 50] }),
    ),
  );
  const labels = truth.flatMap((label): Annotation[] => {
    const error = random.next();
    if (error < 0.06) return [];
    const stray = { ...label, id: `${label.id}s`, box: [label.box[0] + 45, 70, label.box[0] + 65, 90] as const };
    return error < 0.1 ? [label, stray] : [label];
  });
  const rows = truth.flatMap(({ imageId, box: [x1, y1, x2, y2] }) => {
    const sure = 0.4 + 0.55 * random.next();
    const found = { imageId, categoryId: 1, box: [x1 + 1, y1, x2 + 1, y2] as Box, score: sure };
    const none = { imageId, categoryId: 1, box: [x1 + 45, 5, x2 + 45, 35] as Box, score: 0.3 + 0.3 * random.next() };
    return [...(random.next() < 0.9 ? [found] : []), ...(random.next() < 0.15 ? [none] : [])];
  });
  const dataset: Dataset = {
    categories: [{ id: 1, name: 'cherry' }],
    images,
    labels: { parent: null, author: 'test', note: '', annotations: labels },
  };
  const detections = detectionsFromRows(
    images.map(({ id }) => id),
    rows,
  );
  const candidates = findCandidates({ ...dataset, annotations: labels }, detections, { confidence: 0.3, iou: 0.5 });
  return { dataset, truth, detections, candidates };
}

describe('what is left of a review', () => {
  it.each(['a', 'b', 'c'])('is estimated near what planted errors turn out to be worth (scenes %s)', async (seed) => {
    const { dataset, truth, detections, candidates } = planted(seed);
    const gains = await gainsOf(dataset, truth, detections, candidates);
    const [first, , , half] = gains;
    expect(first!.true).toBeGreaterThan(0.02);
    expect(first!.estimated / first!.true).toBeGreaterThan(0.5);
    expect(first!.estimated / first!.true).toBeLessThan(2);
    expect(first!.high).toBeNull();
    // As much is decided, what is expected falls.
    expect(half!.estimated).toBeLessThan(first!.estimated / 2);
    for (const { high, estimated, true: left } of gains) {
      // Nobody is told to stop while there is a point to be had.
      if (high !== null) expect(high).toBeGreaterThanOrEqual(estimated);
      if (high !== null && high < 0.001) expect(left).toBeLessThan(0.01);
    }
  });
});
