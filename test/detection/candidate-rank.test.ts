import { describe, expect, it } from 'vitest';
import { type Evidence, type Outcome, rankBy } from '../../detection/candidate-rank.ts';
import { detectionsFromRows } from '../../detection/detections.ts';
import { findCandidates } from '../../detection/label-issues.ts';
import { createRandom } from '../../detection/random.ts';
import type { Annotation, Box } from '../../detection/types.ts';

const nothing: Evidence = { detections: [], labels: [] };
const box: Box = [0, 0, 10, 10];
const annotation: Annotation = { id: 'a', imageId: 1, categoryId: 1, box };
const detection = (score: number, categoryId = 1) => ({ categoryId, box, score });

/** `counts` detections of each outcome, at one score. */
function at(score: number, counts: Partial<Record<Outcome, number>>, categoryId = 1): Evidence['detections'] {
  return Object.entries(counts).flatMap(([outcome, count]) =>
    Array.from({ length: count }, () => ({ categoryId, score, outcome: outcome as Outcome })),
  );
}

describe('the rank of a candidate', () => {
  it('is chance x worth / seconds: two labels for a wrong class, one else', () => {
    const rank = rankBy(nothing);
    // nothing speaks against the surest detection, which is right in 9 of 10; 1.6 s to look, and 7 s to draw in 5 or 2 of 100
    const surest = rank({ type: 'missing', detection: detection(1) });
    expect(surest.chance).toBeCloseTo(0.9, 12);
    expect(surest.seconds).toBeCloseTo(1.6 + 0.05 * 7, 12);
    expect(surest.rank).toBeCloseTo(0.9 / 1.95 / (2 / 1.6), 12);
    expect(rank({ type: 'wrong-class', annotation, detection: detection(1, 2) }).rank).toBeCloseTo(1.6 / 1.74, 12);
    expect(rank({ type: 'duplicate', annotation, iou: 0.9 }).rank).toBeCloseTo(0.9 / 2, 12);
  });

  it('counts the thresholds of COCO that a badly located label fails', () => {
    const rank = rankBy(nothing);
    const worth = (iou: number) => {
      const found = rank({ type: 'badly-located', annotation, detection: detection(1), iou });
      return (found.rank * found.seconds * (2 / 1.6)) / found.chance;
    };
    expect(worth(0.3)).toBeCloseTo(1, 12);
    // above 0.62 lie 0.65, 0.7 ... 0.95
    expect(worth(0.62)).toBeCloseTo(0.7, 12);
    expect(worth(0.97)).toBe(0);
  });

  it('puts down to the labels what is wrong among the surest detections, and the rest to the model', () => {
    const detections = [...at(0.9, { agrees: 27, missing: 3 }), ...at(0.5, { agrees: 15, missing: 15 })];
    const rank = rankBy({ detections, labels: [] });
    // (3 + 1/2) of 31 among the surer half, (15 + 1/2) of 31 among the others
    expect(rank({ type: 'missing', detection: detection(0.9) }).chance).toBeCloseTo(0.9 * (1 - 0.05 * 0.1), 12);
    expect(rank({ type: 'missing', detection: detection(0.5) }).chance).toBeCloseTo(
      0.9 * (3.5 / 15.5) * (1 - 0.05 * 0.5),
      12,
    );
    // half way between them
    expect(rank({ type: 'missing', detection: detection(0.7) }).chance).toBeCloseTo(
      0.9 * ((1 + 3.5 / 15.5) / 2) * (1 - 0.05 * 0.3),
      12,
    );
  });

  it('does not believe a model that hardly any label agrees with', () => {
    const chance = (agrees: number) => {
      const detections = at(0.9, { agrees, missing: 19 - agrees });
      return rankBy({ detections, labels: [] })({ type: 'missing', detection: detection(1) }).chance;
    };
    // nothing agrees: twice (0 + 1/2) of 20; from half of them on it is a witness
    expect(chance(0)).toBeCloseTo(0.9 * 0.05, 12);
    expect(chance(4)).toBeCloseTo(0.9 * 0.45, 12);
    expect(chance(10)).toBeCloseTo(0.9, 12);
  });

  it('judges a category by its own detections where there are enough of them', () => {
    // one in ten is missing, of the poor category nine in ten of the less sure half
    const falling = (categoryId: number, isMissing: (index: number) => boolean) =>
      Array.from({ length: 120 }, (_, i) => ({
        categoryId,
        score: 0.9 - i / 300,
        outcome: (isMissing(i) ? 'missing' : 'agrees') as Outcome,
      }));
    const good = falling(1, (i) => i % 10 === 0);
    const poor = falling(2, (i) => (i < 60 ? i % 10 === 0 : i % 10 > 0));
    const rank = rankBy({ detections: [...good, ...poor], labels: [] });
    const chance = (categoryId: number) => rank({ type: 'missing', detection: detection(0.5, categoryId) }).chance;
    expect(chance(1)).toBeGreaterThan(0.8);
    expect(chance(2)).toBeLessThan(0.2);
  });

  it('believes that a label is spurious where few labels have as little support', () => {
    const labels = (unsupported: number) => [
      ...Array.from({ length: 1000 - unsupported }, () => ({ categoryId: 1, support: 0.8 })),
      ...Array.from({ length: unsupported }, () => ({ categoryId: 1, support: 0 })),
    ];
    const chance = (unsupported: number) =>
      rankBy({ detections: [], labels: labels(unsupported) })({ type: 'spurious', annotation, support: 0 }).chance;
    // a model misses one of four that nothing else explains
    expect(chance(20)).toBe(0.75);
    // 33 of 1,000 are expected to stand for nothing, and 500 are not supported
    expect(chance(500)).toBeCloseTo((0.75 * (0.033 * 1005)) / 500.5, 12);
  });

  it('does not change with the size of the images', () => {
    const random = createRandom('scale');
    const images = Array.from({ length: 60 }, (_, i) => ({ id: i + 1, digest: `d${i}`, split: 'train' as const }));
    const place = (): Box => {
      const [x, y, side] = [random.next() * 100, random.next() * 100, 5 + random.next() * 20];
      return [x, y, x + side, y + side];
    };
    const labels = images.flatMap(({ id }) =>
      [0, 1, 2].map((k): Annotation => ({ id: `${id}.${k}`, imageId: id, categoryId: 1 + (k % 2), box: place() })),
    );
    const rows = labels.map(({ imageId, categoryId, box: own }) => ({
      imageId,
      categoryId: random.next() < 0.1 ? 3 - categoryId : categoryId,
      box: random.next() < 0.2 ? place() : own,
      score: random.next(),
    }));
    const ranks = (scale: number) => {
      const scaled = (one: Box) => one.map((edge) => edge * scale) as unknown as Box;
      const dataset = {
        categories: [
          { id: 1, name: 'a' },
          { id: 2, name: 'b' },
        ],
        images,
        annotations: labels.map((label) => ({ ...label, box: scaled(label.box) })),
      };
      const detections = detectionsFromRows(
        images.map(({ id }) => id),
        rows.map((row) => ({ ...row, box: scaled(row.box) })),
      );
      return findCandidates(dataset, detections, { confidence: 0.3, iou: 0.5 })
        .map(({ type, imageId, rank }) => `${type} ${imageId} ${rank.toFixed(9)}`)
        .sort();
    };
    expect(ranks(1).length).toBeGreaterThan(30);
    expect(ranks(8)).toEqual(ranks(1));
    expect(ranks(0.25)).toEqual(ranks(1));
  });
});
