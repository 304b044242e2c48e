/** `npm run bench -- NAME [ARGUMENT]…`: runs one benchmark, each a file of this folder; without a name, lists them. */

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.js') && file !== 'main.js')
  .map((file) => file.slice(0, -'.js'.length))
  .sort();

const [name, ...words] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  if (name !== undefined) console.error(`There is no benchmark "${name}".`);
  console.error(`Benchmarks: ${names.join(', ')}. Run one with: npm run bench -- NAME`);
  process.exitCode = 2;
} else {
  const child = spawnSync(process.execPath, [join(import.meta.dirname, `${name}.js`), ...words], { stdio: 'inherit' });
  process.exitCode = child.status ?? 1;
}
