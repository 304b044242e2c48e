/** Runs the trainings that have no result yet, several at a time, each in a process of its own. */

import { fork } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ClaimJob, keyOf } from './claim-jobs.ts';
import { CHILD_WORD, type ClaimOrder, isDone, resultPath } from './claim-process.ts';
import type { ClaimResult } from './claim-training.ts';

/** Every training of these jobs once, starts before those that go on from them, and which models must be kept. */
export function ordersOf(jobs: readonly ClaimJob[], folder: string): ClaimOrder[] {
  const orders = new Map<string, ClaimOrder>();
  const add = (job: ClaimJob, keepModel: boolean): void => {
    if (job.start !== undefined) add(job.start, true);
    const key = keyOf(job);
    orders.set(key, { job, folder, keepModel: keepModel || (orders.get(key)?.keepModel ?? false) });
  };
  for (const job of jobs) add(job, false);
  return [...orders.values()];
}

export async function runJobs(
  jobs: readonly ClaimJob[],
  folder: string,
  processes: number,
  onProgress: (done: number, of: number) => void,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const orders = ordersOf(jobs, folder);
  const waiting = orders.filter(({ job, keepModel }) => !isDone(folder, job, keepModel));
  const keptOf = new Map(orders.map(({ job, keepModel }) => [keyOf(job), keepModel]));
  const isReady = ({ job }: ClaimOrder): boolean =>
    job.start === undefined || isDone(folder, job.start, keptOf.get(keyOf(job.start))!);
  const total = waiting.length;
  let done = 0;
  const running = new Set<Promise<void>>();
  while (waiting.length > 0 || running.size > 0) {
    const next = running.size < processes ? waiting.findIndex(isReady) : -1;
    if (next >= 0) {
      const order = waiting.splice(next, 1)[0]!;
      const task = runInProcess(order).then(() => {
        running.delete(task);
        onProgress(++done, total);
      });
      running.add(task);
    } else {
      await Promise.race(running);
    }
  }
}

function runInProcess(order: ClaimOrder): Promise<void> {
  const child = fork(fileURLToPath(new URL(entry, import.meta.url)), [CHILD_WORD], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // Nets this small gain nothing from a second thread; with one, every machine of a kind has the same figures.
    env: {
      ...process.env,
      TF_NUM_INTRAOP_THREADS: '1',
      TF_NUM_INTEROP_THREADS: '1',
      TF_ENABLE_ONEDNN_OPTS: '1',
      TF_CPP_MIN_LOG_LEVEL: '2',
    },
  });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4_000);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`The training ${keyOf(order.job)} ended with ${signal ?? `status ${code}`}.\n${stderr}`));
    });
    child.send(order);
  });
}

/** The compiled entry: benchmarks run from dist/. */
const entry = './claim-process.js';

export function readResult(folder: string, job: ClaimJob): ClaimResult {
  return JSON.parse(readFileSync(resultPath(folder, job), 'utf8')) as ClaimResult;
}
