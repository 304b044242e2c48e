/**
 * What saving checkpoints costs a training: `npm run bench -- checkpoints [case]… [--rounds N]`. Turns with a checkpoint, written
 * to a folder store as a step does, alternate with turns of as many steps without one.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpointWriter } from '../activities/checkpoint-writer.ts';
import { openCheckpoints } from '../activities/checkpoints.ts';
import { openFolderStore } from '../artifacts/folder-store.ts';
import { conditions } from './proof/append-section.ts';
import { readArguments, runCommand, wholeOption } from './proof/command-line.ts';
import { median } from './speed/rounds.ts';

const usage = `Usage: npm run bench -- checkpoints [case]… [--rounds N]

Cases as those of "npm run bench -- train"; S-160 and M-320 unless named. A round (9 of them) is a turn of each kind.
`;

/** As `checkpointEvery`'s default. */
const INTERVAL_MS = 30_000;
/** Long enough for a write to end within the turn. */
const TURN_MS = 2_500;
const WARM_UP_STEPS = 6;

await runCommand(usage, async () => {
  const { values, positionals } = readArguments({
    allowPositionals: true,
    options: { rounds: { type: 'string' } },
  });
  const rounds = wholeOption('rounds', values.rounds as string | undefined, 9, 1);
  console.log(`${conditions()}; ${rounds} rounds`);
  console.log('case        saved MB   kept from the next step   turn longer by   of 30 s   chain, an epoch');
  for (const name of positionals.length === 0 ? ['S-160', 'M-320'] : positionals)
    console.log(await measure(name, rounds));
});

async function measure(name: string, rounds: number): Promise<string> {
  // As in every training process, and before TensorFlow loads.
  process.env.TF_ENABLE_ONEDNN_OPTS ??= '1';
  const { caseNamed, noiseBatch, noiseImages, speedOptions } = await import('./speed/cases.ts');
  const { trainDetector } = await import('../detection/model/train.ts');
  const { digestState } = await import('../detection/model/training-chain.ts');
  const { architecture } = caseNamed(name);
  const batch = noiseBatch(architecture, noiseImages(architecture));
  const folder = mkdtempSync(join(tmpdir(), 'hardcase-bench-'));
  const environment = { threads: 1, tensorflow: 'bench', oneDnn: true, cpu: 'bench' };
  const checkpoints = await openCheckpoints(await openFolderStore(folder), 'b'.repeat(64), environment);
  const writer = openCheckpointWriter(checkpoints, async () => {});
  const turns: { readonly saves: boolean; readonly ms: number }[] = [];
  const blocked: number[] = [];
  let bytesSaved = 0;
  let chainMs = 0;
  let turnSteps = 0;
  let turnBegan = 0;
  let askedAt: number | null = null;
  try {
    await trainDetector({
      architecture,
      init: null,
      seed: 1,
      options: { ...speedOptions, optimizer: 'adam', epochs: 1 },
      source: {
        batchSize: speedOptions.batchSize,
        stepsPerEpoch: 1_000_000,
        batch: () => {
          if (askedAt !== null) blocked.push(performance.now() - askedAt);
          askedAt = null;
          return batch;
        },
      },
      resumeFrom: null,
      evaluateEvery: 1,
      onEpoch: () => {},
      afterStep: async (step) => {
        await writer.advance();
        const now = performance.now();
        if (step === WARM_UP_STEPS) turnBegan = now;
        if (step < WARM_UP_STEPS + 4) return 'go-on';
        if (step === WARM_UP_STEPS + 4) turnSteps = Math.max(4, Math.ceil((4 * TURN_MS) / (now - turnBegan)));
        const within = (step - WARM_UP_STEPS - 4) % turnSteps;
        if (within !== 0) return 'go-on';
        const turn = (step - WARM_UP_STEPS - 4) / turnSteps;
        if (turn > 0) turns.push({ saves: turn % 2 === 1, ms: now - turnBegan });
        if (turn === 2 * rounds) return 'checkpoint-and-stop';
        turnBegan = now;
        if (turn % 2 === 1) return 'go-on';
        askedAt = performance.now();
        return 'checkpoint';
      },
      onCheckpoint: async (step, bytes, link) => {
        bytesSaved = bytes.byteLength;
        await writer.write(step, bytes, 0, link);
      },
    });
    await writer.finish();
    const state = { weights: new Float32Array(bytesSaved / 4) };
    const began = performance.now();
    await digestState(state);
    chainMs = performance.now() - began;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const of = (saves: boolean) => turns.filter((turn) => turn.saves === saves).map(({ ms }) => ms);
  const longer = median(of(true).map((ms, i) => ms - (of(false)[i] ?? ms)));
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  return [
    name.padEnd(10),
    (bytesSaved / 1e6).toFixed(1).padStart(9),
    ms(median(blocked)).padStart(25),
    ms(longer).padStart(16),
    `${((100 * longer) / INTERVAL_MS).toFixed(2)} %`.padStart(9),
    ms(chainMs).padStart(17),
  ].join(' ');
}
