/**
 * Fuzzes parser and compiler: `npm run fuzz -- --seeds 1-100000 [--keep]`. A case that crashes, hangs, takes too long or
 * gives an internal error is printed with its seed; `--keep` writes its text into test/fixtures/fuzz, where it stays a test.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readCorpus } from './fuzz/corpus.ts';
import { fuzzCase } from './fuzz/mutate.ts';

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '1-10000' }, keep: { type: 'boolean', default: false } },
});
const range = /^(\d+)-(\d+)$/.exec(values.seeds);
if (range === null) {
  console.error(`--seeds ${values.seeds}: expected FROM-TO, such as 1-10000.`);
  process.exit(2);
}
const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'hardcase-fuzz-'));
const noteFile = join(folder, 'seed');
const corpus = readCorpus(root);
/** A case that keeps a process this long has hung, however busy the machine is. */
const HANG_MS = 120_000;
const TOLD_EVERY_MS = 30_000;

let failed = 0;
const started = Date.now();

function report(seed: number, failure: string): void {
  failed++;
  console.log(`seed ${seed}: ${failure}`);
  if (values.keep) writeFileSync(join(root, 'test/fixtures/fuzz', `seed-${seed}.yaml`), fuzzCase(seed, corpus));
}

/** Runs seeds in a process of their own until they are through or one ends it; answers the seed to go on with. */
async function runFrom(from: number, to: number): Promise<number> {
  const worker = join(import.meta.dirname, 'fuzz', 'worker.js');
  const child = spawn(process.execPath, [worker, root, `${from}`, `${to}`, noteFile], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const { seed, failure } = JSON.parse(line) as { seed: number; failure: string };
      report(seed, failure);
    }
  });
  let seen = from;
  let since = Date.now();
  let told = Date.now();
  let hung = false;
  const watch = setInterval(() => {
    const at = noted(from);
    if (at !== seen) {
      seen = at;
      since = Date.now();
    } else if (Date.now() - since > HANG_MS) {
      hung = true;
      child.kill('SIGKILL');
    }
    if (Date.now() - told > TOLD_EVERY_MS) {
      told = Date.now();
      console.log(`${seen} of ${to}, ${failed} failed, ${((Date.now() - started) / 1000).toFixed(0)} s`);
    }
  }, 1_000);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.on('close', (...end) => resolve(end)),
  );
  clearInterval(watch);
  if (code === 0) return to + 1;
  const at = noted(from);
  report(at, hung ? `hung for ${HANG_MS / 1000} s` : `ended the process with ${signal ?? `status ${code}`}`);
  return at + 1;
}

function noted(from: number): number {
  try {
    return Number(readFileSync(noteFile, 'utf8').trim()) || from;
  } catch {
    return from;
  }
}

const from = Number(range[1]);
const to = Number(range[2]);
for (let next = from; next <= to; ) next = await runFrom(next, to);
rmSync(folder, { recursive: true, force: true });
const seconds = (Date.now() - started) / 1000;
console.log(`${to - from + 1} cases, ${failed} failed, ${seconds.toFixed(0)} s`);
process.exitCode = failed === 0 ? 0 : 1;
