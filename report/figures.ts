/** The report's figures as SVG text, drawn on the server by Observable Plot. */

import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Curves, Metrics } from '../artifacts/types.ts';
import type { Made } from './types.ts';

/** Okabe and Ito's palette, which people with any kind of colour vision can tell apart. https://jfly.uni-koeln.de/color/ */
export const palette = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#F0E442', '#000000'];

const width = 720;

/** SVG text of a plot in the report's width. */
export function draw(options: Plot.PlotOptions): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const svg = Plot.plot({ document, width, style: { background: 'transparent', fontSize: '12px' }, ...options });
  return svg.outerHTML;
}

/** AP of every row on one split at one label version, as dots with intervals. */
export function tableFigure(metrics: Metrics, split: string, labels: string): string {
  const rows = metrics.rows.flatMap((row) => {
    const cell = row.cells.find((one) => one.split === split && one.labels === labels);
    return cell ? [{ name: row.name, role: row.role, ...cell.AP }] : [];
  });
  return draw({
    height: 60 + 30 * rows.length,
    marginLeft: 120,
    marginBottom: 44,
    x: { label: `AP on ${split}, ${labels} labels, with 95 % interval`, grid: true },
    y: { label: null, domain: rows.map((row) => row.name) },
    color: { domain: ['baseline', 'model', 'merged', 'control'], range: palette.slice(0, 4), legend: false },
    marks: [
      Plot.ruleY(rows, { y: 'name', x1: 'low', x2: 'high', stroke: 'role', strokeWidth: 2 }),
      Plot.dot(rows, { y: 'name', x: 'value', r: 5, fill: 'role' }),
    ],
  });
}

/** Loss of each training over its epochs; a vertical line where clipping was switched on. */
export function lossFigure(curves: readonly Made<Curves>[]): string {
  const rows = curves.flatMap((one) =>
    one.value.epochs.map((epoch) => ({ step: one.path, epoch: epoch.epoch, loss: epoch.loss.total })),
  );
  const switches = curves.flatMap((one) =>
    one.value.clipSwitch ? [{ step: one.path, epoch: one.value.clipSwitch.epoch }] : [],
  );
  return draw({
    height: 320,
    marginRight: 150,
    x: { label: 'Epoch' },
    y: { label: 'Training loss', type: 'log', grid: true },
    color: { domain: curves.map((one) => one.path), range: palette },
    marks: [
      Plot.ruleX(switches, { x: 'epoch', stroke: 'step', strokeDasharray: '3,3' }),
      Plot.lineY(rows, { x: 'epoch', y: 'loss', stroke: 'step', strokeWidth: 1.8 }),
      Plot.text(
        rows,
        Plot.selectLast({ x: 'epoch', y: 'loss', z: 'step', text: 'step', dx: 6, textAnchor: 'start', fill: 'step' }),
      ),
    ],
  });
}

/** Names beside their colours, for figures whose marks are coloured by name. */
export function legend(names: readonly string[], colours: readonly string[] = palette): string {
  const items = names.map(
    (name, index) =>
      `<tspan fill="${colours[index % colours.length]}" font-weight="bold">● </tspan><tspan fill="currentColor">${escapeText(name)}   </tspan>`,
  );
  return `<svg viewBox="0 0 ${width} 24" width="${width}" height="24" font-family="system-ui, sans-serif" font-size="12" role="img"><text x="40" y="16" xml:space="preserve">${items.join('')}</text></svg>`;
}

/** Text made safe for HTML and SVG. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
