import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runEvaluate } from '../../cli/evaluate.ts';
import { hasOracles, oraclesFolder } from '../detection/oracles.ts';
import { captureOutput } from './capture.ts';

const truth = {
  images: [{ id: 1 }, { id: 2 }],
  categories: [{ id: 1, name: 'berry' }],
  annotations: [{ id: 1, image_id: 1, category_id: 1, bbox: [0, 0, 10, 10], area: 100, iscrowd: 0 }],
};
const found = [{ image_id: 1, category_id: 1, bbox: [0, 0, 10, 10], score: 0.9 }];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hardcase-evaluate-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

async function evaluate(
  groundTruth: unknown,
  detections: unknown,
  more: { protocol?: string; iou?: number; json?: boolean } = {},
) {
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  await writeFile(join(folder, 'gt.json'), text(groundTruth));
  await writeFile(join(folder, 'dt.json'), text(detections));
  const output = captureOutput();
  const code = await runEvaluate({
    groundTruth: join(folder, 'gt.json'),
    detections: join(folder, 'dt.json'),
    protocol: 'coco',
    json: false,
    ...more,
  });
  return { code, ...output() };
}

describe('hardcase evaluate', () => {
  it('prints the lines that pycocotools prints', async () => {
    const { code, out } = await evaluate(truth, found);
    expect(code).toBe(0);
    expect(out.split('\n').slice(0, 4)).toEqual([
      ' Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 1.000',
      ' Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 1.000',
      ' Average Precision  (AP) @[ IoU=0.75      | area=   all | maxDets=100 ] = 1.000',
      ' Average Precision  (AP) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = 1.000',
    ]);
    expect(out).toContain(' Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=  1 ] = 1.000\n');
  });

  it('prints the shape of the design as JSON', async () => {
    const coco = JSON.parse((await evaluate(truth, found, { json: true })).out);
    expect(Object.keys(coco)).toEqual([
      ...['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl', 'perCategory'],
    ]);
    expect(coco.perCategory.berry.AP).toBe(coco.AP);
    const voc = JSON.parse((await evaluate(truth, found, { json: true, protocol: 'voc2012', iou: 0.75 })).out);
    expect(voc).toEqual({ mAP: 1, perCategory: { berry: { AP: 1 } } });
  });

  it('prints VOC as lines', async () => {
    const { out } = await evaluate(truth, [], { protocol: 'voc2007' });
    expect(out).toBe('VOC 2007 (11 points), IoU 0.50\nAP for berry = 0.0000\nMean AP = 0.0000\n');
  });

  it('says at once all that is wrong with a file', async () => {
    const wrong = [
      { image_id: 7, category_id: 1, bbox: [0, 0, 1, 1], score: 1 },
      { image_id: 1, bbox: [0, 0, -1, 1] },
    ];
    await expect(evaluate(truth, wrong)).rejects.toMatchObject({
      exitCode: 1,
      message: [
        'The detections cannot be used.',
        `  ${folder}/dt.json [0].image_id: Image 7 is not in the ground truth. Evaluate with the file it belongs to.`,
        `  ${folder}/dt.json [1].category_id: Expected a whole number below 2^31, found nothing.`,
        `  ${folder}/dt.json [1].bbox: Box has negative size -1 x 1; expected [x, y, width, height].`,
        `  ${folder}/dt.json [1].score: Expected a number, found nothing.`,
      ].join('\n'),
    });
    await expect(evaluate('{"images": [', found)).rejects.toMatchObject({
      exitCode: 1,
      message: expect.stringContaining('gt.json: File is not JSON: it ends too early, at line 1, column 13.'),
    });
    await expect(
      runEvaluate({ groundTruth: `${folder}/none.json`, detections: '', protocol: 'coco', json: false }),
    ).rejects.toMatchObject({ exitCode: 1, message: `${folder}/none.json cannot be read: it is not there.` });
  });

  it('calls an option that does not fit wrong usage', async () => {
    await expect(evaluate(truth, found, { protocol: 'lvis' })).rejects.toMatchObject({ exitCode: 2 });
    await expect(evaluate(truth, found, { iou: 0.5 })).rejects.toMatchObject({ exitCode: 2 });
    await expect(evaluate(truth, found, { protocol: 'voc2007', iou: 50 })).rejects.toMatchObject({ exitCode: 2 });
  });

  it('warns of what pycocotools would count otherwise', async () => {
    const { err } = await evaluate({ ...truth, annotations: [{ ...truth.annotations[0], id: 0 }] }, found);
    expect(err).toContain('Annotation id 0 counts as any other here; pycocotools never matches it.');
  });

  it.skipIf(!hasOracles)('gives the figures of the oracle', async () => {
    const output = captureOutput();
    await runEvaluate({
      groundTruth: `${oraclesFolder}coco-val2014-100/instances_val2014_100.json`,
      detections: `${oraclesFolder}coco-val2014-100/detections.json`,
      protocol: 'coco',
      json: true,
    });
    expect(JSON.parse(output().out).AP).toBeCloseTo(0.5045806987249628, 9);
  });
});
