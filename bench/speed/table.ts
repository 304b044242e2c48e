/** The figures of the comparison as lines, and as a table of docs/benchmarks.md. */

import { join } from 'node:path';
import { appendToFile } from '../proof/append-section.ts';
import { markdownTable } from '../proof/tables.ts';
import { torchFolder } from '../torch/client.ts';
import type { SpeedCase } from './cases.ts';
import type { Ratio } from './rounds.ts';

export interface SpeedResult {
  readonly threads: number;
  readonly imagesPerSecond: number;
  /** Ours to this one. */
  readonly ratio: Ratio;
}

export interface ContestantResult {
  readonly name: string;
  readonly training: SpeedResult;
  /** Null: not measured. */
  readonly inference: SpeedResult | null;
  /** Of a process that trains. */
  readonly peakMegabytes: number;
}

export interface CaseResult {
  readonly case: SpeedCase;
  readonly parameters: number;
  /** Ours is the first. */
  readonly contestants: readonly ContestantResult[];
}

export function caseLines(result: CaseResult): string[] {
  const lines = [
    `${result.case.name} (${result.parameters} parameters)`,
    `  ${''.padEnd(29)}${'training'.padStart(9)} threads  ours/it (rounds)   inference threads  ours/it (rounds)   peak MB`,
  ];
  for (const one of result.contestants) {
    const speed = (result: SpeedResult | null) => {
      if (result === null) return '-'.padStart(9).padEnd(37);
      const { imagesPerSecond, threads, ratio: r } = result;
      return `${imagesPerSecond.toFixed(0).padStart(9)} ${String(threads).padStart(7)}  ${ratioText(r).padEnd(18)}`;
    };
    const peak = one.peakMegabytes.toFixed(0).padStart(7);
    lines.push(`  ${one.name.padEnd(29)}${speed(one.training)} ${speed(one.inference)} ${peak}`);
  }
  return [...lines, ...verdicts(result).map((line) => `  ${line}`)];
}

function ratioText({ median, low, high }: Ratio): string {
  return `${median.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
}

/** Each target and whether it is met. */
export function verdicts({ case: one, contestants }: CaseResult): string[] {
  const [ours, ...others] = contestants as [ContestantResult, ...ContestantResult[]];
  const eager = others.filter(({ name }) => name !== 'torch.compile');
  const compiled = others.find(({ name }) => name === 'torch.compile');
  const least = (what: 'training' | 'inference', list: readonly ContestantResult[]) =>
    Math.min(...list.flatMap((other) => other[what]?.ratio.median ?? []));
  const peak = Math.min(...eager.map(({ peakMegabytes }) => peakMegabytes));
  const line = (what: string, value: number, target: number) =>
    `${what}: ${value.toFixed(2)}, target ${target}: ${value >= target ? 'met' : 'missed'}`;
  return [
    ...(one.target === null ? [] : [line('training to the better eager', least('training', eager), one.target)]),
    ...(one.beatsCompile && compiled ? [line('training to torch.compile', compiled.training.ratio.median, 1)] : []),
    line('inference to the better eager', least('inference', eager), 1),
    line("PyTorch's least peak memory to ours", peak / ours.peakMegabytes, 1),
  ];
}

export function appendTable(results: readonly CaseResult[], conditions: string, rounds: number): void {
  const head = ['case', 'side', 'training, img/s', 'ours / it', 'inference, img/s', 'ours / it', 'peak, MB'];
  const rows = results.flatMap(({ case: { name }, contestants }) =>
    contestants.map((one) => [
      name,
      one.name,
      `${one.training.imagesPerSecond.toFixed(0)} (${one.training.threads})`,
      ratioText(one.training.ratio),
      one.inference ? `${one.inference.imagesPerSecond.toFixed(0)} (${one.inference.threads})` : '',
      one.inference ? ratioText(one.inference.ratio) : '',
      one.peakMegabytes.toFixed(0),
    ]),
  );
  const list = results.flatMap((one) => verdicts(one).map((line) => `- ${one.case.name}, ${line}`)).join('\n');
  const text = [
    `${conditions}; medians of ${rounds} rounds in turns, in brackets the threads of an op, and the range of the rounds:`,
    markdownTable(head, rows),
    list,
  ];
  appendToFile(join(torchFolder(), '..', '..', 'docs', 'benchmarks.md'), 'train', text.join('\n\n'));
}
