/** What is legal and probably wrong: a small function each, over a file that has no errors. */

import type { Problem } from '../spec/diagnostic.ts';
import { isRecord, pointerTo, type Range } from '../spec/types.ts';
import type { Compiling } from './slots.ts';
import { stepKinds } from './step-kinds.ts';
import type { Json, PlannedScope, PlannedStep } from './types.ts';

export function findWarnings(compiling: Compiling, root: PlannedScope): Problem[] {
  const { value } = compiling.parsed;
  const steps = [
    ...stepsOf(compiling, root, '/steps', writtenAt(value, 'steps')),
    ...stepsOf(compiling, { steps: root.finally ?? [] }, '/finally', writtenAt(value, 'finally')),
  ];
  const checks = [unusedParams, unusedSteps, endlessLoops, withoutReplay, hiddenCandidates, testDecides];
  return checks
    .flatMap((check) => check(compiling, steps))
    .map((problem): Problem => ({ ...problem, severity: 'warning' }));
}

/** A step of the plan that stands in the file. */
interface PlacedStep {
  readonly step: PlannedStep;
  readonly pointer: string;
  /** Of the mapping that it stands in. */
  readonly scope: string;
  /** As it stands in the file; the only step of a leg is written as its fan-out. */
  readonly written: Json | undefined;
}

/** `written`: the steps of the scope as they stand in the file. */
function* stepsOf(
  compiling: Compiling,
  scope: PlannedScope,
  pointer: string,
  written: Json | undefined,
): Generator<PlacedStep> {
  for (const step of scope.steps) {
    // The only step of a leg stands where its fan-out does.
    const at = step.id === '' ? pointer.slice(0, pointer.lastIndexOf('/')) : pointerTo(pointer, step.id);
    // Steps that the compiler put in, or that another file brought, have no place to warn at.
    if (!compiling.parsed.places.has(at)) continue;
    const own = writtenAt(written, step.id);
    yield { step, pointer: at, scope: pointer, written: own };
    if ('scope' in step) yield* stepsOf(compiling, step.scope, pointerTo(at, 'steps'), writtenAt(own, 'steps'));
  }
}

const writtenAt = (value: Json | undefined, key: string): Json | undefined =>
  isRecord(value) ? value[key] : undefined;

/** The key of a step or param: naming it says more than underlining all of it. */
function keyAt(compiling: Compiling, pointer: string): Range {
  const place = compiling.parsed.places.get(pointer);
  return place?.key ?? place?.value ?? { start: 0, end: 0 };
}

/** A value in a step; the nearest key around it where the file leaves it to a default. */
function valueAt(compiling: Compiling, pointer: string, ...path: readonly string[]): Range {
  const whole = compiling.parsed.places.get(pointerTo(pointer, ...path));
  if (whole !== undefined) return whole.value;
  return path.length === 0 ? keyAt(compiling, pointer) : nearestKey(compiling, pointer, path.slice(0, -1));
}

function nearestKey(compiling: Compiling, pointer: string, path: readonly string[]): Range {
  const at = pointerTo(pointer, ...path);
  if (path.length === 0 || compiling.parsed.places.has(at)) return keyAt(compiling, at);
  return nearestKey(compiling, pointer, path.slice(0, -1));
}

/** The parameters of a step of this kind; null for others. */
function parametersOf(step: PlannedStep, ...kinds: readonly string[]): { readonly [name: string]: Json } | null {
  return 'kind' in step && kinds.includes(step.kind) ? step.with : null;
}

function unusedParams(compiling: Compiling): Problem[] {
  const { parsed, reads } = compiling;
  const params = isRecord(parsed.value) && isRecord(parsed.value.params) ? Object.keys(parsed.value.params) : [];
  const read = new Set(reads.filter(({ root }) => root === 'params').map(({ name }) => name));
  return params
    .filter((name) => !read.has(name))
    .map((name) => ({
      code: 'UNUSED_PARAM',
      range: keyAt(compiling, pointerTo('/params', name)),
      message: `Nothing reads the param "${name}".`,
      hint: `Read \${{ params.${name} }} where its value belongs, or remove it.`,
    }));
}

/** Kinds that only give something to other steps; what the others make is worth having by itself. */
const servants: ReadonlySet<string> = new Set([
  'synthesize',
  'import-dataset',
  'import-model',
  'mine',
  'quarantine',
  'promote',
]);

function unusedSteps(compiling: Compiling, steps: readonly PlacedStep[]): Problem[] {
  // A file of one step is a beginning, not a mistake.
  if (steps.length < 2) return [];
  const readers = new Map<string, string[]>();
  const note = (id: string, reader: string) => {
    const known = readers.get(id);
    if (known === undefined) readers.set(id, [reader]);
    else known.push(reader);
  };
  for (const { root, name, pointer } of compiling.reads) if (root === 'steps') note(name, pointer);
  for (const { written, scope } of steps) for (const id of neededBy(written)) note(id, scope);
  return steps.flatMap(({ step, pointer, scope }): Problem[] => {
    if (!('kind' in step) || !servants.has(step.kind) || step.id === '') return [];
    // A step is seen by its scope, and by `until` and `next` of the loop around it.
    const around = scope.slice(0, scope.lastIndexOf('/'));
    if (readers.get(step.id)?.some((reader) => reader.startsWith(around)) === true) return [];
    const outputs = Object.keys(stepKinds.get(step.kind)?.outputs ?? {}).map((name) => `steps.${step.id}.${name}`);
    return [
      {
        code: 'UNUSED_STEP',
        range: keyAt(compiling, pointer),
        message: `Nothing reads what "${step.id}" (${step.kind}) gives.`,
        hint: `Read ${outputs.slice(0, 3).join(' or ')} in another step, or remove this one.`,
      },
    ];
  });
}

/** Ids that a step's `needs` names in the file. */
function neededBy(written: Json | undefined): string[] {
  const needs = writtenAt(written, 'needs');
  return Array.isArray(needs) ? needs.filter((id) => typeof id === 'string') : [];
}

/** So many trainings in a row take weeks on most machines, and gains end long before. */
const roundsUsual = 20;

function endlessLoops(compiling: Compiling, steps: readonly PlacedStep[]): Problem[] {
  return steps.flatMap(({ step, pointer }): Problem[] => {
    if (step.type !== 'repeat' || typeof step.max !== 'number' || step.max <= roundsUsual) return [];
    const { max, until, plateau, budgetMs, endWhenEmpty } = step;
    const ends = [until, plateau, budgetMs, endWhenEmpty].some((end) => end !== undefined);
    if (ends) return [];
    return [
      {
        code: 'UNBOUNDED_LOOP',
        range: valueAt(compiling, pointer, 'repeat', 'max'),
        message: `"${step.id}" runs ${max} rounds, whatever they bring: nothing ends it earlier.`,
        hint: 'Add a condition, such as until: round.gain.high < 0.002; a plateau; a budget; or a smaller max.',
      },
    ];
  });
}

function withoutReplay(compiling: Compiling, steps: readonly PlacedStep[]): Problem[] {
  const reviewed = steps.some(({ step }) => parametersOf(step, 'review-labels') !== null);
  return steps.flatMap(({ step, pointer }): Problem[] => {
    const given = parametersOf(step, 'train');
    if (given?.init === undefined || given.select === undefined) return [];
    const { replay } = given;
    const share = isRecord(replay) ? replay.share : undefined;
    // Without a review there is no selection to draw ordinary images from.
    if (replay === undefined ? !reviewed : share !== 0) return [];
    const what = replay === undefined ? 'without replay' : 'with a replay of 0';
    return [
      {
        code: 'NO_REPLAY',
        range:
          replay === undefined ? keyAt(compiling, pointer) : valueAt(compiling, pointer, 'with', 'replay', 'share'),
        message: `"${step.id}" trains on hard cases alone, ${what}: a model then forgets what it could do.`,
        hint: 'Mix ordinary images in: replay: { from: "${{ steps.REVIEW.allImages }}", share: 0.3 }.',
      },
    ];
  });
}

/** Detectors seldom are as sure as this, least of all on what is labelled wrongly. */
const confidenceUsual = 0.95;

function hiddenCandidates(compiling: Compiling, steps: readonly PlacedStep[]): Problem[] {
  return steps.flatMap(({ step, pointer }): Problem[] => {
    const confidence = parametersOf(step, 'mine', 'promote', 'profile-loss')?.confidence;
    if (typeof confidence === 'number' && confidence >= confidenceUsual) {
      return [
        {
          code: 'HIDDEN_CANDIDATES',
          range: valueAt(compiling, pointer, 'with', 'confidence'),
          message: `"${step.id}" counts only detections with a confidence from ${confidence}: hardly any has that, so that every target counts as missed and no false positive is seen.`,
          hint: 'Candidates come from what the model believes at about 0.3.',
        },
      ];
    }
    if (parametersOf(step, 'review-labels')?.limit !== 0) return [];
    return [
      {
        code: 'HIDDEN_CANDIDATES',
        range: valueAt(compiling, pointer, 'with', 'limit'),
        message: `"${step.id}" shows at most 0 candidates: nobody is asked anything.`,
        hint: 'Leave "limit" out to show all, or skip the review with when: false.',
      },
    ];
  });
}

/** A number measured on test images that decides something is no measurement any more. */
function testDecides(compiling: Compiling, steps: readonly PlacedStep[]): Problem[] {
  const evaluations = steps.filter(({ step }) => {
    const splits = parametersOf(step, 'evaluate')?.splits;
    return Array.isArray(splits) && splits.includes('test');
  });
  return compiling.reads.flatMap((read): Problem[] => {
    const { root, name, output, pointer } = read;
    if (root !== 'steps' || (output !== 'AP' && output !== 'AP50')) return [];
    const evaluation = evaluations.find(
      ({ step, scope }) => step.id === name && pointer.startsWith(scope.slice(0, scope.lastIndexOf('/'))),
    );
    // A title or a note may tell it; a condition, a number of rounds or an input makes something of it.
    const decides =
      /\/(when|until|max|metric|forEach)$/.test(pointer) || (/\/with\//.test(pointer) && !pointer.endsWith('/title'));
    if (evaluation === undefined || !decides) return [];
    return [
      {
        code: 'TEST_DECIDES',
        range: read.range,
        message: `steps.${name}.${output} is measured on test images, and decides here: what test says of the result is then too good.`,
        hint: `Decide on validation images: splits: [val] in "${name}", or steps.TRAIN.AP.`,
      },
    ];
  });
}
