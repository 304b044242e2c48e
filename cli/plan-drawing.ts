/** A plan as a picture: DOT for Graphviz, and the SVG or PNG that Graphviz (as WebAssembly) makes of it. */

import { innerPath, stepPath } from '../plan/paths.ts';
import type { FanOutStep, PipelineStep, Plan, PlannedScope, PlannedStep, RepeatStep } from '../plan/types.ts';
import { templateOf } from './earlier-work.ts';
import type { Forecast } from './plan-forecast.ts';
import { gateWords, legsWords, loopWords } from './plan-words.ts';

/** Fill and line of a step by what a run would do with it; dark enough on white, and told apart in grey by the line. */
const colours: { readonly [outlook in Forecast['outlook']]: readonly [fill: string, line: string] } = {
  reuse: ['#dcf2e3', '#2e7d4f'],
  run: ['#dbe8fb', '#2259a8'],
  unknown: ['#f3f3f3', '#7a7a7a'],
  skip: ['#ffffff', '#b5b5b5'],
};

const words: { readonly [outlook in Forecast['outlook']]: string } = {
  reuse: 'reused',
  run: 'runs',
  unknown: 'not known yet',
  skip: 'skipped',
};

/** https://graphviz.org/doc/info/lang.html: loops as boxes around their steps, gates as hexagons. */
export function toDot(plan: Plan, forecasts: readonly Forecast[]): string {
  return [
    `digraph ${quote(plan.pipeline)} {`,
    '  rankdir=TB; compound=true; nodesep=0.35; ranksep=0.6; fontname="Helvetica,Arial,sans-serif";',
    '  node [shape=box, style="rounded,filled", fontname="Helvetica,Arial,sans-serif", fontsize=13, margin="0.18,0.08"];',
    '  edge [color="#666666", arrowsize=0.7];',
    ...dotScope(plan.root, '', outlooksOf(forecasts), '  '),
    ...legend(),
    '}',
  ].join('\n');
}

type Box = RepeatStep | FanOutStep | PipelineStep;

function boxWords(step: Box): string {
  if (step.type === 'pipeline') return `steps of ${step.pipeline}${step.id === '' ? '' : '\na child workflow'}`;
  if (step.type === 'repeat') return `${loopWords(step)}\neach round is a child workflow`;
  return `${legsWords(step)}\neach leg is a child workflow`;
}

/** With room at the end, because fonts differ in width. */
function boxTitle(step: Box): string {
  const lines = `${step.id === '' ? '' : `${step.id}: `}${boxWords(step)}`.split('\n');
  return lines.map((line) => line.padEnd(Math.ceil(line.length * 1.25) + 2)).join('\n');
}

type Outlooks = ReadonlyMap<string, Forecast['outlook']>;

/** By path with `[]`: a loop's step shows what becomes of its first round that is not all reused. */
function outlooksOf(forecasts: readonly Forecast[]): Outlooks {
  const outlooks = new Map<string, Forecast['outlook']>();
  for (const { path, outlook } of forecasts) {
    const before = outlooks.get(templateOf(path));
    if (before === undefined || before === 'reuse' || before === 'skip') outlooks.set(templateOf(path), outlook);
  }
  return outlooks;
}

function dotScope(scope: PlannedScope, within: string, outlooks: Outlooks, indent: string): string[] {
  const byId = new Map(scope.steps.map((step) => [step.id, step]));
  const implied = impliedEdges(scope);
  const drawn = scope.steps.flatMap((step) => {
    const path = stepPath(within, step.id);
    const edges = step.needs.flatMap((need) => {
      if (implied.get(step.id)!.has(need)) return [];
      const from = byId.get(need);
      return from === undefined ? [] : [`${indent}${edge(from, stepPath(within, need), step, path)}`];
    });
    if (!('scope' in step)) return [`${indent}${node(step, path, outlooks)}`, ...edges];
    return [
      `${indent}subgraph ${quote(`cluster ${path}`)} {`,
      `${indent}  label=${quote(boxTitle(step))}; labeljust=l; fontsize=12;`,
      `${indent}  style="rounded"; color="#999999"; fontcolor="#444444"; margin=14;`,
      ...dotScope(step.scope, innerPath(step, path), outlooks, `${indent}  `),
      `${indent}}`,
      ...edges,
    ];
  });
  return [...drawn, ...dotFinally(scope.finally ?? [], within, outlooks, indent)];
}

/** Steps that run when all others have ended, however that was: without edges, because they wait for everything. */
function dotFinally(steps: readonly PlannedStep[], within: string, outlooks: Outlooks, indent: string): string[] {
  if (steps.length === 0) return [];
  return [
    `${indent}subgraph ${quote(`cluster ${within === '' ? '' : `${within} `}finally`)} {`,
    `${indent}  label="when all else has ended    "; labeljust=l; fontsize=12; style="rounded,dashed"; color="#999999"; fontcolor="#444444"; margin=14;`,
    ...dotScope({ steps }, within, outlooks, `${indent}  `),
    `${indent}}`,
  ];
}

/** By step, what it needs that something else it needs comes after anyhow: without those a picture shows the order best. */
function impliedEdges({ steps }: PlannedScope): ReadonlyMap<string, ReadonlySet<string>> {
  const before = new Map<string, Set<string>>();
  const implied = new Map<string, Set<string>>();
  for (const { id, needs } of steps) {
    const behind = new Set(needs.flatMap((need) => [...(before.get(need) ?? [])]));
    implied.set(id, new Set(needs.filter((need) => behind.has(need))));
    before.set(id, new Set([...needs, ...behind]));
  }
  return implied;
}

function node(step: Exclude<PlannedStep, Box>, path: string, outlooks: Outlooks): string {
  // A step in a loop that nobody can see into yet is as unknown as the loop.
  const outlook = outlooks.get(templateOf(path)) ?? 'unknown';
  const [fill, line] = colours[outlook];
  const shape = step.type === 'gate' ? ', shape=hexagon, style=filled, margin="0.05,0.05"' : '';
  const dashed = outlook === 'skip' ? ', style="rounded,filled,dashed"' : '';
  const kind = step.type === 'gate' ? `${step.kind}\n${gateWords(step)}` : step.kind;
  return `${quote(path)} [label=${quote(step.id === '' ? kind : `${step.id}\n${kind}`)}, fillcolor="${fill}", color="${line}"${shape}${dashed}];`;
}

/** Graphviz draws edges between nodes only: those of a loop go to a step inside and are cut at its box. */
function edge(from: PlannedStep, fromPath: string, to: PlannedStep, toPath: string): string {
  const tail = 'scope' in from ? `${quote(lastNode(from, fromPath))}` : quote(fromPath);
  const head = 'scope' in to ? `${quote(firstNode(to, toPath))}` : quote(toPath);
  const cuts = [
    'scope' in from ? `ltail=${quote(`cluster ${fromPath}`)}` : '',
    'scope' in to ? `lhead=${quote(`cluster ${toPath}`)}` : '',
  ].filter((cut) => cut !== '');
  return `${tail} -> ${head}${cuts.length === 0 ? '' : ` [${cuts.join(', ')}]`};`;
}

function firstNode(step: PlannedStep, path: string): string {
  if (!('scope' in step)) return path;
  const first = step.scope.steps[0]!;
  return firstNode(first, stepPath(innerPath(step, path), first.id));
}

function lastNode(step: PlannedStep, path: string): string {
  if (!('scope' in step)) return path;
  const last = step.scope.steps.at(-1)!;
  return lastNode(last, stepPath(innerPath(step, path), last.id));
}

function legend(): string[] {
  const cells = (['reuse', 'run', 'unknown', 'skip'] as const).map((outlook) => {
    const [fill, line] = colours[outlook];
    return `<td bgcolor="${fill}" color="${line}" border="1" cellpadding="4">${words[outlook]}&#160;&#160;</td>`;
  });
  const table = `<table border="0" cellborder="0" cellspacing="6"><tr>${cells.join('')}</tr></table>`;
  return [`  labelloc=b; fontsize=12; label=<${table}>;`];
}

/** A DOT string; `\n` in it breaks the line. */
function quote(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}

export async function toSvg(dot: string): Promise<string> {
  const { Graphviz } = await import('@hpcc-js/wasm-graphviz');
  const graphviz = await Graphviz.load();
  // Graphviz measures text by Arial, and the fonts of a machine without it are wider: smaller print fits all of them.
  return graphviz
    .layout(dot, 'svg', 'dot')
    .replace(/font-size="([\d.]+)"/g, (_, size: string) => `font-size="${(Number(size) * 0.87).toFixed(2)}"`);
}

/** Two pixels a point, so that small print stays legible: sizes in points grow with the square of the density. */
export async function toPng(svg: string): Promise<Buffer> {
  const { default: sharp } = await import('sharp');
  return await sharp(Buffer.from(svg), { density: 72 * Math.SQRT2 })
    .flatten({ background: '#ffffff' })
    .png()
    .toBuffer();
}
