/** Pipelines of steps that do nothing, in three shapes, as plans. */

import { sha256Hex } from '../../artifacts/digest.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import { plannedScope } from '../../plan/parts.ts';
import { stepKinds } from '../../plan/step-kinds.ts';
import type { ActivityStep, Json, Plan, PlannedStep } from '../../plan/types.ts';

export interface Shape {
  /** Also the workflow type. */
  readonly name: string;
  readonly about: string;
  readonly steps: number;
  readonly plan: Plan;
  readonly planDigest: string;
}

const cel = (source: string): Json => ({ $: source });

/** A step of a real kind, so that its fingerprint, record and reuse are those of every step. */
function step(id: string, needs: readonly string[], inputs: { readonly [name: string]: Json }): ActivityStep {
  const { kind, version, timeoutMs, heartbeatMs, retry } = stepKinds.get('train')!;
  const common = { version, timeoutMs, heartbeatMs, retry, queue: 'cpu', onFailure: 'hold' } as const;
  return { type: 'activity', id, kind, needs, with: inputs, ...common };
}

function shape(name: string, about: string, count: number, steps: readonly PlannedStep[]): Shape {
  const plan: Plan = { format: 1, pipeline: name, seed: 1, params: {}, root: plannedScope(steps) };
  return { name, about, steps: count, plan, planDigest: sha256Hex(Buffer.from(canonicalJson(plan))) };
}

export function sequential(count: number): Shape {
  const steps = Array.from({ length: count }, (_, i) =>
    i === 0 ? step('s1', [], { n: 1 }) : step(`s${i + 1}`, [`s${i}`], { n: i + 1, before: cel(`steps.s${i}.AP`) }),
  );
  return shape('sequential', `${count} steps, one after another`, count, steps);
}

export function parallel(count: number): Shape {
  const steps = Array.from({ length: count }, (_, i) => step(`s${i + 1}`, [], { n: i + 1 }));
  return shape('parallel', `${count} steps side by side`, count, steps);
}

export function rounds(count: number, each: number): Shape {
  const inner = Array.from({ length: each }, (_, i) =>
    step(`s${i + 1}`, i === 0 ? [] : [`s${i}`], { n: i + 1, before: cel(i === 0 ? 'carry.AP' : `steps.s${i}.AP`) }),
  );
  const loop: PlannedStep = {
    type: 'repeat',
    id: 'rounds',
    needs: [],
    max: count,
    carry: { AP: 0 },
    scope: { steps: inner },
    next: { AP: cel(`steps.s${each}.AP`) },
  };
  return shape('rounds', `${count} rounds of ${each} steps`, count * each, [loop]);
}
