/** Forks on a real Temporal server: what is reused, what runs anew, and why. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readRun } from '../../artifacts/run-record.ts';
import { explainStep } from '../../cli/why.ts';
import { forkScope } from '../../plan/fork.ts';
import { parsePath } from '../../plan/paths.ts';
import type { PlannedScope } from '../../plan/types.ts';
import { openRig, type Rig } from '../rig.ts';
import { activity, cel, fanOut, repeat, search } from '../small-plans.ts';

let rig: Rig;
const ran: string[] = [];
const ranIn = (run: string) => ran.filter((entry) => entry.startsWith(`${run} `)).map((entry) => entry.split(' ')[1]);
const note = async ({ run, path }: StepContext, { value, add = 0 }: { value?: number; add?: number }) => {
  ran.push(`${run} ${path}`);
  return { value: (value ?? 0) + add };
};

beforeAll(async () => {
  rig = await openRig();
  await rig.startWorker({
    note,
    'capacity-trial': async ({ run, path }: StepContext) => {
      ran.push(`${run} ${path}`);
      return { AP: 1 };
    },
    'choose-capacity': async () => ({ AP: 1 }),
  });
});
afterAll(() => rig?.close());

/** a ── loop of two steps, three rounds ── z; b beside. */
const scope = (add: number): PlannedScope => ({
  steps: [
    activity('a', 'note', { with: { value: 1, add } }),
    activity('b', 'note', { with: { value: 2, add } }),
    repeat(
      'loop',
      [
        activity('first', 'note', { with: { value: cel('carry.value'), add } }),
        activity('second', 'note', { needs: ['first'], with: { value: cel('steps.first.value'), add } }),
      ],
      { needs: ['a'], max: 3, carry: { value: cel('steps.a.value') }, next: { value: cel('steps.second.value') } },
    ),
    activity('z', 'note', { needs: ['loop'], with: { value: cel('steps.loop.last.value') } }),
  ],
});

const fork = (run: string, from: string, add: number, salt: string) =>
  rig.startRun(run, forkScope(scope(0), scope(add), parsePath(from)!, salt));

test('a fork inside a round reuses what came before and runs the rest anew, with the new params', async () => {
  await (await rig.startRun('origin', scope(0))).result();
  await (await fork('inside', 'loop[2].second', 5, 'salt1')).result();
  expect(ranIn('inside')).toEqual(['loop[2].second', 'loop[3].first', 'loop[3].second', 'z']);
  const reused = (await rig.states('inside')).filter((state) => state.endsWith('(reused)'));
  expect(reused).toEqual(
    ['a', 'b', 'loop[1].first', 'loop[1].second', 'loop[2].first'].map((path) => `${path}: done (reused)`),
  );
  expect((await rig.step('inside', 'z'))?.outputs).toEqual({ value: 1 + 5 + 5 + 5 });

  const why = async (step: string) => explainStep(rig.store, (await readRun(rig.store, 'inside'))!.header, step);
  expect(await why('loop[2].first')).toMatchObject({ reused: true, madeBy: { run: 'origin', step: 'loop[2].first' } });
  expect(await why('loop[2].second')).toMatchObject({
    reused: false,
    nearest: { run: 'origin', step: 'loop[2].second' },
    changes: [{ what: 'parameter', name: 'add', was: 0, is: 5 }],
  });
  await expect(why('loop[2].secnd')).rejects.toThrow(/has no step "loop\[2\].secnd" that began. Did you mean "loop\[/);
});

test('a fork runs its step anew also where nothing changed, once, and leaves a result that others may reuse', async () => {
  await (await fork('same', 'b', 0, 'salt2')).result();
  expect(ranIn('same')).toEqual(['b']);
  // The same run again, after it was cancelled say, finds its own result.
  await (await fork('again', 'b', 0, 'salt2')).result();
  expect(ranIn('again')).toEqual([]);

  await (await fork('new-work', 'b', 9, 'salt3')).result();
  const plain = { steps: [activity('b', 'note', { with: { value: 2, add: 9 } })] };
  await (await rig.startRun('plain', plain)).result();
  expect(await rig.states('plain')).toEqual(['b: done (reused)']);
});

test('a search that a fork runs anew makes each of its trials anew', async () => {
  const searching = {
    steps: [search('capacity', { with: { depth: [1], width: [1, 2], imageSize: [64], anchors: [3] } })],
  };
  await (await rig.startRun('searched', searching)).result();
  const forked = forkScope(searching, searching, parsePath('capacity')!, 'salt4');
  await (await rig.startRun('searched-anew', forked)).result();
  expect(ranIn('searched-anew').sort()).toEqual(ranIn('searched').sort());
  expect(ranIn('searched')).toHaveLength(2);
});

test('a fork of a fork in another leg finds what the first one made in its leg', async () => {
  const tune = (add: number): PlannedScope => {
    const legs = { matrix: [1, 2, 3].map((size) => ({ name: `size=${size}`, values: { size } })) };
    const value = cel('steps.first.value');
    const steps = [
      activity('first', 'note', { with: { value: cel('matrix.size'), add: 100 } }),
      activity('second', 'note', { needs: ['first'], with: { value, add } }),
    ];
    return { steps: [fanOut('tune', steps, { legs, outputs: { value: cel('steps.second.value') } })] };
  };
  const first = forkScope(tune(0), tune(5), parsePath('tune[size=1].second')!, 'leg1');
  const second = forkScope(first, tune(7), parsePath('tune[size=2].second')!, 'leg2');
  await (await rig.startRun('legs', tune(0))).result();
  await (await rig.startRun('legs-fork', first)).result();
  await (await rig.startRun('legs-fork-2', second)).result();
  expect(ranIn('legs-fork')).toEqual(['tune[size=1].second']);
  expect(ranIn('legs-fork-2')).toEqual(['tune[size=2].second']);
  const made = [1, 2, 3].map(async (size) => (await rig.step('legs-fork-2', `tune[size=${size}].second`))?.outputs);
  expect(await Promise.all(made)).toEqual([{ value: 106 }, { value: 109 }, { value: 103 }]);
});
