import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  accumulate,
  evaluateCoco,
  type GroundTruth,
  IOU_THRESHOLDS,
  METRICS,
  matchForAp,
} from '../../detection/average-precision.ts';
import { detectionsFromRows, emptyDetections } from '../../detection/detections.ts';
import { readCocoGroundTruth, readCocoResults } from '../../detection/formats/coco-results.ts';
import type { Annotation, Box } from '../../detection/types.ts';
import { hasOracles, oraclesFolder } from './oracles.ts';

const berry = { id: 1, name: 'berry' };

function truth(boxes: readonly Box[], more: Partial<Annotation> = {}): GroundTruth {
  return {
    categories: [berry],
    imageIds: [1],
    annotations: boxes.map((box, i) => ({ id: `a${i}`, imageId: 1, categoryId: 1, box, ...more })),
  };
}

function detected(...rows: readonly (readonly [score: number, box: Box])[]) {
  return detectionsFromRows(
    [1],
    rows.map(([score, box]) => ({ imageId: 1, categoryId: 1, box, score })),
  );
}

describe('evaluateCoco', () => {
  it.skipIf(!hasOracles)('equals pycocotools on 100 images of COCO val2014', () => {
    const folder = `${oraclesFolder}coco-val2014-100/`;
    const groundTruth = readCocoGroundTruth(readFileSync(`${folder}instances_val2014_100.json`, 'utf8'), 'instances');
    const results = readCocoResults(readFileSync(`${folder}detections.json`, 'utf8'), 'detections', groundTruth);
    expect([...groundTruth.problems, ...results.problems]).toEqual([]);
    const metrics = evaluateCoco(groundTruth, results.detections);
    // printed by pycocotools 2.0.11 on these files
    const expected = [
      0.5045806987249628, 0.6969727247299577, 0.5729816669904824, 0.5856257209410443, 0.5193996948036719,
      0.5013978986347466, 0.38681277964578054, 0.5936795762842003, 0.595352982877607, 0.6398109626113442,
      0.5664205978994309, 0.5642905982905982,
    ];
    METRICS.forEach((name, i) => {
      expect(Math.abs(metrics[name] - expected[i]!), name).toBeLessThan(1e-9);
    });
    expect(Object.keys(metrics.perCategory)).toHaveLength(80);
  });

  it('equals pycocotools on random cases with crowds, ties, empty images and boxes at the area limits', () => {
    const cases = JSON.parse(readFileSync(new URL('../fixtures/coco-random.json', import.meta.url), 'utf8'));
    expect(cases.length).toBeGreaterThan(20);
    for (const [index, { groundTruth, detections, expected }] of cases.entries()) {
      const given = readCocoGroundTruth(JSON.stringify(groundTruth), 'truth');
      const metrics = evaluateCoco(given, readCocoResults(JSON.stringify(detections), 'results', given).detections);
      METRICS.forEach((name, i) => {
        expect(Math.abs(metrics[name] - expected[i]), `case ${index}, ${name}`).toBeLessThan(1e-9);
      });
    }
  });

  it('gives 1 for a perfect detection and -1 for sizes that do not occur', () => {
    const metrics = evaluateCoco(truth([[0, 0, 10, 10]]), detected([0.9, [0, 0, 10, 10]]));
    expect(metrics.AP).toBeCloseTo(1, 12);
    expect(metrics.APs).toBeCloseTo(1, 12);
    expect(metrics).toMatchObject({ AR1: 1, APm: -1, APl: -1, ARl: -1 });
  });

  it('gives 0 without detections and -1 without ground truth', () => {
    expect(evaluateCoco(truth([[0, 0, 10, 10]]), emptyDetections([1]))).toMatchObject({ AP: 0, AR100: 0 });
    expect(evaluateCoco(truth([]), detected([0.9, [0, 0, 10, 10]]))).toMatchObject({ AP: -1, AR100: -1 });
  });

  it('falls to 51/101 where a sure mistake comes before the second of two', () => {
    // recall 0 to .5 (51 of 101 thresholds) at precision 1, the rest at 2/3
    const metrics = evaluateCoco(
      truth([
        [0, 0, 10, 10],
        [20, 20, 30, 30],
      ]),
      detected([0.9, [0, 0, 10, 10]], [0.8, [50, 50, 60, 60]], [0.7, [20, 20, 30, 30]]),
    );
    expect(metrics.AP50).toBeCloseTo((51 + 50 * (2 / 3)) / 101, 12);
  });

  it('reaches a threshold that the IoU equals', () => {
    const metrics = evaluateCoco(truth([[0, 0, 10, 10]]), detected([0.9, [0, 0, 10, 5]]));
    expect(metrics.AP50).toBeCloseTo(1, 12);
    expect(metrics.AP).toBeCloseTo(1 / 10, 12);
  });

  it('counts an ignored annotation unless it is told otherwise', () => {
    const ignored = truth([[0, 0, 10, 10]], { ignore: true });
    expect(evaluateCoco(ignored, emptyDetections([1])).AP).toBe(0);
    expect(evaluateCoco(ignored, emptyDetections([1]), { applyIgnore: true }).AP).toBe(-1);
  });

  it('looks only at the best maxDets of an image', () => {
    const wrongThenRight = detected([0.9, [50, 50, 60, 60]], [0.8, [0, 0, 10, 10]]);
    expect(evaluateCoco(truth([[0, 0, 10, 10]]), wrongThenRight)).toMatchObject({ AR1: 0, AR10: 1 });
  });
});

describe('accumulate', () => {
  it('with weights equals evaluating the images so many times', () => {
    const rows = [1, 2, 3].flatMap((imageId) => [
      { imageId, categoryId: 1, box: [0, 0, 10, 10 - imageId] as Box, score: 0.9 - imageId / 10 },
      { imageId, categoryId: 1, box: [30, 30, 40, 40] as Box, score: 0.6 + imageId / 10 },
    ]);
    const annotations = [1, 2, 3].map((imageId) => ({
      id: `a${imageId}`,
      imageId,
      categoryId: 1,
      box: [0, 0, 10, 10] as Box,
    }));
    const matches = matchForAp(
      { categories: [berry], imageIds: [1, 2, 3], annotations },
      detectionsFromRows([1, 2, 3], rows),
    );

    // image 1 once, image 2 never, image 3 twice (as image 4)
    const repeated = evaluateCoco(
      {
        categories: [berry],
        imageIds: [1, 3, 4],
        annotations: [annotations[0]!, annotations[2]!, { ...annotations[2]!, id: 'a4', imageId: 4 }],
      },
      detectionsFromRows(
        [1, 3, 4],
        [rows[0]!, rows[1]!, rows[4]!, rows[5]!, { ...rows[4]!, imageId: 4 }, { ...rows[5]!, imageId: 4 }],
      ),
    );
    const weighted = accumulate(matches, [1, 0, 2]);
    for (const name of METRICS) expect(weighted[name], name).toBeCloseTo(repeated[name], 12);
    expect(accumulate(matches, [1, 1, 1])).toEqual(accumulate(matches));
    expect(accumulate(matches, undefined, ['AP']).AP).toBe(accumulate(matches).AP);
  });
});

it('the IoU thresholds are those of numpy, to the bit', () => {
  expect(IOU_THRESHOLDS).toEqual([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95]);
});
