/** Figure 1: capacity against AP, on the images that chose and on those that were trained on. */

import * as Plot from '@observablehq/plot';
import type { Trials } from '../artifacts/types.ts';
import { draw, legend, palette } from './figures.ts';

type Trial = Trials['trials'][number];
type Size = Pick<Trial, 'depth' | 'width' | 'imageSize' | 'anchors'>;

/** What varies beside depth and width, for tables and names. */
export function varying(trials: Trials): { readonly imageSize: boolean; readonly anchors: boolean } {
  const all: readonly Size[] = [...trials.trials, ...(trials.stopped ?? [])];
  const varies = (name: 'imageSize' | 'anchors') => new Set(all.map((trial) => trial[name])).size > 1;
  return { imageSize: varies('imageSize'), anchors: varies('anchors') };
}

/**
 * One line a depth (and image size, and number of anchors, where those vary too), over the widths: AP on validation with
 * its interval, and dashed AP on training images. Trials that were stopped early are hollow, where they had got to.
 */
export function capacityFigure(trials: Trials): string {
  const varies = varying(trials);
  const lineOf = ({ depth, imageSize, anchors }: Size) =>
    [
      `depth ${depth}`,
      ...(varies.imageSize ? [`${imageSize} px`] : []),
      ...(varies.anchors ? [`${anchors} ${anchors === 1 ? 'anchor' : 'anchors'}`] : []),
    ].join(', ');
  // The same weights cost more on larger images, so parameters alone would put unequal models in one place.
  const byWork = varies.imageSize && trials.trials.every(({ flops }) => flops !== undefined);
  const costOf = ({ parameters, flops }: Pick<Trial, 'parameters' | 'flops'>) => (byWork ? flops! : parameters);
  const ended = trials.trials.map((trial) => ({
    line: lineOf(trial),
    cost: costOf(trial),
    width: String(trial.width),
    AP: trial.AP.value,
    low: trial.AP.low,
    high: trial.AP.high,
    trainAP: trial.trainAP?.value,
    chosen: trial.chosen,
  }));
  const stopped = (trials.stopped ?? []).map((trial) => ({
    line: lineOf(trial),
    cost: costOf(trial),
    width: String(trial.width),
    AP: trial.AP,
  }));
  const lines = [...new Set([...ended, ...stopped].map(({ line }) => line))];
  const order = { x: 'cost', z: 'line', stroke: 'line', sort: 'cost' } as const;
  const onTraining = ended.filter(({ trainAP }) => trainAP !== undefined);
  const svg = draw({
    height: 340,
    marginLeft: 48,
    marginRight: 40,
    marginBottom: 44,
    x: {
      type: 'log',
      label: byWork ? 'Operations of one image' : 'Parameters',
      ticks: 4,
      tickFormat: 's',
      insetLeft: 50,
      insetRight: 30,
    },
    y: { label: 'AP in percent', percent: true, grid: true, zero: true, insetTop: 14 },
    color: { domain: lines, range: palette, legend: false },
    marks: [
      Plot.line(onTraining, { ...order, y: 'trainAP', strokeDasharray: '4,4', strokeWidth: 1.2 }),
      Plot.dot(onTraining, { x: 'cost', y: 'trainAP', r: 2, fill: 'line' }),
      Plot.line(ended, { ...order, y: 'AP', strokeWidth: 1.8 }),
      Plot.ruleX(ended, { x: 'cost', y1: 'low', y2: 'high', stroke: 'line', strokeWidth: 2 }),
      Plot.dot(ended, { x: 'cost', y: 'AP', r: 4.5, fill: 'line' }),
      Plot.dot(stopped, { x: 'cost', y: 'AP', r: 4, stroke: 'line', strokeWidth: 1.5 }),
      Plot.dot(
        ended.filter(({ chosen }) => chosen),
        { x: 'cost', y: 'AP', r: 9, stroke: 'currentColor', strokeWidth: 2 },
      ),
      Plot.text([...ended, ...stopped], { x: 'cost', y: 'AP', text: 'width', dx: 11, dy: 10, textAnchor: 'start' }),
      Plot.text(
        ended.filter(({ chosen }) => chosen),
        { x: 'cost', y: 'AP', text: () => 'chosen', dx: -10, dy: -13, textAnchor: 'end', fontWeight: 'bold' },
      ),
    ],
  });
  return `${legend(lines)}${svg}`;
}
