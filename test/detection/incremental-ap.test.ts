import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { evaluateCoco, type GroundTruth, METRICS, type ScoredAnnotation } from '../../detection/average-precision.ts';
import { detectionsFromRows } from '../../detection/detections.ts';
import { readCocoGroundTruth, readCocoResults } from '../../detection/formats/coco-results.ts';
import { IncrementalAp } from '../../detection/incremental-ap.ts';
import { createRandom, type Random } from '../../detection/random.ts';

describe('IncrementalAp', () => {
  it('equals the full evaluation to the bit, whatever is changed in whichever order', () => {
    const cases = JSON.parse(readFileSync(new URL('../fixtures/coco-random.json', import.meta.url), 'utf8'));
    const random = createRandom('incremental');
    for (const [index, one] of cases.entries()) {
      const groundTruth = readCocoGroundTruth(JSON.stringify(one.groundTruth), 'truth');
      const { detections } = readCocoResults(JSON.stringify(one.detections), 'results', groundTruth);
      const incremental = new IncrementalAp(groundTruth, detections);
      let annotations = groundTruth.annotations;
      for (let change = 0; change < 8; change++) {
        const imageId = groundTruth.imageIds[Math.floor(random.next() * groundTruth.imageIds.length)]!;
        const others = annotations.filter((annotation) => annotation.imageId !== imageId);
        const own = changed(
          annotations.filter((annotation) => annotation.imageId === imageId),
          groundTruth,
          imageId,
          random,
        );
        annotations = [...others, ...own];
        incremental.replace(imageId, own);
        const whole = evaluateCoco({ ...groundTruth, annotations }, detections);
        const kept = incremental.metrics();
        for (const name of METRICS) {
          expect(Object.is(kept[name], whole[name]), `case ${index}, change ${change}, ${name}`).toBe(true);
        }
      }
    }
  });

  it('goes from nothing to measure by to a figure, and leaves images alone that are not evaluated', () => {
    const box = [0, 0, 10, 10] as const;
    const detections = detectionsFromRows([1], [{ imageId: 1, categoryId: 1, box, score: 0.9 }]);
    const ap = new IncrementalAp(
      { categories: [{ id: 1, name: 'berry' }], imageIds: [1], annotations: [] },
      detections,
    );
    expect(ap.metrics(['AP']).AP).toBe(-1);
    ap.replace(2, [{ id: 'b', imageId: 2, categoryId: 1, box }]);
    expect(ap.metrics(['AP']).AP).toBe(-1);
    ap.replace(1, [{ id: 'a', imageId: 1, categoryId: 1, box }]);
    expect(ap.metrics(['AP']).AP).toBeCloseTo(1, 12);
  });
});

/** Some boxes go, some move, some become a crowd or another category, and one may come. */
function changed(
  own: readonly ScoredAnnotation[],
  { categories }: GroundTruth,
  imageId: number,
  random: Random,
): ScoredAnnotation[] {
  const category = () => categories[Math.floor(random.next() * categories.length)]!.id;
  const kept = own.flatMap((annotation): ScoredAnnotation[] => {
    const what = random.next();
    const [x1, y1, x2, y2] = annotation.box;
    const { boxArea: _, area: __, ...rest } = annotation;
    if (what < 0.2) return [];
    if (what < 0.4) return [{ ...rest, box: [x1 + 3, y1, x2 + 3, y2] }];
    if (what < 0.5) return [{ ...annotation, categoryId: category() }];
    if (what < 0.55) return [{ ...annotation, crowd: true }];
    return [annotation];
  });
  if (random.next() < 0.3) return kept;
  const [x, y] = [random.next() * 200, random.next() * 200];
  return [...kept, { id: 'new', imageId, categoryId: category(), box: [x, y, x + 40, y + 30] }];
}
