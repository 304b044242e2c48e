/**
 * Steps with the names and manners of the shipped ones, but without TensorFlow: a training that walks along a chain of hashes and
 * saves checkpoints of it, a mine that finds candidates by hash. What they give depends on their inputs alone.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { openCheckpointWriter } from '../../activities/checkpoint-writer.ts';
import { openCheckpoints } from '../../activities/checkpoints.ts';
import type { AnyStepImplementation, StepContext } from '../../activities/context.ts';
import { synthesize } from '../../activities/synthesize.ts';
import { loadDataset, saveJson } from '../../artifacts/codecs.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import type { Box, Candidate } from '../../detection/types.ts';
import type { ArtifactRef } from '../../plan/types.ts';

const steps = 25;
const stepMs = 40;
const saveEvery = 3;

interface TrainInputs {
  readonly dataset: ArtifactRef;
  readonly init?: ArtifactRef;
  readonly epochs?: number;
}

async function train(context: StepContext, { dataset, init, epochs = 1 }: TrainInputs) {
  const { store, fingerprint, environment, seed, signal } = context;
  const checkpoints = await openCheckpoints(store, fingerprint, environment);
  const { newest } = checkpoints;
  if (newest !== null) context.resumed(newest.step, newest.exact);
  let head =
    newest === null
      ? sha256Hex(`${seed} ${dataset.digest} ${init?.digest} ${epochs}`)
      : Buffer.from(newest.bytes).toString();
  const heads = new Map<number, string>();
  const writer = openCheckpointWriter(checkpoints, (message) => context.notice(message));
  for (let step = (newest?.step ?? 0) + 1; step <= steps * epochs; step++) {
    signal.throwIfAborted();
    await sleep(stepMs);
    await writer.advance();
    head = sha256Hex(`${step} ${head}`);
    heads.set(step, head);
    context.progress(`step ${step}`, step / (steps * epochs));
    if (step % saveEvery !== 0) continue;
    await writer.write(step, Buffer.from(head), 0, { head, state: head, headAt: (at) => heads.get(at) });
  }
  await writer.finish();
  const bytes = Buffer.from(`weights ${head}`);
  const model = { artifact: 'model', digest: await store.putObject(bytes), bytes: bytes.length } as const;
  const curves = await saveJson(store, 'curves', { head, environment } as never);
  await checkpoints.tidy();
  return { model, curves, steps: steps * epochs, newShare: 1, AP: Number.parseInt(head.slice(0, 6), 16) / 2 ** 24 };
}

async function mine({ store }: StepContext, { model, dataset }: { model: ArtifactRef; dataset: ArtifactRef }) {
  const { images } = await loadDataset(store, dataset);
  const candidates = images.map((image): Candidate => {
    const hash = sha256Hex(`${model.digest} ${image.digest}`);
    const place = (i: number): number => Number.parseInt(hash.slice(2 * i, 2 * i + 2), 16) % 24;
    const box: Box = [place(0), place(1), place(0) + 8 + place(2) / 2, place(1) + 8 + place(3) / 2];
    const detection = { categoryId: 1, box, score: place(4) / 24 };
    return {
      id: hash.slice(0, 16),
      type: 'missing',
      imageId: image.id,
      imageDigest: image.digest,
      detection,
      rank: place(5) / 24,
    };
  });
  return {
    candidates: await saveJson(store, 'candidates', candidates),
    hardImages: await saveJson(store, 'selection', { images: images.map(({ id }) => id) }),
    hardShare: 1,
    crops: 0,
    truePositives: 0,
    falsePositives: candidates.length,
    falseNegatives: 0,
  };
}

export const lightSteps = { synthesize, train, mine } as unknown as { readonly [kind: string]: AnyStepImplementation };
