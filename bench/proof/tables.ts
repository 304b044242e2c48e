/** Tables in Markdown, and figures as people write them. */

import type { Interval } from '../../detection/bootstrap.ts';

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

/** `38.1 [34.5, 41.5]`, from shares of 1. */
export function percentWithInterval({ value, low, high }: Interval): string {
  return `${percent(value)} [${percent(low)}, ${percent(high)}]`;
}

export function percent(share: number): string {
  return withMinus((100 * share).toFixed(1));
}

/** `0.123 [0.100, 0.146]`. */
export function decimalWithInterval({ value, low, high }: Interval, digits: number): string {
  return `${decimal(value, digits)} [${decimal(low, digits)}, ${decimal(high, digits)}]`;
}

export function decimal(value: number, digits: number): string {
  return withMinus(value.toFixed(digits));
}

/** A hyphen before zeros only says on which side of nothing a rounding fell. */
function withMinus(text: string): string {
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text;
}
