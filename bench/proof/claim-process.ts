/** The process of one training: is sent a job, writes its result, ends. */

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeModel, encodeModel } from '../../artifacts/codecs.ts';
import { type ClaimJob, keyOf } from './claim-jobs.ts';

/** Files of a job's result in the folder: figures, and weights where another training starts from them. */
export const resultPath = (folder: string, job: ClaimJob): string => join(folder, `${keyOf(job)}.json`);
export const modelPath = (folder: string, job: ClaimJob): string => join(folder, `${keyOf(job)}.safetensors`);

export interface ClaimOrder {
  readonly job: ClaimJob;
  readonly folder: string;
  readonly keepModel: boolean;
}

async function run({ job, folder, keepModel }: ClaimOrder): Promise<void> {
  const { runClaimJob } = await import('./claim-training.ts');
  const start = job.start === undefined ? null : decodeModel(readFileSync(modelPath(folder, job.start))).weights;
  const { result, model } = await runClaimJob(job, start);
  if (keepModel) write(modelPath(folder, job), encodeModel(model));
  write(resultPath(folder, job), JSON.stringify(result));
}

/** Beside, then renamed: a file that is there is whole. */
function write(path: string, content: string | Buffer): void {
  const temporary = `${path}.part-${process.pid}`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}

export function isDone(folder: string, job: ClaimJob, keepModel: boolean): boolean {
  return existsSync(resultPath(folder, job)) && (!keepModel || existsSync(modelPath(folder, job)));
}

/** Forked with this word; imported for its paths otherwise. */
export const CHILD_WORD = '--claim-training';

if (process.argv[2] === CHILD_WORD) {
  // The parent may be gone without a word; then nobody waits for the result.
  process.on('disconnect', () => process.exit(1));
  process.once('message', (order) => {
    run(order as ClaimOrder).then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
}
