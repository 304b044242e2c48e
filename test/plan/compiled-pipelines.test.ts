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

const cases = await compiledCases();
cases.push(...(await casesOf(nested, nestedTests, cases.length)));
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
