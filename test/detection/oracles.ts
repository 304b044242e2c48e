/** Where the oracle files lie: beside the checkout, never in it. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const oraclesFolder = fileURLToPath(new URL('../../../shared/oracles/', import.meta.url));
export const dataFolder = fileURLToPath(new URL('../../../shared/data/', import.meta.url));

export const hasOracles = announce(oraclesFolder);
export const hasData = announce(dataFolder);

function announce(folder: string): boolean {
  const there = existsSync(folder);
  if (!there) console.warn(`${folder} is absent: tests that read it are skipped.`);
  return there;
}
