/** Compiled workflows do what the interpreter does: the same calls with the same inputs, in the order of needs, and the same end. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canonicalJson } from '../../plan/canonical.ts';
import type { Json, PlannedScope } from '../../plan/types.ts';
import { type SimulatedRun, simulatePlan } from '../../simulate/run-plan.ts';
import type { ActivityCall } from '../../simulate/temporal.ts';
import {
  bundleCases,
  type CompiledCase,
  casesOf,
  compiledCases,
  formatErrorsIn,
  root,
  typeErrorsIn,
  writeCases,
} from './compiled-pipelines.ts';

/** What no shipped pipeline has: constructs in each other, names that TypeScript has for itself, values of any type. */
const nested = `
name: new
seed: 3
steps:
  class: { uses: synthesize, with: { images: 12 } }
  survey:
    activity: survey
    queue: other
    with: { dataset: "\${{ steps.class.dataset }}" }
    inputs: { dataset: dataset }
    outputs: { sites: any, share: number, label: any }
  sites:
    forEach: steps.survey.sites
    when: item.size > 1 && item.name != 'shed'
    concurrency: 2
    steps:
      carry: { uses: train, with: { dataset: "\${{ steps.class.dataset }}", epochs: "\${{ int(item.size) }}" } }
      loop:
        repeat:
          max: "\${{ index + 1 }}"
          until: steps.train.AP > 0.5
          carry: { model: "\${{ steps.carry.model }}" }
        steps:
          widths:
            matrix: { width: [0.125, 0.25], rate: [0.001] }
            when: matrix.width > 0.2 || round.index > 1
            uses: train
            with: { init: "\${{ carry.model }}", dataset: "\${{ steps.class.dataset }}", epochs: "\${{ matrix.width > 0.2 ? 2 : 1 }}" }
          train:
            uses: train
            when: round.index > 1 || size(steps.widths.all) > 0
            with:
              init: "\${{ size(steps.widths.all) > 0 ? steps.widths.all[0].model : carry.model }}"
              dataset: "\${{ steps.class.dataset }}"
              epochs: "\${{ has(round.previous.epochs) ? round.previous.epochs + 1 : 1 }}"
        next: { model: "\${{ steps.train.model }}", epochs: "\${{ round.index }}" }
      quick: { uses: detect, when: size(steps.loop.all) > 0, with: { model: "\${{ steps.loop.last.model }}", dataset: "\${{ steps.class.dataset }}" } }
    outputs: { model: "\${{ size(steps.loop.all) > 0 ? steps.loop.last.model : steps.carry.model }}", name: "\${{ item.name }}", made: "\${{ steps.quick.detections }}" }
  may:
    repeat: { max: 2, carry: { model: "\${{ steps.sites.all[0].model }}" } }
    onFailure: continue
    steps:
      fragile: { uses: train, onFailure: fail, with: { init: "\${{ carry.model }}", dataset: "\${{ steps.class.dataset }}" } }
    next: { model: "\${{ steps.fragile.model }}" }
  table:
    uses: evaluate
    with:
      models: "\${{ steps.sites.all.filter(s, s.name.startsWith('o')).map(s, s.model) + (has(steps.may.last.model) ? [steps.may.last.model] : []) }}"
      dataset: "\${{ steps.class.dataset }}"
  report:
    uses: report
    with: { tables: ["\${{ steps.table.metrics }}"], title: "\${{ steps.survey.label }} of \${{ size(steps.sites.all) }} sites: \${{ steps.survey.share * 100 }} %" }
finally:
  evidence: { uses: export, when: run.state == 'failed' || has(steps.may.last), with: { model: "\${{ steps.sites.all[0].model }}" } }
`;
const nestedTests = `
mocks:
  steps: { survey: { outputs: { sites: [{ name: orchard, size: 2 }, { name: shed, size: 4 }, { name: road, size: 3.5 }], share: 0.25, label: Survey } } }
tests:
  - { name: "nested: all is well", expect: { state: done } }
  - { name: "nested: a loop that fails is gone without", mocks: { steps: { "may[2].fragile": { fails: { message: Broken., type: BadData } } } }, expect: { state: done } }
  - { name: "nested: a step within a round of a leg is held, and goes on", mocks: { steps: { "sites[1].loop[2].train": { fails: { message: Full., times: 3 } } } }, retries: [{ step: "sites[1].loop[2].train", after: 1h }], expect: { state: done } }
  - { name: "nested: a step within a leg stays held", mocks: { steps: { "sites[3].carry": { fails: { message: Full. } } } }, expect: { state: held } }
  - { name: "nested: what makes no list of sites holds the step", mocks: { steps: { survey: { outputs: { sites: none } } } }, expect: { state: held } }
  - { name: "nested: no site is left", mocks: { steps: { survey: { outputs: { sites: [] } } } }, expect: { state: held } }
`;

/** Ends within ends: a part with a finally, in legs, in another part, and in the finally of the run. */
const lease = `
name: lease
params:
  dataset: { type: dataset }
  rate: { type: number, default: 0.01 }
  why: { type: string, default: none }
steps:
  model: { uses: train, onFailure: fail, with: { dataset: "\${{ params.dataset }}", learningRate: "\${{ params.rate }}" } }
  check: { pipeline: checked.yaml, with: { model: "\${{ steps.model.model }}", dataset: "\${{ params.dataset }}" } }
finally:
  more:
    repeat: { max: 2, carry: { model: "\${{ steps.model.model }}" } }
    when: run.state == 'done'
    steps:
      again: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ params.dataset }}" } }
    next: { model: "\${{ steps.again.model }}" }
  ok:
    approve:
      message: "\${{ params.why }}: \${{ run.state }}"
      form: { properties: { yes: { type: boolean } }, required: [yes] }
      after: { expire: { in: 2d, then: hold } }
  told:
    activity: tell
    queue: mail
    needs: [ok]
    with: { state: "\${{ run.state }}", error: "\${{ has(run.error) ? run.error : 'none' }}", ok: "\${{ has(steps.ok.yes) && steps.ok.yes }}" }
outputs: { model: "\${{ steps.model.model }}", AP: "\${{ steps.model.AP }}" }
`;
const checked = `
name: checked
params: { model: { type: model }, dataset: { type: dataset } }
steps:
  table: { uses: evaluate, with: { models: ["\${{ params.model }}"], dataset: "\${{ params.dataset }}" } }
finally:
  files: { uses: export, onFailure: continue, with: { model: "\${{ params.model }}" } }
`;
const ends = `
name: ends_within
steps:
  data: { uses: synthesize, with: { images: 12 } }
  leased:
    matrix: { rate: [0.01, 0.02] }
    pipeline: lease.yaml
    onFailure: continue
    with: { dataset: "\${{ steps.data.dataset }}", rate: "\${{ matrix.rate }}", why: "rate \${{ matrix.rate }}" }
  other: { pipeline: checked.yaml, when: size(steps.leased.all) > 0, with: { model: "\${{ steps.leased.all[0].model }}", dataset: "\${{ steps.data.dataset }}" } }
finally:
  gate:
    onFailure: hold
    uses: review-labels
    with: { dataset: "\${{ steps.data.dataset }}", candidates: "\${{ steps.errors.candidates }}", after: { expire: { in: 1d, then: keep } } }
  errors: { uses: mine, with: { model: "\${{ steps.leased.all[0].model }}", dataset: "\${{ steps.data.dataset }}" } }
  last: { pipeline: lease.yaml, onFailure: hold, with: { dataset: "\${{ steps.data.dataset }}", why: "\${{ run.state }}" } }
  kept: { uses: export, onFailure: hold, needs: [last], with: { dataset: "\${{ steps.data.dataset }}" } }
  each:
    forEach: steps.leased.all
    needs: [kept]
    steps: { told: { uses: export, with: { model: "\${{ item.model }}" } } }
    outputs: { files: "\${{ steps.told.files }}" }
`;
const endsTests = `
mocks: { kinds: { train: { takes: 3h } }, steps: { kept: { takes: 1h } } }
answers: [{ gate: "leased[].ok", after: 1h, answer: { yes: true } }, { gate: last.ok, after: 1h, answer: { yes: true } }, { gate: gate, after: 1h, decide: all }]
tests:
  - { name: "ends: all is well", expect: { state: done } }
  - { name: "ends: nobody answers, so that ends are held until the run is cancelled", answers: [], cancel: 80h, expect: { state: cancelled } }
  - { name: "ends: a part fails, and its end runs", mocks: { steps: { "leased[rate=0.02].model": { fails: { message: Broken., type: BadData } } } }, expect: { state: done } }
  - { name: "ends: the end of a part fails it", mocks: { steps: { "leased[rate=0.02].told": { fails: { message: Broken., type: BadData } } } }, expect: { state: done } }
  - { name: "ends: both parts fail", mocks: { kinds: { train: { fails: { message: Broken., type: BadData } } } }, expect: { state: failed } }
  - { name: "ends: cancelled while parts train", cancel: 1h, expect: { state: cancelled } }
  - { name: "ends: cancelled in the loop of the end of a part", cancel: 5h, expect: { state: cancelled } }
  - { name: "ends: cancelled while the end of a part asks", answers: [], cancel: 10h, expect: { state: cancelled } }
  - { name: "ends: cancelled while the end of the run asks", answers: [{ gate: "leased[].ok", after: 1h, answer: { yes: true } }], cancel: 15h, expect: { state: cancelled } }
  - { name: "ends: a step of the end is held, and goes on", mocks: { steps: { kept: { fails: { message: Full., times: 3 } } } }, retries: [{ step: kept, after: 5h }], expect: { state: done } }
  - { name: "ends: cancelled while a step of the end is held", mocks: { steps: { kept: { fails: { message: Full., type: BadData } } } }, cancel: 40h, expect: { state: cancelled } }
`;

const cases = await compiledCases();
cases.push(...(await casesOf(nested, nestedTests, cases.length)));
cases.push(...(await casesOf(ends, endsTests, cases.length, { 'lease.yaml': lease, 'checked.yaml': checked })));
const changed = {
  ...cases[0]!,
  workflowType: `case${cases.length}`,
  text: cases[0]!.text.replace("planDigest = '0", "planDigest = '1"),
};
let folder: string;
let bundlePath: string;

beforeAll(async () => {
  folder = writeCases([...cases, changed], 'compiled-pipelines');
  bundlePath = await bundleCases(folder);
}, 120_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  rmSync(join(root, 'dist', 'compiled-sources'), { recursive: true, force: true });
});

test('every shipped pipeline compiles to TypeScript that the type checker takes', () => {
  expect(typeErrorsIn(folder)).toBe('');
}, 120_000);

test('compiled workflows are formatted like this repository', () => {
  expect(formatErrorsIn(folder)).toBe('');
}, 60_000);

describe('a compiled workflow runs like the interpreted pipeline', () => {
  test.each(cases.map((each) => [each.name, each] as const))('%s', async (_, each) => {
    const interpreted = await observe(each);
    const compiled = await observe(each, each.workflowType);
    expect(compiled.run).toEqual(interpreted.run);
    expect(compiled.calls.toSorted()).toEqual(interpreted.calls.toSorted());
    for (const { calls, paths } of [interpreted, compiled]) {
      expect(calls.length).toBeGreaterThan(2);
      expect(outOfOrder(each.plan.root, paths)).toEqual([]);
    }
  });
});

test('a run of another plan is refused, with what to do', async () => {
  const { plan, script, workflowType } = changed;
  const { state, error } = await simulatePlan(bundlePath, plan, script, { workflowType });
  expect(state).toBe('failed');
  expect(error).toMatch(
    /^The run has the plan 000000000000, and this workflow was compiled from 100000000000\. Compile/,
  );
});

async function observe({ plan, script }: CompiledCase, workflowType?: string) {
  const calls: string[] = [];
  const paths: string[] = [];
  const watch = ({ name, args, queue }: ActivityCall) => {
    // What the run as a whole does is said as often as it changes, whoever runs its parts.
    if (name !== 'record-run') calls.push(`${name} ${queue} ${canonicalJson(args as Json)}`);
    const path = pathOf(args[0] as { readonly [name: string]: unknown });
    if (path !== undefined) paths.push(path);
  };
  const run = await simulatePlan(bundlePath, plan, script, { watch, ...(workflowType && { workflowType }) });
  return { run: comparable(run), calls, paths };
}

function pathOf({ path, change, step }: { readonly [name: string]: unknown }): string | undefined {
  const inner = (change ?? step) as { readonly path?: string } | undefined;
  return typeof path === 'string' ? path : inner?.path;
}

/** Steps of the root that something was called for before the last call for one that they need. */
function outOfOrder({ steps }: PlannedScope, paths: readonly string[]): string[] {
  const rootOf = (path: string) => /^[^.[]*/.exec(path)![0];
  const roots = paths.map(rootOf);
  return steps.flatMap(({ id, needs }) => {
    const first = roots.indexOf(id);
    return first < 0
      ? []
      : needs.filter((need) => roots.lastIndexOf(need) > first).map((need) => `${id} before ${need}`);
  });
}

function comparable({ state, error, steps, notices, tookMs }: SimulatedRun) {
  const sorted = steps.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  return { state, error, tookMs, notices: notices.toSorted(), steps: sorted };
}
