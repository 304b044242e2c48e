/**
 * What `hardcase check` costs: CPU time beyond Node's own start for a file of 50 steps, CPU time and memory up to 10,000
 * steps, sound and with a mistake in every step: `npm run bench -- check`.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const command = join(import.meta.dirname, '..', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'hardcase-bench-'));

/** CPU time, so that a busy machine changes it less than the time on the wall. */
interface Cost {
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly megabytes: number;
}

const tellUsage =
  'data:text/javascript,' +
  encodeURIComponent(
    "import { writeSync } from 'node:fs'; process.on('exit', () => writeSync(3, JSON.stringify(process.resourceUsage())));",
  );

async function costOf(words: readonly string[]): Promise<Cost> {
  const started = performance.now();
  const child = spawn(process.execPath, ['--import', tellUsage, ...words], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
  });
  let usage = '';
  child.stdio[3]!.on('data', (text) => {
    usage += String(text);
  });
  await new Promise((resolve) => child.on('close', resolve));
  const { userCPUTime, systemCPUTime, maxRSS } = JSON.parse(usage) as NodeJS.ResourceUsage;
  return {
    cpuMs: (userCPUTime + systemCPUTime) / 1000,
    wallMs: performance.now() - started,
    megabytes: maxRSS / 1000,
  };
}

/** Of several runs the one with the least CPU time: what disturbs only adds. */
async function least(times: number, words: readonly string[]): Promise<Cost> {
  const costs: Cost[] = [];
  for (let i = 0; i < times; i++) costs.push(await costOf(words));
  return costs.reduce((best, cost) => (cost.cpuMs < best.cpuMs ? cost : best));
}

/** A chain of trainings with an expression or two in each. `broken`: each names an output that is not there. */
function pipelineOf(steps: number, broken: boolean): string {
  const output = broken ? 'modle' : 'model';
  const lines = [
    'name: generated',
    'params: { epochs: { type: integer, default: 3 } }',
    'steps:',
    '  data: { uses: synthesize }',
    '  s1: { uses: train, with: { dataset: "${{ steps.data.dataset }}", epochs: "${{ params.epochs }}" } }',
  ];
  for (let i = 2; i < steps; i++) {
    lines.push(
      `  s${i}:`,
      '    uses: train',
      `    with: { init: "\${{ steps.s${i - 1}.${output} }}", dataset: "\${{ steps.data.dataset }}", epochs: 3 }`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function fileOf(steps: number, broken = false): string {
  const file = join(folder, `${steps}${broken ? '-broken' : ''}.yaml`);
  writeFileSync(file, pipelineOf(steps, broken));
  return file;
}

const row = (name: string, { cpuMs, wallMs, megabytes }: Cost): void =>
  console.log(
    `${name.padEnd(28)} ${cpuMs.toFixed(0).padStart(7)} ${wallMs.toFixed(0).padStart(8)} ${megabytes.toFixed(0).padStart(6)}`,
  );

console.log('                              CPU ms  wall ms     MB');
const empty = await least(10, ['-e', '0']);
row('Node alone', empty);
const small = await least(10, [command, 'check', fileOf(50)]);
row('50 steps', small);
for (const broken of [false, true]) {
  for (const steps of [1_250, 2_500, 5_000, 10_000]) {
    row(`${steps} steps${broken ? ', each wrong' : ''}`, await least(2, [command, 'check', fileOf(steps, broken)]));
  }
}
console.log(`\n50 steps beyond Node's own start: ${(small.cpuMs - empty.cpuMs).toFixed(0)} ms of CPU time.`);
rmSync(folder, { recursive: true, force: true });
