/** Memory of a worker's process over thousands of workflows: `npm run bench -- engine-memory [--workflows 10000]`. */

import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openService } from './engine/service.ts';
import { sequential } from './engine/shapes.ts';
import { conditions } from './proof/append-section.ts';

const { values } = parseArgs({ options: { workflows: { type: 'string', default: '10000' } } });
const count = Number(values.workflows);
const atOnce = 20;
const looks = 10;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const megabytes = () => {
  collect();
  const { rss, heapUsed } = process.memoryUsage();
  return { rss: rss / 2 ** 20, heap: heapUsed / 2 ** 20 };
};

const shape = sequential(1);
const service = await openService([shape]);
try {
  console.log(conditions());
  console.log('workflows  resident MB  heap MB');
  const seen: { rss: number; heap: number }[] = [];
  let next = 0;
  for (let look = 1; look <= looks; look++) {
    const upTo = Math.round((count * look) / looks);
    const run = async () => {
      while (next < upTo) {
        const number = next++;
        await service.run(shape, shape.name, `memory-${number}`, number);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, run));
    const now = megabytes();
    seen.push(now);
    console.log(`${String(upTo).padStart(9)}  ${now.rss.toFixed(0).padStart(11)}  ${now.heap.toFixed(0).padStart(7)}`);
  }
  // The first third fills caches of workflows and of compiled code.
  const settled = seen[Math.floor(looks / 3)]!;
  const last = seen.at(-1)!;
  console.log(
    `\nFrom ${Math.round((count * (Math.floor(looks / 3) + 1)) / looks)} to ${count} workflows: ${(last.rss - settled.rss).toFixed(0)} MB resident, ${(last.heap - settled.heap).toFixed(0)} MB heap.`,
  );
} finally {
  await service.close();
}
