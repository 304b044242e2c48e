/** Datasets without pixels and models without weights: their detections are put into the store by hand. */

import { saveDataset } from '../../artifacts/codecs.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import type { Store } from '../../artifacts/store.ts';
import { recordDetections } from '../../artifacts/stored-detections.ts';
import { type DetectionRow, detectionsFromRows } from '../../detection/detections.ts';
import type { Annotation, Box, Dataset, ImageEntry, Split } from '../../detection/types.ts';
import type { ArtifactRef } from '../../plan/types.ts';

/** One image of 100 x 100 pixels: its split, its labels, its group where it shares one. */
export interface HandMadeImage {
  readonly split: Split;
  readonly boxes: readonly Box[];
  readonly group?: string;
}

export function datasetOf(images: readonly HandMadeImage[], author = 'import'): Dataset {
  const entries = images.map(
    ({ split, group }, i): ImageEntry => ({
      id: i + 1,
      fileName: `${i + 1}.png`,
      width: 100,
      height: 100,
      digest: sha256Hex(`image ${i + 1}`),
      split,
      group: group ?? String(i + 1),
    }),
  );
  const annotations = images.flatMap(({ boxes }, i) =>
    boxes.map((box, k): Annotation => ({ id: `${i + 1}-${k}`, imageId: i + 1, categoryId: 1, box })),
  );
  return {
    categories: [{ id: 1, name: 'cherry' }],
    images: entries,
    labels: { parent: null, author, note: '', annotations },
  };
}

export async function storeDataset(store: Store, images: readonly HandMadeImage[], author?: string) {
  const dataset = datasetOf(images, author);
  return { dataset, ref: await saveDataset(store, dataset) };
}

/** A model that sees this: [image id, box, score]. */
export async function modelThatSees(
  store: Store,
  name: string,
  dataset: Dataset,
  sights: readonly (readonly [number, Box, number])[],
): Promise<ArtifactRef> {
  const model: ArtifactRef = { artifact: 'model', digest: sha256Hex(`model ${name}`), bytes: 0 };
  const rows = sights.map(([imageId, box, score]): DetectionRow => ({ imageId, categoryId: 1, box, score }));
  const ids = dataset.images.map((image) => image.id);
  await recordDetections(store, model, dataset.images, detectionsFromRows(ids, rows));
  return model;
}
