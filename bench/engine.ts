/**
 * What the interpreter costs: the same steps, which do nothing, interpreted, compiled and written by hand, in paired runs on one
 * server; and how many finished steps a second are found again: `npm run bench -- engine [--pairs 5] [--only parallel]
 * [--append]`.
 */

import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openService, root, type Service } from './engine/service.ts';
import { parallel, rounds, type Shape, sequential } from './engine/shapes.ts';
import { appendToFile, conditions } from './proof/append-section.ts';
import { markdownTable } from './proof/tables.ts';

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '5' },
    only: { type: 'string' },
    small: { type: 'boolean' },
    append: { type: 'boolean' },
  },
});
const pairs = Number(values.pairs);
const small = values.small === true;

const all = small ? [sequential(20), parallel(50), rounds(5, 4)] : [sequential(200), parallel(500), rounds(50, 4)];
const shapes = all.filter(({ name }) => values.only === undefined || name === values.only);

let seed = 1;

interface Times {
  /** ms from the call to the result. */
  readonly wall: readonly number[];
  /** ms of CPU time of the process with client and worker. */
  readonly cpu: readonly number[];
}

/** Times of each contestant in each pair, which takes turns in who begins. */
async function measure(service: Service, shape: Shape): Promise<{ readonly [contestant: string]: Times }> {
  const each = shape.name === 'rounds' ? 4 : 1;
  const contestants = [
    { name: 'interpreted', type: shape.name },
    { name: 'compiled', type: `${shape.name}Compiled` },
    { name: 'by hand', type: `${shape.name}ByHand` },
  ];
  const found = Object.fromEntries(
    contestants.map(({ name }) => [name, { wall: [] as number[], cpu: [] as number[] }]),
  );
  // The first pair warms caches and is not counted.
  for (let pair = 0; pair <= pairs; pair++) {
    for (const { name, type } of [...contestants.slice(pair % 3), ...contestants.slice(0, pair % 3)]) {
      const run = runName(shape, name, pair);
      const before = process.cpuUsage();
      const wall = await service.run(shape, type, run, seed++, { count: shape.steps / each, each });
      const { user, system } = process.cpuUsage(before);
      if (pair === 0) continue;
      found[name]!.wall.push(wall);
      found[name]!.cpu.push((user + system) / 1_000);
    }
  }
  return found;
}

const runName = (shape: Shape, contestant: string, pair: number) =>
  `${shape.name}-${contestant.replace(' ', '-')}-${pair}`;

const median = (numbers: readonly number[]): number => {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

const service = await openService(shapes);
try {
  const rows: string[][] = [];
  const counts: string[][] = [];
  for (const shape of shapes) {
    const found = await measure(service, shape);
    const ratioTo = (name: string) =>
      median(found.interpreted!.wall.map((ms, pair) => ms / found[name]!.wall[pair]!)).toFixed(2);
    const msOf = (times: readonly number[]) => `${Math.round(median(times)).toLocaleString('en')} ms`;
    const ms = (name: string) => msOf(found[name]!.wall);
    for (const name of Object.keys(found)) {
      const { workflows, tasks, activities, events } = await service.counts(runName(shape, name, pairs));
      const cpu = msOf(found[name]!.cpu);
      counts.push([shape.about, name, cpu, `${workflows}`, `${tasks}`, `${activities}`, `${events}`]);
    }
    rows.push([shape.about, ms('interpreted'), ms('compiled'), ms('by hand'), ratioTo('compiled'), ratioTo('by hand')]);
    console.log(rows.at(-1)!.join('  '));
  }
  // The same seed again under another run's name: every step is there already.
  const reused: string[][] = [];
  for (const shape of shapes) {
    const own = seed++;
    await service.run(shape, shape.name, `${shape.name}-first`, own);
    const times: number[] = [];
    for (let i = 0; i < pairs; i++) times.push(await service.run(shape, shape.name, `${shape.name}-again-${i}`, own));
    const ms = median(times);
    reused.push([
      shape.about,
      `${Math.round(ms).toLocaleString('en')} ms`,
      `${Math.round((1_000 * shape.steps) / ms)}`,
    ]);
    console.log(reused.at(-1)!.join('  '));
  }
  const load = loadavg()
    .map((value) => value.toFixed(1))
    .join(', ');
  const text = [
    `${conditions()}, load ${load}. Medians of ${pairs} runs each, and of the ratios of runs that belong together.`,
    markdownTable(
      [
        'steps that do nothing',
        'interpreted',
        'compiled',
        'by hand',
        'interpreted / compiled',
        'interpreted / by hand',
      ],
      rows,
    ),
    markdownTable(
      [
        'counts of the last run',
        'as',
        'CPU of client and worker',
        'workflows',
        'workflow tasks',
        'activities',
        'events',
      ],
      counts,
    ),
    markdownTable(['a second run of the same', 'time', 'steps a second'], reused),
  ].join('\n\n');
  console.log(`\n${text}`);
  if (values.append) appendToFile(join(root, 'docs/benchmarks.md'), 'The engine', text);
} finally {
  await service.close();
}
