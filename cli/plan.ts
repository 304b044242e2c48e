/** `hardcase plan`: steps, their order, scopes and gates, and which of them a run would reuse. */

import type { Store } from '../artifacts/store.ts';
import { innerPath, innerScope, kindOf, parsePath, stepPath } from '../plan/paths.ts';
import type { FanOutStep, Plan, PlannedScope, PlannedStep } from '../plan/types.ts';
import { hasErrors, printDiagnostics } from '../spec/diagnostic.ts';
import { openExistingStore } from './connect.ts';
import { loadPipeline } from './load-pipeline.ts';
import { CommandError, type ExitCode, exitCodes, note, paintState, print, printJson, table } from './output.ts';
import { type Forecast, forecastPlan } from './plan-forecast.ts';
import type { Settings } from './settings.ts';

export interface PlanOptions {
  readonly params: readonly string[];
  readonly format: string;
  readonly settings: Settings;
}

export async function runPlan(file: string, { params, format, settings }: PlanOptions): Promise<ExitCode> {
  if (!['text', 'json', 'mermaid'].includes(format)) {
    throw new CommandError(`--format ${format}: expected text, json or mermaid.`, exitCodes.usage);
  }
  const { text, compilation } = await loadPipeline(file, { params, paramsRequired: true, digestFolders: true });
  const { plan, planDigest, diagnostics } = compilation;
  if (plan === undefined || hasErrors(diagnostics)) {
    if (format === 'json') printJson(diagnostics);
    else note(printDiagnostics(diagnostics, text));
    return exitCodes.input;
  }
  if (format === 'mermaid') {
    print(toMermaid(plan));
    return exitCodes.done;
  }
  const forecasts = await forecastPlan(plan, await openIfReachable(settings));
  if (format === 'json') {
    printJson({
      pipeline: plan.pipeline,
      planDigest,
      params: plan.params,
      steps: describeSteps(plan.root, ''),
      forecasts,
    });
  } else print(toText(plan, planDigest!, forecasts));
  return exitCodes.done;
}

/** A plan is worth seeing also where the store cannot be reached; then nothing counts as reused. */
async function openIfReachable(settings: Settings): Promise<Store | null> {
  try {
    return await openExistingStore(settings);
  } catch (error) {
    note(
      `The store ${settings.store} cannot be read, so every step is shown as to be run: ${(error as Error).message}`,
    );
    return null;
  }
}

interface StepDescription {
  readonly path: string;
  readonly kind: string;
  readonly needs: readonly string[];
  readonly gate: boolean;
  readonly when?: string;
  /** A step of `finally`. */
  readonly atEnd?: boolean;
  readonly repeat?: { readonly max: PlannedStepMax; readonly until?: string };
  /** How many legs, or what gives them. */
  readonly legs?: string;
}

type PlannedStepMax = Extract<PlannedStep, { type: 'repeat' }>['max'];

/** Rounds and legs are alike before the run, so their steps stand once, with `[]` in their paths. */
function describeSteps(scope: PlannedScope, within: string): StepDescription[] {
  return [...scope.steps, ...(scope.finally ?? [])].flatMap((step) => {
    const { id, needs, when } = step;
    const common = {
      path: stepPath(within, id),
      needs: needs.map((need) => stepPath(within, need)),
      gate: step.type === 'gate',
      when,
      ...(scope.finally?.includes(step) ? { atEnd: true } : {}),
    };
    const inner = innerScope(step);
    const own = {
      ...common,
      kind: kindOf(step),
      ...(step.type === 'repeat' ? { repeat: { max: step.max, until: step.until } } : {}),
      ...(step.type === 'fan-out' ? { legs: legsText(step) } : {}),
    };
    return [own, ...(inner === null ? [] : describeSteps(inner, innerPath(step, common.path)))];
  });
}

function toText(plan: Plan, planDigest: string, forecasts: readonly Forecast[]): string {
  const lines = [`${plan.pipeline}  plan ${planDigest.slice(0, 12)}`, ''];
  const rows = describeSteps(plan.root, '').map(({ path, kind, needs, gate, when, repeat, legs, atEnd }) => [
    `${'  '.repeat((parsePath(path)?.length ?? 1) - 1)}${path}`,
    kind,
    [
      atEnd ? 'when the run has ended' : '',
      needs.length === 0 ? '' : `after ${needs.map((need) => parsePath(need)?.at(-1)?.id).join(', ')}`,
      when === undefined ? '' : `when ${when}`,
      repeat === undefined
        ? ''
        : `at most ${showMax(repeat.max)} rounds${repeat.until === undefined ? '' : `, until ${repeat.until}`}`,
      legs ?? '',
      gate ? 'waits for a reviewer' : '',
    ]
      .filter((part) => part !== '')
      .join('; '),
  ]);
  lines.push(table(rows), '', 'A run would now');
  const outlooks = forecasts.map(({ path, kind, outlook, reason = '' }) => [
    paintState({ reuse: 'done', run: 'running', skip: 'skipped', unknown: 'pending' }[outlook], outlook),
    path,
    kind,
    reason,
  ]);
  lines.push(table(outlooks));
  return lines.join('\n');
}

function legsText({ legs, concurrency }: FanOutStep): string {
  if ('matrix' in legs) {
    const count = legs.matrix.length;
    return `${count} ${count === 1 ? 'leg' : 'legs'}${concurrency < count ? `, ${concurrency} at once` : ''}`;
  }
  const items = Array.isArray(legs.forEach) ? `${legs.forEach.length} entries` : showMax(legs.forEach);
  return `a leg for each of ${items}, at most ${concurrency} at once`;
}

function showMax(max: PlannedStepMax): string {
  return typeof max === 'object' && max !== null && '$' in max ? String(max.$) : String(max);
}

/** https://mermaid.js.org/syntax/flowchart.html: loops and legs as boxes around their steps, gates as hexagons. */
function toMermaid(plan: Plan): string {
  return ['flowchart TD', ...mermaidScope(plan.root, '', '  ')].join('\n');
}

/** `end` ends a subgraph, and other words of Mermaid's own are no ids either. */
const mermaidWords =
  /^(end|graph|flowchart|subgraph|direction|style|class|classDef|click|linkStyle|default|call|href)$/i;

function nodeId(prefix: string, id: string): string {
  return prefix === '' && mermaidWords.test(id) ? `${id}_` : `${prefix}${id === '' ? 'leg' : id}`;
}

function mermaidScope(scope: PlannedScope, prefix: string, indent: string): string[] {
  return [...scope.steps, ...(scope.finally ?? [])].flatMap((step) => {
    const node = nodeId(prefix, step.id);
    const edges = step.needs.map((need) => `${indent}${nodeId(prefix, need)} --> ${node}`);
    if (step.type === 'repeat' || step.type === 'fan-out') {
      const often = step.type === 'repeat' ? `at most ${showMax(step.max)} rounds` : legsText(step);
      const title = `"${step.id}: ${often.replaceAll('"', "'")}"`;
      const body = mermaidScope(step.scope, `${node}__`, `${indent}  `);
      return [`${indent}subgraph ${node}[${title}]`, ...body, `${indent}end`, ...edges];
    }
    const label = `"${step.id === '' ? '' : `${step.id}<br/>`}${step.kind}"`;
    return [`${indent}${node}${step.type === 'gate' ? `{{${label}}}` : `[${label}]`}`, ...edges];
  });
}
