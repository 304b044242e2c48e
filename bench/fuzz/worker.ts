/** Checks the cases of some seeds, one after the other; notes the seed before each, so that a death can be told from which. */

import { closeSync, openSync, writeSync } from 'node:fs';
import { checkCase } from './check-case.ts';
import { readCorpus } from './corpus.ts';
import { fuzzCase } from './mutate.ts';

const [root = '', from = '0', to = '0', noteFile = ''] = process.argv.slice(2);
const corpus = readCorpus(root);
const note = openSync(noteFile, 'w');
/** CPU time, so that a busy machine makes no case slow. */
const millisecondsMax = 1_500;

for (let seed = Number(from); seed <= Number(to); seed++) {
  writeSync(note, `${seed}`.padEnd(16), 0);
  const text = fuzzCase(seed, corpus);
  const before = process.cpuUsage();
  let failure: string | null = null;
  try {
    checkCase(text);
  } catch (error) {
    failure = error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ''}` : String(error);
  }
  const { user, system } = process.cpuUsage(before);
  const ms = (user + system) / 1000;
  if (failure === null && ms > millisecondsMax) failure = `${ms.toFixed(0)} ms of CPU time`;
  if (failure !== null) console.log(JSON.stringify({ seed, failure: failure.slice(0, 1200) }));
}
closeSync(note);
