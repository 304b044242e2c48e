/** `hardcase plan`: steps, their order, scopes and gates, and which of them a run would reuse. */

import { writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { Store } from '../artifacts/store.ts';
import { eventsPerMessage, type HistoryBound, historyBounds } from '../plan/history-bound.ts';
import { innerPath, innerScope, kindOf, parsePath, stepPath, stepsOf } from '../plan/paths.ts';
import type { Plan, PlannedScope, PlannedStep } from '../plan/types.ts';
import { hasErrors, printDiagnostics } from '../spec/diagnostic.ts';
import { toJson } from '../spec/diagnostic-formats.ts';
import { describePlaced, type PlacedChange, type PlacedSource, placeChange } from './change-places.ts';
import { openExistingStore } from './connect.ts';
import { type EarlierWork, readEarlierWork, templateOf } from './earlier-work.ts';
import { loadPipeline } from './load-pipeline.ts';
import {
  CommandError,
  type ExitCode,
  exitCodes,
  formatDuration,
  note,
  paintState,
  print,
  printJson,
  table,
} from './output.ts';
import { toDot, toPng, toSvg } from './plan-drawing.ts';
import { estimatePlan, type PlanEstimate } from './plan-estimate.ts';
import { type Forecast, forecastPlan } from './plan-forecast.ts';
import { gateWords, legsWords, loopWords } from './plan-words.ts';
import type { Settings } from './settings.ts';

export interface PlanOptions {
  readonly params: readonly string[];
  /** As asked for; absent: by the ending of `out`, else text. */
  readonly format?: string;
  /** A file instead of the standard output. */
  readonly out?: string;
  readonly settings: Settings;
}

const formats = ['text', 'json', 'mermaid', 'dot', 'svg', 'png'] as const;
type Format = (typeof formats)[number];

export async function runPlan(file: string, { params, format: asked, out, settings }: PlanOptions): Promise<ExitCode> {
  const format = formatOf(asked, out);
  const { text, texts, pipeline, compilation } = await loadPipeline(file, {
    params,
    paramsRequired: true,
    digestFolders: true,
  });
  const { plan, planDigest, diagnostics, sources } = compilation;
  if (plan === undefined || hasErrors(diagnostics)) {
    if (format === 'json') printJson(toJson(diagnostics));
    else note(printDiagnostics(diagnostics, texts));
    return exitCodes.input;
  }
  const write = (content: string | Buffer) => {
    if (out !== undefined) writeFileSync(out, typeof content === 'string' ? `${content.trimEnd()}\n` : content);
    else if (typeof content === 'string') print(content.trimEnd());
    else process.stdout.write(content);
  };
  if (format === 'mermaid') {
    write(toMermaid(plan));
    return exitCodes.done;
  }
  const store = await openIfReachable(settings);
  const earlier = store === null ? [] : await readEarlierWork(store, plan.pipeline);
  const forecasts = await forecastPlan(plan, store, earlier);
  const source = { text, sources, places: pipeline.parsed?.places ?? new Map(), params: plan.params };
  const placed = forecasts.map((forecast) => placeForecast(forecast, source, earlier));
  const estimate = estimatePlan(plan, earlier, forecasts);
  switch (format) {
    case 'json':
      write(JSON.stringify(planJson(plan, planDigest!, placed, estimate), null, 2));
      break;
    case 'text':
      write(toText(plan, planDigest!, placed, estimate));
      break;
    case 'dot':
      write(toDot(plan, forecasts));
      break;
    case 'svg':
      write(await toSvg(toDot(plan, forecasts)));
      break;
    case 'png':
      if (out === undefined && process.stdout.isTTY) {
        throw new CommandError('A PNG is no text for a terminal. Name a file: --out plan.png', exitCodes.usage);
      }
      write(await toPng(await toSvg(toDot(plan, forecasts))));
  }
  if (out !== undefined) note(`Wrote ${out}.`);
  return exitCodes.done;
}

function formatOf(asked: string | undefined, out: string | undefined): Format {
  const ending = { '.json': 'json', '.mmd': 'mermaid', '.dot': 'dot', '.gv': 'dot', '.svg': 'svg', '.png': 'png' };
  const wanted = asked ?? ending[extname(out ?? '') as keyof typeof ending] ?? 'text';
  const found = formats.find((format) => format === wanted);
  if (found !== undefined) return found;
  throw new CommandError(`--format ${wanted}: expected ${formats.slice(0, -1).join(', ')} or png.`, exitCodes.usage);
}

type PlacedForecast = Omit<Forecast, 'changes'> & { readonly changes?: readonly PlacedChange[] };

function placeForecast(forecast: Forecast, source: PlacedSource, earlier: EarlierWork): PlacedForecast {
  const { changes, ...rest } = forecast;
  if (changes === undefined) return rest;
  const before = earlier.find(({ header }) => header.run === forecast.nearest?.run)?.header.params ?? {};
  return { ...rest, changes: changes.map((change) => placeChange(change, forecast.path, source, before)) };
}

function planJson(
  plan: Plan,
  planDigest: string,
  forecasts: readonly PlacedForecast[],
  estimate: PlanEstimate,
): object {
  return {
    pipeline: plan.pipeline,
    planDigest,
    params: plan.params,
    steps: describeSteps(plan.root, '').map((step) => ({
      ...step,
      estimateMs: roundMs(estimate.steps.get(step.path)),
    })),
    forecasts,
    workflows: historyBounds(plan),
    estimate: {
      workMs: roundMs(estimate.workMs),
      elapsedMs: roundMs(estimate.elapsedMs),
      unmeasured: estimate.unmeasured,
    },
  };
}

const roundMs = (ms: number | undefined): number | null => (ms === undefined ? null : Math.round(ms));

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
  /** Whom it waits for. */
  readonly gate: string | null;
  readonly when?: string;
  /** A step of `finally`, of the run or of another file. */
  readonly atEnd?: boolean;
  readonly repeat?: { readonly max: PlannedStepMax; readonly until?: string };
  /** How many legs, or what gives them. */
  readonly legs?: string;
}

type PlannedStepMax = Extract<PlannedStep, { type: 'repeat' }>['max'];

/** Rounds and legs are alike before the run, so their steps stand once, with `[]` in their paths. */
function describeSteps(scope: PlannedScope, within: string): StepDescription[] {
  return stepsOf(scope).flatMap((step) => {
    const { id, needs, when } = step;
    const common = {
      path: stepPath(within, id),
      needs: needs.map((need) => stepPath(within, need)),
      gate: step.type === 'gate' ? gateWords(step) : step.type === 'approve' ? 'waits for an answer' : null,
      when,
      ...(scope.finally?.includes(step) ? { atEnd: true } : {}),
    };
    const inner = innerScope(step);
    const own = {
      ...common,
      kind: kindOf(step),
      ...(step.type === 'repeat' ? { repeat: { max: step.max, until: step.until } } : {}),
      ...(step.type === 'fan-out' ? { legs: legsWords(step) } : {}),
    };
    return [own, ...(inner === null ? [] : describeSteps(inner, innerPath(step, common.path)))];
  });
}

function toText(plan: Plan, planDigest: string, forecasts: readonly PlacedForecast[], estimate: PlanEstimate): string {
  const lines = [`${plan.pipeline}  plan ${planDigest.slice(0, 12)}`, ''];
  const rows = describeSteps(plan.root, '').map(({ path, kind, needs, gate, when, repeat, legs, atEnd }) => [
    `${'  '.repeat((parsePath(path)?.length ?? 1) - 1)}${path}`,
    kind,
    [
      atEnd ? `when ${aroundOf(path)} ended` : '',
      needs.length === 0 ? '' : `after ${needs.map((need) => parsePath(need)?.at(-1)?.id).join(', ')}`,
      when === undefined ? '' : `when ${when}`,
      repeat === undefined ? '' : loopWords(repeat),
      legs ?? '',
      gate ?? '',
    ]
      .filter((part) => part !== '')
      .join('; '),
  ]);
  lines.push(table(rows), '', 'A run would now');
  const outlooks = forecasts.map((forecast) => {
    const ms = forecast.outlook === 'reuse' || forecast.outlook === 'skip' ? undefined : estimateOf(forecast, estimate);
    return [
      paintState(
        { reuse: 'done', run: 'running', skip: 'skipped', unknown: 'pending' }[forecast.outlook],
        forecast.outlook,
      ),
      forecast.path,
      forecast.kind,
      ms === undefined ? '' : `~${formatDuration(ms)}`,
      causeOf(forecast),
    ];
  });
  lines.push(table(outlooks), '', timeWords(estimate), '', ...historyWords(plan));
  return lines.join('\n');
}

/** What a step of `finally` comes after. */
function aroundOf(path: string): string {
  const around = path.slice(0, Math.max(0, path.length - parsePath(path)!.at(-1)!.id.length - 1));
  return around === '' ? 'the run has' : `the steps of ${around} have`;
}

const estimateOf = ({ path }: Forecast, { steps }: PlanEstimate) => steps.get(templateOf(path));

/** Long lists help nobody: what matters is that it is other work. */
const changesShownMax = 3;

function causeOf({ outlook, reason = '', changes = [], nearest }: PlacedForecast): string {
  if (changes.length === 0) return reason;
  const shown = changes.slice(0, changesShownMax).map(describePlaced).join('; ');
  const more = changes.length > changesShownMax ? `; and ${changes.length - changesShownMax} more` : '';
  const since = nearest === undefined ? '' : ` since ${nearest.path} of ${nearest.run}`;
  return `${outlook === 'unknown' ? `${reason}; ` : ''}${shown}${more}${since}`;
}

const reasons: { readonly [runs in HistoryBound['runs']]: string } = {
  run: 'the run itself',
  round: 'a child workflow for each round',
  part: 'a child workflow for each part of a scope of very many steps',
  rounds: 'a child workflow for each batch of rounds, because there are many',
  leg: 'a child workflow for each leg',
  'fan-out': 'a child workflow for the batches of very many legs',
  legs: 'a child workflow for each batch of legs',
  search: 'a child workflow for the trials',
  pipeline: 'a child workflow for the steps of another file',
};

/** Temporal suggests at 4,096 events that a workflow continues as new, and ends it at 51,200. */
function historyWords(plan: Plan): string[] {
  const rows = historyBounds(plan).map(({ workflow, runs, events, count }) => [
    workflow === '' ? plan.pipeline : workflow,
    `${events} events`,
    runs === 'run' ? reasons[runs] : `${reasons[runs]}${count > 1 ? `, at most ${count} at a place` : ''}`,
  ]);
  return [
    `Workflows and how long their histories become at most (each message of a reviewer or a retry adds up to ${eventsPerMessage})`,
    table(rows),
  ];
}

function timeWords({ workMs, elapsedMs, unmeasured }: PlanEstimate): string {
  const never = unmeasured.length === 0 ? '' : `not counted, because never run before: ${unmeasured.join(', ')}`;
  if (workMs === 0) return never === '' ? 'Nothing is left to run.' : `Time: ${never}`;
  const work = `at most ${formatDuration(workMs)} of work, ${formatDuration(elapsedMs)} from start to end with one worker for training`;
  return `Time, from earlier runs and without waiting for people: ${work}${never === '' ? '' : `; ${never}`}`;
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
  return stepsOf(scope).flatMap((step) => {
    const node = nodeId(prefix, step.id);
    const edges = step.needs.map((need) => `${indent}${nodeId(prefix, need)} --> ${node}`);
    if ('scope' in step) {
      const often =
        step.type === 'pipeline'
          ? `steps of ${step.pipeline}`
          : step.type === 'repeat'
            ? loopWords({ max: step.max })
            : legsWords(step);
      const title = `"${step.id}: ${often.replaceAll('"', "'")}"`;
      const body = mermaidScope(step.scope, `${node}__`, `${indent}  `);
      return [`${indent}subgraph ${node}[${title}]`, ...body, `${indent}end`, ...edges];
    }
    const label = `"${step.id === '' ? '' : `${step.id}<br/>`}${step.kind}"`;
    return [
      `${indent}${node}${step.type === 'gate' || step.type === 'approve' ? `{{${label}}}` : `[${label}]`}`,
      ...edges,
    ];
  });
}
