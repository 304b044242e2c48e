/** `matrix`, `forEach`, `pipeline`, and what a loop can do beside its rounds, on a real Temporal server. */

import { describe, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readRun } from '../../artifacts/run-record.ts';
import { eventsOfStep, partsOfScope } from '../../plan/step-events.ts';
import type { FanOutStep, PipelineStep, PlannedStep } from '../../plan/types.ts';
import { retryName, workflowIdOf } from '../../workflows/messages.ts';
import { eventually } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, cel, fanOut, repeat, search } from '../small-plans.ts';

let broken = new Set<string>();
/** Legs at work now, and the most there were, by run. */
const working = new Map<string, number>();
const mostWorking = new Map<string, number>();

const steps = {
  note: async ({ run, path }: StepContext, { value }: { value?: unknown }) => {
    const now = (working.get(run) ?? 0) + 1;
    working.set(run, now);
    mostWorking.set(run, Math.max(now, mostWorking.get(run) ?? 0));
    await new Promise((resolve) => setTimeout(resolve, 5));
    working.set(run, working.get(run)! - 1);
    if (broken.has(`${run} ${path}`)) throw new Error('The disk said no.');
    return { value: value ?? 0 };
  },
  'capacity-trial': async (_: StepContext, { depth }: { depth: number }) => ({ AP: depth }),
  'choose-capacity': async (_: StepContext, { trials }: { trials: { AP: number }[] }) => ({ AP: trials[0]!.AP }),
};

const eventsOf = (steps: readonly PlannedStep[]) => steps.reduce((sum, step) => sum + eventsOfStep(step), 0);
const retry = { max: 1, initialMs: 20, factor: 1, maxMs: 20 };
const note = (changes = {}) => activity('', 'note', { with: { value: cel('item') }, retry, ...changes });
const allOf = (id: string) => activity('all', 'note', { needs: [id], with: { value: cel(`steps.${id}.all`) } });
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

const rig = rigOfFile(steps);

async function run(name: string, fan: FanOutStep): Promise<unknown> {
  await (await rig.startRun(name, { steps: [fan, allOf(fan.id)] })).result();
  return (await rig.step(name, 'all'))?.outputs?.value;
}

describe('forEach', () => {
  test('runs a leg for each entry, and gives their outputs with entry and index', async () => {
    const legs = { forEach: ['a', 'b'] };
    expect(await run('each', fanOut('sites', [note()], { legs }))).toEqual([
      { item: 'a', index: 1, value: 'a' },
      { item: 'b', index: 2, value: 'b' },
    ]);
    expect(await rig.states('each')).toEqual(['all: done', 'sites: done', 'sites[1]: done', 'sites[2]: done']);
    expect((await rig.step('each', 'sites'))?.kind).toBe('forEach');
  });

  test('over an empty list runs nothing', async () => {
    expect(await run('none', fanOut('sites', [note()]))).toEqual([]);
    expect((await rig.step('none', 'sites'))?.outputs).toEqual({ legs: 0 });
  });

  test('over something else is held, and says what it was given', async () => {
    const handle = await rig.startRun('no-list', {
      steps: [
        activity('a', 'note', { with: { value: 7 } }),
        fanOut('sites', [note()], { needs: ['a'], legs: { forEach: cel('steps.a.value') } }),
      ],
    });
    await eventually(async () => (await rig.step('no-list', 'sites'))?.state === 'held');
    expect((await rig.step('no-list', 'sites'))?.error).toBe('forEach of "sites" is 7; expected a list.');
    await handle.terminate();
  });

  test('over too long a list is held, and says how long it may be', async () => {
    const handle = await rig.startRun('too-long', {
      steps: [fanOut('sites', [note()], { legs: { forEach: numbers(5_001) } })],
    });
    await eventually(async () => (await rig.step('too-long', 'sites'))?.state === 'held');
    expect((await rig.step('too-long', 'sites'))?.error).toBe(
      'forEach of "sites" has 5001 entries; at most 5000 legs are possible. Let each leg take several entries.',
    );
    await handle.terminate();
  });

  test('leaves out legs whose condition does not hold', async () => {
    const legs = { forEach: numbers(4) };
    const all = await run('odd', fanOut('sites', [note()], { legs, legWhen: 'item % 2 == 1' }));
    expect(all).toEqual([
      { item: 1, index: 2, value: 1 },
      { item: 3, index: 4, value: 3 },
    ]);
    expect((await rig.step('odd', 'sites[1]'))?.state).toBe('skipped');
  });

  test('with several steps gives the outputs that it names, as far as they are there', async () => {
    const inner = [
      activity('twice', 'note', { with: { value: cel('item * 2') } }),
      activity('rare', 'note', {
        needs: ['twice'],
        when: 'steps.twice.value > 2',
        with: { value: cel('steps.twice.value') },
      }),
    ];
    const outputs = { twice: cel('steps.twice.value'), rare: cel('steps.rare.value') };
    expect(await run('graph', fanOut('sites', inner, { legs: { forEach: [1, 2] }, outputs }))).toEqual([
      { item: 1, index: 1, twice: 2 },
      { item: 2, index: 2, twice: 4, rare: 4 },
    ]);
    expect((await rig.step('graph', 'sites[2].rare'))?.state).toBe('done');
    expect((await rig.step('graph', 'sites[1].rare'))?.state).toBe('skipped');
  });
});

describe('a matrix', () => {
  test('names each leg by its values', async () => {
    const matrix = [
      { name: 'depth=0.5,width=1', values: { depth: 0.5, width: 1 } },
      { name: 'depth=1,width=1', values: { depth: 1, width: 1 } },
    ];
    const step = activity('', 'note', { with: { value: cel('matrix.depth + matrix.width') } });
    expect(await run('grid', fanOut('tune', [step], { legs: { matrix } }))).toEqual([
      { matrix: { depth: 0.5, width: 1 }, value: 1.5 },
      { matrix: { depth: 1, width: 1 }, value: 2 },
    ]);
    expect((await rig.step('grid', 'tune[depth=0.5,width=1]'))?.state).toBe('done');
  });

  test('runs a capacity search in each leg', async () => {
    const matrix = [{ name: 'depth=0.5', values: { depth: 0.5 } }];
    const step = search('', {
      with: { dataset: 'd', depth: cel('[matrix.depth]'), width: [1], choose: 'best', epochs: 1 },
    });
    expect(await run('search', fanOut('tune', [step], { legs: { matrix } }))).toEqual([
      { matrix: { depth: 0.5 }, AP: 0.5 },
    ]);
    expect((await rig.step('search', 'tune[depth=0.5].choose'))?.state).toBe('done');
  });

  test('in a loop in a forEach sees all that is around it', async () => {
    const matrix = [
      { name: 'k=1', values: { k: 1 } },
      { name: 'k=2', values: { k: 2 } },
    ];
    const value = cel('item * 100 + round.index * 10 + matrix.k');
    const tune = fanOut('tune', [activity('', 'note', { with: { value } })], { legs: { matrix } });
    const rounds = repeat('rounds', [tune], { max: 2, next: { values: cel('steps.tune.all.map(leg, leg.value)') } });
    const outputs = { values: cel('steps.rounds.all.map(r, r.values)') };
    const all = await run('nested', fanOut('folds', [rounds], { legs: { forEach: [1, 2] }, outputs }));
    expect(all).toEqual([
      {
        item: 1,
        index: 1,
        values: [
          [111, 112],
          [121, 122],
        ],
      },
      {
        item: 2,
        index: 2,
        values: [
          [211, 212],
          [221, 222],
        ],
      },
    ]);
    expect((await rig.step('nested', 'folds[2].rounds[1].tune[k=2]'))?.outputs?.value).toBe(212);
  });
});

test('many legs share few slots over several batches, and go on while one is held', async () => {
  broken = new Set(['held sites[2]']);
  // Values that no other test has, so that nothing is reused.
  const items = numbers(11).map((number) => 1_000 + number);
  const fan = fanOut('sites', [note()], { legs: { forEach: items }, perBatch: 4, concurrency: 2 });
  const handle = await rig.startRun('held', { steps: [fan, allOf('sites')] });
  // For a moment before the last batch begins nothing runs either.
  await eventually(
    async () =>
      (await rig.step('held', 'sites[11]'))?.state === 'done' &&
      (await readRun(rig.store, 'held'))?.state.state === 'held',
    60_000,
  );
  expect((await rig.step('held', 'sites[2]'))?.state).toBe('held');
  expect(mostWorking.get('held')).toBeLessThanOrEqual(2);
  const batches = ['sites[1..4]', 'sites[5..8]', 'sites[9..11]'].map((path) =>
    rig.client.workflow.getHandle(workflowIdOf('held', path)).describe(),
  );
  expect((await Promise.all(batches)).map(({ status }) => status.name)).toEqual(['RUNNING', 'COMPLETED', 'COMPLETED']);

  broken = new Set();
  const retried = await handle.executeUpdate(retryName, { args: [{ by: 'Ann', path: 'sites[2]' }] });
  expect(retried).toMatchObject({ steps: ['sites[2]'] });
  await handle.result();
  const all = (await rig.step('held', 'all'))?.outputs?.value as { item: number }[];
  expect(all.map(({ item }) => item)).toEqual(items);
});

describe('steps of another file', () => {
  const inner: PipelineStep = {
    type: 'pipeline',
    id: 'fit',
    needs: ['a'],
    pipeline: 'fit',
    params: { start: cel('steps.a.value') },
    scope: {
      steps: [
        // The name of an outer step, which is not seen here.
        activity('a', 'note', { with: { value: cel('params.start + 1') } }),
        activity('b', 'note', { needs: ['a'], with: { value: cel('steps.a.value * 10') } }),
        activity('rare', 'note', { needs: ['b'], when: 'steps.b.value < 0' }),
      ],
    },
    outputs: { value: cel('steps.b.value'), rare: cel('steps.rare.value') },
  };

  test('see its params, and give its outputs as far as they are there', async () => {
    const handle = await rig.startRun('import', {
      steps: [
        activity('a', 'note', { with: { value: 71 } }),
        inner,
        activity('all', 'note', { needs: ['fit'], with: { value: cel('steps.fit') } }),
      ],
    });
    await handle.result();
    expect((await rig.step('import', 'all'))?.outputs?.value).toEqual({ value: 720 });
    expect(await rig.states('import')).toEqual([
      'a: done',
      'all: done',
      'fit.a: done',
      'fit.b: done',
      'fit.rare: skipped',
      'fit: done',
    ]);
  });

  test('run in a leg of their own', async () => {
    const fan = fanOut('fits', [{ ...inner, id: '', needs: [], params: { start: cel('item') } }], {
      legs: { forEach: [81, 82] },
    });
    expect(await run('imports', fan)).toEqual([
      { item: 81, index: 1, value: 820 },
      { item: 82, index: 2, value: 830 },
    ]);
    expect((await rig.step('imports', 'fits[2].b'))?.state).toBe('done');
    expect((await rig.step('imports', 'fits[2]'))?.kind).toBe('pipeline');
  });
});

describe('a loop', () => {
  const loop = (changes: Parameters<typeof repeat>[2], value = cel('round.index')) =>
    repeat('rounds', [activity('a', 'note', { with: { value } })], {
      max: 9,
      next: { value: cel('steps.a.value') },
      ...changes,
    });
  const endOf = async (name: string, changes: Parameters<typeof repeat>[2], value?: Parameters<typeof loop>[1]) => {
    await (await rig.startRun(name, { steps: [loop(changes, value)] })).result();
    return (await rig.step(name, 'rounds'))?.outputs;
  };

  test('ends where its metric has not become better for some rounds, and knows the best', async () => {
    const plateau = { metric: 'steps.a.value', patience: 2, minDelta: 0.5, mode: 'max' } as const;
    expect(await endOf('plateau', { plateau }, cel('[1, 3, 3.4, 2, 9][round.index - 1]'))).toEqual({
      ended: 'plateau',
      reason: 'For 2 rounds nothing was better by at least 0.5 than 3 in round 2.',
      rounds: 4,
      last: { value: 2 },
      best: { value: 3 },
      bestRound: 2,
    });
  });

  test('takes small values for better where it is told to, and passes over rounds without a metric', async () => {
    const plateau = { metric: 'carry.no', patience: 1, minDelta: 0, mode: 'min' } as const;
    expect(await endOf('no-metric', { plateau, max: 2 })).toMatchObject({ ended: 'max', rounds: 2 });
    const loss = { ...plateau, metric: 'steps.a.value' };
    const outputs = await endOf('loss', { plateau: loss }, cel('[5, 4, 4][round.index - 1]'));
    expect(outputs).toMatchObject({ ended: 'plateau', bestRound: 2, rounds: 3 });
  });

  test('begins no round after its budget of wall time', async () => {
    expect(await endOf('budget', { budgetMs: 1 })).toMatchObject({
      ended: 'budget',
      reason: '1 ms were up before round 2.',
      rounds: 1,
    });
  });

  test('sees what the round before handed on', async () => {
    const value = cel('has(round.previous.value) ? round.previous.value * 10 + round.index : 1');
    expect(await endOf('previous', { max: 3 }, value)).toMatchObject({ last: { value: 123 } });
  });

  test('of many rounds has them in batches, over which it goes on as if there were none', async () => {
    const many = repeat('rounds', [], {
      max: 50,
      perBatch: 4,
      carry: { sum: 0 },
      next: { sum: cel('carry.sum + round.index') },
      plateau: { metric: '[1, 1, 1, 2, 0, 0, 0, 0, 0][round.index - 1]', patience: 4, minDelta: 0, mode: 'max' },
      until: 'has(round.previous.sum) && round.previous.sum + round.index == 91',
    });
    await (await rig.startRun('many-rounds', { steps: [many] })).result();
    expect((await rig.step('many-rounds', 'rounds'))?.outputs).toMatchObject({
      ended: 'plateau',
      rounds: 8,
      last: { sum: 36 },
      best: { sum: 10 },
    });
    const batch = await rig.client.workflow.getHandle(workflowIdOf('many-rounds', 'rounds[5..8]')).describe();
    expect(batch.type).toBe('test-pipeline.rounds');
  });
});

test('a scope in parts runs as if it had none, and no history is longer than its bound', async () => {
  const value = (source: string) => ({ with: { value: cel(source) } });
  const steps = [
    activity('a', 'note', { with: { value: 61 } }),
    activity('b', 'note', { needs: ['a'], ...value('steps.a.value + 1') }),
    fanOut('legs', [activity('', 'note', value('item'))], { legs: { forEach: [63, 64, 65] }, concurrency: 2 }),
    activity('c', 'note', { needs: ['a', 'b'], ...value('steps.a.value + steps.b.value') }),
    repeat('rounds', [activity('d', 'note', value('round.index + 65'))], {
      max: 2,
      next: { value: cel('steps.d.value') },
    }),
    activity('skipped', 'note', { needs: ['b'], when: 'steps.b.value > 100' }),
    activity('all', 'note', {
      needs: ['c', 'legs', 'rounds'],
      ...value('[steps.c.value, steps.legs.legs, steps.rounds.rounds]'),
    }),
  ];
  const root = { steps, parts: [0, 2, 5] };
  await (await rig.startRun('parts', root)).result();
  expect((await rig.step('parts', 'all'))?.outputs?.value).toEqual([123, 3, 2]);
  expect((await rig.step('parts', 'skipped'))?.state).toBe('skipped');

  // What a workflow begins and ends with, and for the root what opens and closes a run.
  const bounds = [60, 5, 5, 5].map((own, at) => own + (at === 0 ? 3 * 17 : eventsOf(partsOfScope(root)[at - 1]!)));
  const paths = ['', '#1', '#2', '#3'];
  const lengths = await Promise.all(
    paths.map((path) => rig.client.workflow.getHandle(workflowIdOf('parts', path)).describe()),
  );
  const tooLong = lengths.flatMap(({ historyLength }, at) =>
    historyLength > bounds[at]! ? [`${paths[at]}: ${historyLength} of ${bounds[at]}`] : [],
  );
  expect(tooLong).toEqual([]);
});
