/** Writes down, epoch by epoch, what each ground truth of a training set costs the network; its state is in the checkpoint. */

import { type Dynamics, type DynamicsTarget, SERIES, type SeriesName } from '../dynamics.ts';
import { THRESHOLD_PREFIX } from '../threshold-boxes.ts';
import type { GroundTruthLoss } from './loss-profile.ts';
import type { PreparedImage } from './types.ts';

export interface DynamicsRecorder {
  /** Epochs between two profiles. */
  readonly every: number;
  after(epoch: number, lossesOf: (images: readonly PreparedImage[]) => GroundTruthLoss[]): void;
  /** `epochs` [E], and for each series [E*T], one epoch after the other. */
  save(): Record<string, Float32Array>;
  load(state: Readonly<Record<string, Float32Array>>): void;
  /** All that was recorded so far. */
  dynamics(): Dynamics;
}

/** `images` are those of the training set as they are, without augmentation. */
export function createDynamicsRecorder(images: readonly PreparedImage[], every: number): DynamicsRecorder {
  const targets = images.flatMap(({ imageId, annotationIds }) =>
    annotationIds.map((annotationId): DynamicsTarget => {
      return { imageId, annotationId, planted: annotationId.startsWith(THRESHOLD_PREFIX) };
    }),
  );
  const count = targets.length;
  let epochs: number[] = [];
  let columns = emptyColumns();

  return {
    every,
    after(epoch, lossesOf) {
      const losses = lossesOf(images);
      if (losses.length !== count) {
        throw new Error(`Internal error: ${losses.length} losses for ${count} ground truths.`);
      }
      // A training that went back to an earlier state comes by here again.
      const kept = epochs.filter((earlier) => earlier < epoch).length;
      epochs.length = kept;
      for (const name of SERIES) columns[name].length = kept;
      epochs.push(epoch);
      for (const name of SERIES) columns[name].push(Float32Array.from(losses, (loss) => loss[name]));
    },
    save() {
      const state: Record<string, Float32Array> = { epochs: Float32Array.from(epochs) };
      for (const name of SERIES) {
        const joined = new Float32Array(epochs.length * count);
        for (const [e, column] of columns[name].entries()) joined.set(column, e * count);
        state[name] = joined;
      }
      return state;
    },
    load(state) {
      epochs = Array.from(state.epochs ?? []);
      columns = emptyColumns();
      for (const name of SERIES) {
        const joined = state[name] ?? new Float32Array(0);
        if (joined.length !== epochs.length * count) {
          throw new Error(
            `The checkpoint holds ${joined.length} numbers of the series ${name}, expected ${epochs.length} epochs of ${count} ground truths.`,
          );
        }
        columns[name] = epochs.map((_, e) => joined.slice(e * count, (e + 1) * count));
      }
    },
    dynamics() {
      const series = {} as Record<SeriesName, Float32Array>;
      for (const name of SERIES) {
        const turned = new Float32Array(count * epochs.length);
        for (const [e, column] of columns[name].entries()) {
          for (let t = 0; t < count; t++) turned[t * epochs.length + e] = column[t]!;
        }
        series[name] = turned;
      }
      return { epochs: [...epochs], targets, series };
    },
  };
}

function emptyColumns(): Record<SeriesName, Float32Array[]> {
  return Object.fromEntries(SERIES.map((name) => [name, [] as Float32Array[]])) as Record<SeriesName, Float32Array[]>;
}
