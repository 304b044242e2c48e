/** Pictures of single boxes for the report. */

import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cropPictures } from '../../activities/crop-pictures.ts';
import { openRig, type StepRig, squaresDataset } from './step-rig.ts';

let rig: StepRig;

beforeAll(async () => {
  rig = await openRig();
});

afterAll(async () => {
  await rig.close();
});

test('a picture shows the box with what is around it, also at the edge of the image', async () => {
  const { dataset, ref } = await squaresDataset(rig.store, { train: 3, val: 0, test: 0 });
  const steps = [
    { path: 'hold', kind: 'quarantine', state: 'done' as const, reused: false, outputs: { dataset: ref } },
  ];
  const atEdge = { id: 'edge', imageId: 2, categoryId: 1, box: [60, 0, 64, 30] as const };
  const pictures = await cropPictures(rig.store, steps, 'hold', [dataset.labels.annotations[0]!, atEdge]);
  expect(pictures.map(({ annotationId, imageId }) => [annotationId, imageId])).toEqual([
    [dataset.labels.annotations[0]!.id, 1],
    ['edge', 2],
  ]);
  for (const { data, side, box } of pictures) {
    expect(box.every((edge) => edge >= 0 && edge <= side)).toBe(true);
    const image = sharp(Buffer.from(data.slice('data:image/jpeg;base64,'.length), 'base64'));
    expect(await image.metadata()).toMatchObject({ format: 'jpeg', width: side, height: side });
    if (box !== pictures[0]!.box) continue;
    // A square is light, and what is around it dark.
    const [x1, y1, x2, y2] = box.map(Math.round) as [number, number, number, number];
    const inside = image.extract({ left: x1 + 2, top: y1 + 2, width: x2 - x1 - 4, height: y2 - y1 - 4 });
    const { channels } = await sharp(await inside.png().toBuffer()).stats();
    expect(channels[0]!.mean).toBeGreaterThan(200);
  }
  expect(await cropPictures(rig.store, steps, 'other', [atEdge])).toEqual([]);
});
