/** What the answers so far do to the validation AP of the model that was mined with, from what the store holds of it. */

import { loadDataset, loadJson, readBytes } from '../artifacts/codecs.ts';
import { type GateRecord, type RecordedDecision, readKnown } from '../artifacts/gate-record.ts';
import { readStepRecord, readStepRecords } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { entryKey, listStoredParts, readStoredPart } from '../artifacts/stored-detections.ts';
import { CorrectionPreview } from '../detection/correction-preview.ts';
import { markOf } from '../detection/decisions.ts';
import { detectionsOfImages, joinDetections } from '../detection/detections.ts';
import type { Decision, Detections, ImageEntry } from '../detection/types.ts';
import { type ArtifactRef, isArtifactRef } from '../plan/types.ts';
import type { PreviewJson } from './api.ts';

export interface GatePreview {
  /** With these decisions, and those that were made before the gate opened. */
  json(decisions: ReadonlyMap<string, Decision>): Promise<PreviewJson>;
}

const split = 'val';

/**
 * Null where there is nothing to preview: no candidate lies in a validation image, or no step of the run made the candidates
 * with a model whose detections of all validation images are in the store.
 */
export async function openPreview(store: Store, run: string, gate: GateRecord): Promise<GatePreview | null> {
  const mined = await minedWith(store, run, gate.path);
  if (mined === null) return null;
  const dataset = await loadDataset(store, gate.dataset);
  const images = dataset.images.filter((image) => image.split === split);
  const measured = new Set(images.map(({ id }) => id));
  const candidates = await loadJson(store, 'candidates', mined.candidates);
  if (!candidates.some(({ imageId }) => measured.has(imageId))) return null;
  const detections = await storedDetections(store, mined.model, images);
  if (detections === null) return null;
  const known = new Set((await readKnown(store, gate)).map(({ candidateId }) => candidateId));
  const asked = (await loadJson(store, 'candidates', gate.candidates)).filter(({ id }) => !known.has(id));
  const earlier = await earlierOf(store, gate);
  const preview = new CorrectionPreview({
    categories: dataset.categories,
    images,
    annotations: dataset.labels.annotations,
    detections,
    candidates,
  });
  let last: { readonly mark: string; readonly json: Promise<PreviewJson> } | null = null;
  const measure = async (decisions: ReadonlyMap<string, Decision>): Promise<PreviewJson> => {
    const { before } = preview;
    const now = preview.after(decisions);
    const gainLeft = await preview.gainLeft(asked, decisions, breathe);
    return {
      split,
      images: images.length,
      questions: preview.questions,
      AP: { before: before.AP, now: now.AP },
      AP50: { before: before.AP50, now: now.AP50 },
      ...(gainLeft === null ? {} : { gainLeft }),
    };
  };
  return {
    json: (taken) => {
      const mark = [...taken.values()].map((one) => `${one.candidateId} ${markOf(one)}`).join('\n');
      if (last?.mark === mark) return last.json;
      const decisions = new Map<string, Decision>(earlier.map((decision) => [decision.candidateId, decision]));
      for (const [id, decision] of taken) if (!known.has(id)) decisions.set(id, decision);
      // One after the other: both would move the same labels.
      const json = (last?.json ?? Promise.resolve()).then(
        () => measure(decisions),
        () => measure(decisions),
      );
      last = { mark, json };
      return json;
    },
  };
}

/** Requests for pictures come between two draws. */
const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The candidates that the gate was given, and the model of the `mine` step that made them. */
async function minedWith(
  store: Store,
  run: string,
  path: string,
): Promise<{ readonly candidates: ArtifactRef; readonly model: ArtifactRef } | null> {
  const candidates = (await readStepRecord(store, run, path))?.with?.candidates;
  if (!isArtifactRef(candidates)) return null;
  for (const { kind, outputs, with: given } of await readStepRecords(store, run)) {
    const made = outputs?.candidates;
    if (kind !== 'mine' || !isArtifactRef(made) || made.digest !== candidates.digest) continue;
    if (isArtifactRef(given?.model)) return { candidates, model: given.model };
  }
  return null;
}

/** Null where one of the images was not looked at. */
async function storedDetections(
  store: Store,
  model: ArtifactRef,
  images: readonly ImageEntry[],
): Promise<Detections | null> {
  const missing = new Map(images.map((image) => [entryKey(image), image]));
  const parts: Detections[] = [];
  for (const key of await listStoredParts(store, model)) {
    if (missing.size === 0) break;
    const part = await readStoredPart(store, key, missing);
    if (part === null) continue;
    for (const image of part.images) missing.delete(entryKey(image));
    parts.push(
      detectionsOfImages(
        part.detections,
        part.images.map(({ id }) => id),
      ),
    );
  }
  return missing.size > 0 ? null : joinDetections(parts);
}

async function earlierOf(store: Store, { earlier }: GateRecord): Promise<readonly RecordedDecision[]> {
  return earlier === undefined ? [] : JSON.parse((await readBytes(store, 'earlier decisions', earlier)).toString());
}
