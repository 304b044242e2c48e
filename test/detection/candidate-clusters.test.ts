import { describe, expect, it } from 'vitest';
import { clustersOf, withClusters } from '../../detection/candidate-clusters.ts';
import type { Box, Candidate } from '../../detection/types.ts';

const missing = (imageId: number, box: Box, more: Partial<Candidate> = {}): Candidate => ({
  id: `${imageId} ${box.join(',')}`,
  type: 'missing',
  imageId,
  imageDigest: `d${imageId}`,
  detection: { categoryId: 1, box, score: 0.9 },
  rank: 0.5,
  chance: 0.9,
  ...more,
});

/** Apart from each other, side 10. */
const apart = (imageId: number): Box => [imageId * 40, imageId * 30, imageId * 40 + 10, imageId * 30 + 10];

describe('clusters of candidates', () => {
  it('hold what is at one place in several images, as a camera that stands still shows it', () => {
    const found = withClusters([1, 2, 3].map((imageId) => missing(imageId, [100, 50 + imageId / 4, 140, 90])));
    const [cluster, ...others] = clustersOf(found);
    expect(others).toEqual([]);
    expect(cluster).toMatchObject({ by: 'place', type: 'missing', images: 3 });
    expect(cluster!.chance).toBeCloseTo(0.9, 12);
    expect(cluster!.id).toMatch(/^place-[0-9a-f]{8}$/);
  });

  it('hold what has the same categories, about the same size, and is wrong in the same way', () => {
    const label = (imageId: number, box: Box) => ({ id: `l${imageId}`, imageId, categoryId: 1, box });
    // the labels of 1 to 3 reach too far to the right, that of 4 too far down
    const wide = [1, 2, 3].map((imageId): Candidate => {
      const [x1, y1, , y2] = apart(imageId);
      return missing(imageId, apart(imageId), {
        type: 'badly-located',
        annotation: label(imageId, [x1, y1, x1 + 20, y2]),
      });
    });
    const [x1, y1, x2] = apart(4);
    const tall = missing(4, apart(4), { type: 'badly-located', annotation: label(4, [x1, y1, x2, y1 + 20]) });
    const clusters = clustersOf(withClusters([...wide, tall]));
    expect(clusters).toHaveLength(1);
    expect(clusters[0]).toMatchObject({ by: 'kind', type: 'badly-located', images: 3 });
    expect(clusters[0]!.candidates.map(({ imageId }) => imageId)).not.toContain(4);
  });

  it('keep apart what the labels are probably to blame for and what the model is', () => {
    const surely = [1, 2, 3].map((imageId) => missing(imageId, apart(imageId)));
    const hardly = [4, 5, 6].map((imageId) => missing(imageId, apart(imageId), { chance: 0.2 }));
    const clusters = clustersOf(withClusters([...surely, ...hardly]));
    expect(clusters.map(({ chance }) => chance!.toFixed(1)).sort()).toEqual(['0.2', '0.9']);
  });

  it('span at least three images', () => {
    const twice = [1, 2].flatMap((imageId) => [missing(imageId, apart(imageId)), missing(imageId, [5, 5, 15, 15])]);
    expect(withClusters(twice)).toEqual(twice);
    expect(withClusters([])).toEqual([]);
  });

  it('have the same ids when others join them', () => {
    const three = [1, 2, 3].map((imageId) => missing(imageId, apart(imageId)));
    const four = [...three, missing(4, apart(4))];
    expect(withClusters(four)[0]!.cluster).toBe(withClusters(three)[0]!.cluster);
  });
});
