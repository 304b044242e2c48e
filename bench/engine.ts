/**
 * What the interpreter costs: the same steps, which do nothing, interpreted, compiled and written by hand, in paired runs on one
 * server; and how many finished steps a second are found again: `npm run bench -- engine [--pairs 5] [--append]`.
 */

import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openService, root, type Service } from './engine/service.ts';
import { parallel, rounds, type Shape, sequential } from './engine/shapes.ts';
import { appendToFile, conditions } from './proof/append-section.ts';
import { markdownTable } from './proof/tables.ts';

const { values } = parseArgs({
  options: { pairs: { type: 'string', default: '5' }, small: { type: 'boolean' }, append: { type: 'boolean' } },
});
const pairs = Number(values.pairs);
const small = values.small === true;

const shapes = small ? [sequential(20), parallel(50), rounds(5, 4)] : [sequential(200), parallel(500), rounds(50, 4)];

let seed = 1;

/** ms of each contestant in each pair, which takes turns in who begins. */
async function measure(service: Service, shape: Shape): Promise<{ readonly [contestant: string]: readonly number[] }> {
  const each = shape.name === 'rounds' ? 4 : 1;
  const contestants = [
    { name: 'interpreted', type: shape.name },
    { name: 'compiled', type: `${shape.name}Compiled` },
    { name: 'by hand', type: `${shape.name}ByHand` },
  ];
  const found: { [contestant: string]: number[] } = { interpreted: [], compiled: [], 'by hand': [] };
  // The first pair warms caches and is not counted.
  for (let pair = 0; pair <= pairs; pair++) {
    for (const { name, type } of [...contestants.slice(pair % 3), ...contestants.slice(0, pair % 3)]) {
      const run = runName(shape, name, pair);
      const ms = await service.run(shape, type, run, seed++, { count: shape.steps / each, each });
      if (pair > 0) found[name]!.push(ms);
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
    const ratioTo = (name: string) => median(found.interpreted!.map((ms, pair) => ms / found[name]![pair]!)).toFixed(2);
    const ms = (name: string) => `${Math.round(median(found[name]!)).toLocaleString('en')} ms`;
    for (const name of Object.keys(found)) {
      const { workflows, tasks, activities, events } = await service.counts(runName(shape, name, pairs));
      counts.push([shape.about, name, `${workflows}`, `${tasks}`, `${activities}`, `${events}`]);
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
    markdownTable(['the last run of each', 'as', 'workflows', 'workflow tasks', 'activities', 'events'], counts),
    markdownTable(['a second run of the same', 'time', 'steps a second'], reused),
  ].join('\n\n');
  console.log(`\n${text}`);
  if (values.append) appendToFile(join(root, 'docs/benchmarks.md'), 'The engine', text);
} finally {
  await service.close();
}
