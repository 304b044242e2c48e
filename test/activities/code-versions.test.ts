/**
 * The code version of a step kind is part of every fingerprint: a result is reused where it is the same. So whoever changes code
 * that a kind's activity runs must say whether its results may differ.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';
import { expect, test } from 'vitest';
import { rowOf } from '../../activities/step-identity.ts';
import { stepImplementations } from '../../activities/step-implementations.ts';
import { sha256Hex } from '../../artifacts/digest.ts';

const root = join(import.meta.dirname, '..', '..');
const file = join(import.meta.dirname, 'code-versions.json');

interface Recorded {
  readonly [activity: string]: { readonly version: number; readonly code: string };
}

const activities = [...Object.keys(stepImplementations), 'review-labels'].sort();

/** What an activity runs in other threads and processes: started by the names of their files, not imported. */
const startedApart = ['activities/prefetch-thread.ts', 'detection/model/trace-process.ts'];
const training = ['train', 'capacity-rung', 'capacity-trial'];

/** Digest of all of our code behind an activity, without its comments, its types and the names within it. */
async function codeOf(activity: string): Promise<string> {
  const entries = [`activities/${activity}.ts`, ...(training.includes(activity) ? startedApart : [])];
  const bundle = await rolldown({
    input: entries.map((entry) => join(root, entry)),
    external: (id) => !id.startsWith('.') && !id.startsWith(root),
    platform: 'node',
  });
  const { output } = await bundle.generate({
    format: 'esm',
    minify: true,
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
  });
  await bundle.close();
  const parts = output.map((part) => (part.type === 'chunk' ? `${part.fileName}\n${part.code}` : part.fileName));
  return sha256Hex(parts.sort().join('\n')).slice(0, 16);
}

test('changed code has a raised version, or was marked as harmless', async () => {
  const now: { [activity: string]: { version: number; code: string } } = {};
  for (const activity of activities)
    now[activity] = { version: rowOf(activity)!.version, code: await codeOf(activity) };
  if (process.env.HARDCASE_RECORD === '1') writeFileSync(file, `${JSON.stringify(now, null, 2)}\n`);

  const recorded = JSON.parse(readFileSync(file, 'utf8')) as Recorded;
  const changed = activities.filter((activity) => recorded[activity]?.code !== now[activity]!.code);
  expect(
    changed,
    "The code behind these activities has changed. Where their results may differ, raise the kind's version in " +
      'plan/step-kinds.ts: else old results would be reused for the new code. Then run "npm run code-versions", which records ' +
      'the code as it is: with a version that was not raised, that marks the change as harmless.',
  ).toEqual([]);
  expect(recorded).toEqual(now);
});

test('a change of a comment or a type is none of the code', async () => {
  const code = async (text: string) => {
    const bundle = await rolldown({
      input: 'entry',
      plugins: [{ name: 'text', resolveId: (id) => id, load: () => ({ code: text, moduleType: 'ts' }) }],
    });
    const { output } = await bundle.generate({ format: 'esm', minify: true });
    await bundle.close();
    return output[0].code;
  };
  const before = await code('export const area = (w: number, h: number) => w * h;');
  expect(await code('/** Pixels. */\nexport const area = (wide: number, high: number): number => wide * high;')).toBe(
    before,
  );
  expect(await code('export const area = (w: number, h: number) => w * h + 1;')).not.toBe(before);
});
