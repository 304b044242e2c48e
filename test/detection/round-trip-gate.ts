/** The gate whose candidates the round trips are about; the files in test/fixtures/round-trip were made of its exports. */

import type { AskedGate } from '../../detection/round-trip/boxes.ts';
import type { Annotation, Box, Candidate, ImageEntry } from '../../detection/types.ts';

const image = (id: number, fileName: string, width: number, height: number): ImageEntry => ({
  id,
  fileName,
  width,
  height,
  digest: String(id).repeat(64),
  split: 'train',
  group: fileName,
});

const label = (id: string, imageId: number, box: Box): Annotation => ({ id, imageId, categoryId: 1, box });

const candidate = (id: string, imageId: number, rest: Partial<Candidate> & Pick<Candidate, 'type'>): Candidate => ({
  id,
  imageId,
  imageDigest: String(imageId).repeat(64),
  rank: 0.5,
  ...rest,
});

const detection = (box: Box, categoryId = 1) => ({ categoryId, box, score: 0.9 });

export const gate: AskedGate = {
  categories: [
    { id: 1, name: 'cherry' },
    { id: 7, name: 'leaf & stem' },
  ],
  images: [image(1, 'tree/one.png', 100, 80), image(2, 'two.png', 60, 90), image(3, 'three.png', 50, 50)],
  decided: new Map(),
  drawn: [],
  labels: () => [],
  candidates: [
    candidate('aaaa000000000001', 1, { type: 'missing', detection: detection([10.123456, 10.25, 30.5, 30.75]) }),
    candidate('aaaa000000000002', 1, { type: 'spurious', annotation: label('s', 1, [60, 50, 80, 70]) }),
    candidate('aaaa000000000003', 1, {
      type: 'badly-located',
      annotation: label('b', 1, [40, 5, 60, 25]),
      detection: detection([44, 5, 64, 25]),
      iou: 2 / 3,
    }),
    candidate('bbbb000000000004', 2, {
      type: 'wrong-class',
      annotation: label('w', 2, [10, 60, 30, 80]),
      detection: detection([10, 60, 30, 80], 7),
      iou: 1,
    }),
    candidate('bbbb000000000005', 2, { type: 'duplicate', annotation: label('d', 2, [5, 5, 25, 25]), iou: 0.9 }),
  ],
};
