/**
 * Legs, and the steps of another file, run in children of their own. Where steps in them change that have not begun, the
 * whole begins again with the new ones and finds what is finished.
 */

import { identityOf, placesOf, same } from './compare-steps.ts';
import { hasEnd, innerPath, stepPath, stepsOf } from './paths.ts';
import type { FanOutStep, PipelineStep, PlannedLeg, PlannedScope, PlannedStep } from './types.ts';
import type { RunSoFar } from './upgrade.ts';

type Holder = FanOutStep | PipelineStep;

interface Problem {
  readonly why: string;
  readonly places: readonly string[];
  /** Of the step within that has begun. */
  readonly path?: string;
}

/** Whether what is within the step differs, and it can begin again for that. */
export function mayBeginAgain(was: PlannedStep, is: PlannedStep): is is Holder {
  if (!isHolder(was) || !isHolder(is) || was.type !== is.type) return false;
  const within = (step: Holder) => [step.scope, step.outputs ?? null, legsOf(step)];
  return !same(within(was), within(is));
}

const isHolder = (step: PlannedStep): step is Holder => step.type === 'fan-out' || step.type === 'pipeline';

/** Why a step that has begun cannot begin again with what is within it now; null where it can. */
export function problemOfBeginning(was: PlannedStep, is: Holder, soFar: RunSoFar): Problem | null {
  const { id, scope } = was as Holder;
  const places = placesOf(aroundOf(was as Holder), aroundOf(is));
  if (places.length > 0) return { why: `has begun, and its ${places.join(', ')} changed`, places };
  if (hasEnd(was)) {
    const changed = placesOf(scope, is.scope);
    const why = `has begun, and its ${changed.join(', ')} changed; it cannot begin again for that, because it has a finally of its own, which would run`;
    return { why, places: changed };
  }
  const open = is.needs.filter((need) => !was.needs.includes(need) && !soFar.hasEnded(need));
  if (open.length > 0) {
    return { why: `has begun, and would read ${open.join(', ')}, which has not ended`, places: ['steps'] };
  }
  const names = new Set(legsOf(is).map(({ name }) => name));
  const gone = legsOf(was as Holder).find(({ name }) => !names.has(name) && begunAt(soFar, `${id}[${name}]`) !== null);
  if (gone !== undefined) {
    return {
      why: `has begun, and so has its leg ${gone.name}, which the changed file has no more`,
      places: ['matrix'],
    };
  }
  const problems = problemsWithin(scope, is.scope, was.type === 'fan-out' ? `${id}[]` : id, soFar);
  if (problems.length === 0) return null;
  return {
    why: `has begun, and in it ${problems.map(({ why }) => why).join('; ')}`,
    places: problems.flatMap(({ places }) => places),
    path: problems[0]!.path,
  };
}

/** What decides over the whole of it. How many legs run at once does not. */
function aroundOf(step: Holder): object {
  const { scope: _, outputs: __, needs: ___, ...around } = step;
  if (around.type === 'pipeline') return around;
  const { concurrency: ____, perBatch: _____, legs, ...rest } = around;
  return { ...rest, legs: 'matrix' in legs ? 'matrix' : legs };
}

const legsOf = (step: Holder): readonly PlannedLeg[] =>
  step.type === 'fan-out' && 'matrix' in step.legs ? step.legs.matrix : [];

/** Steps that have begun by the record, in whichever leg, must make what they made. `within`: `tune[]`. */
function problemsWithin(was: PlannedScope, is: PlannedScope, within: string, soFar: RunSoFar): Problem[] {
  return stepsOf(was).flatMap((old) => {
    const begun = begunAt(soFar, stepPath(within, old.id));
    if (begun === null) return [];
    const now = stepsOf(is).find(({ id }) => id === old.id);
    const place = old.id === '' ? '' : `steps.${old.id}`;
    if (now === undefined)
      return [{ why: `${begun} has, which the changed file has no more`, places: [place], path: begun }];
    if (isHolder(old) && isHolder(now) && same(aroundOf(old), aroundOf(now))) {
      return problemsWithin(old.scope, now.scope, innerPath(old, stepPath(within, old.id)), soFar);
    }
    const places = placesOf(identityOf(old), identityOf(now));
    if (places.length === 0) return [];
    const at = places.map((each) => (place === '' ? each : `${place}.${each}`));
    return [{ why: `${begun} has, whose ${places.join(', ')} changed`, places: at, path: begun }];
  });
}

/** The first path of the record that is the step, or within it. `tune[].last` is that step in whichever leg. */
function begunAt({ recorded = [] }: RunSoFar, step: string): string | null {
  const exact = /\[[^\]]/.test(step);
  const found = recorded.find((path) => {
    const known = exact ? path : path.replace(/\[[^\]]*\]/g, '[]');
    return known === step || known.startsWith(`${step}.`) || known.startsWith(`${step}[`);
  });
  return found ?? null;
}
