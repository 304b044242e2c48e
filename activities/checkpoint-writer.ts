/** Saves checkpoints while the training goes on, one at a time. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckpointLink } from '../detection/model/types.ts';
import type { Checkpoints } from './checkpoints.ts';

export interface CheckpointWriter {
  /** Begins to save; waits only for a checkpoint before that is still being saved. */
  write(step: number, bytes: Uint8Array, seconds: number, link: CheckpointLink): Promise<void>;
  /** To be called between steps: lets a write that is under way come on, and throws what made one fail. */
  advance(): Promise<void>;
  /** Resolves once all are saved; throws what made one fail. */
  finish(): Promise<void>;
}

/**
 * TensorFlow blocks the event loop during a step, and a write needs some ten turns of the loop: without a moment for it between
 * steps, one of a slow training would take as many steps.
 */
const turnMs = 4;

export function openCheckpointWriter(
  checkpoints: Pick<Checkpoints, 'add'>,
  notice: (message: string) => Promise<void>,
): CheckpointWriter {
  let writing: Promise<void> | null = null;
  let failure: { readonly error: unknown } | null = null;

  const throwFailure = (): void => {
    if (failure !== null) throw failure.error;
  };
  const save = async (step: number, bytes: Uint8Array, seconds: number, link: CheckpointLink): Promise<void> => {
    const outcome = await checkpoints.add(step, bytes, seconds, link);
    if (outcome !== 'differs') return;
    await notice(
      `Two attempts of this training, on the same kind of machine with the same settings, computed different numbers before step ${step}. ` +
        'One of the machines has a fault (memory, overclocking), or the processors differ in a way that is not known here. The checkpoint of the first counts.',
    );
  };

  return {
    async write(...checkpoint) {
      await writing;
      throwFailure();
      writing = save(...checkpoint)
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => {
          writing = null;
        });
    },
    async advance() {
      if (writing !== null) await Promise.race([writing, sleep(turnMs, undefined, { ref: false })]);
      throwFailure();
    },
    async finish() {
      await writing;
      throwFailure();
    },
  };
}
