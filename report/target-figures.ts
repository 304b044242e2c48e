/** Figures of single targets: what each costs every model, what a feature costs by its count, and how training went for each. */

import * as Plot from '@observablehq/plot';
import type { Profile } from '../artifacts/types.ts';
import { type Dynamics, summarizeDynamics, type TargetCategory } from '../detection/dynamics.ts';
import { expectedProbability, focalLossAt } from '../detection/features.ts';
import { draw, escapeText, palette } from './figures.ts';
import type { BoxPicture } from './types.ts';

const missedColour = palette[1]!;

/**
 * Loss of each target of the last training set under each model, a panel a model. Targets are in the order of their
 * loss under the first model, which missed those on the right; -1 stands for a missed one, as in the published figure.
 */
export function profileFigure(profile: Profile): string {
  const targets = profile.targets.filter((target) => !target.quarantined);
  const rankOf = (loss: number): number => (loss === -1 ? Number.POSITIVE_INFINITY : loss);
  const order = targets
    .map((target, index) => ({ index, first: rankOf(target.loss[0] ?? -1), full: target.full?.[0] ?? 0 }))
    .sort((a, b) => (a.first === b.first ? a.full - b.full : a.first - b.first) || a.index - b.index);
  const rows = order.flatMap(({ index }, rank) =>
    profile.models.map((model, m) => ({ rank, model: model.name, loss: targets[index]!.loss[m]! })),
  );
  const notes = profile.models.map((model, m) => {
    const missed = targets.filter((target) => target.loss[m] === -1).length;
    return { model: model.name, text: `${missed} of ${targets.length} missed` };
  });
  const highest = Math.max(1, ...rows.map(({ loss }) => loss));
  return draw({
    height: 76 + 130 * profile.models.length,
    marginBottom: 46,
    marginRight: 80,
    x: { label: 'Target, in order of its loss under the first model', domain: [-0.5, targets.length - 0.5] },
    y: { label: 'Loss (−1: missed)', grid: true, domain: [-1.4, highest * 1.05], ticks: 5 },
    fy: { label: null, domain: profile.models.map((model) => model.name) },
    marks: [
      Plot.ruleY([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
      Plot.dot(rows, {
        x: 'rank',
        y: 'loss',
        fy: 'model',
        r: targets.length > 1000 ? 1.2 : 2,
        fill: (row: { loss: number }) => (row.loss === -1 ? missedColour : palette[0]!),
        fillOpacity: 0.6,
      }),
      Plot.text(notes, { fy: 'model', text: 'text', frameAnchor: 'top-left', dx: 6, dy: 4, fill: missedColour }),
    ],
  });
}

/**
 * How many targets look alike against their mean focal loss: dots are what is, the line is focal loss at the p_true
 * expected of that count. A panel for the first model and one for the last.
 */
export function featureFigure(profile: Profile): string | null {
  const { features } = profile;
  if (features === undefined || features.clusters.length < 2) return null;
  const shown = [...new Set([0, profile.models.length - 1])];
  const counts = features.clusters.map(({ count }) => count);
  const [fewest, most] = [Math.min(...counts), Math.max(...counts)];
  const name = (m: number): string => profile.models[m]!.name;
  const rows = shown.flatMap((m) =>
    features.clusters.map((cluster) => ({ model: name(m), count: cluster.count, loss: cluster.objectness[m]! })),
  );
  const expected = shown.flatMap((m) =>
    Array.from({ length: 60 }, (_, i) => {
      const count = fewest * (most / fewest) ** (i / 59);
      return {
        model: name(m),
        count,
        loss: focalLossAt(expectedProbability(count, features.halfCount[m]!), features.focal),
      };
    }),
  );
  return draw({
    height: 96 + 150 * shown.length,
    marginBottom: 46,
    marginRight: 80,
    x: { label: 'Targets that look alike', type: 'log', tickFormat: 'd', ticks: 5 },
    y: { label: 'Focal loss', grid: true, zero: true, ticks: 4 },
    fy: { label: null, domain: shown.map(name) },
    marks: [
      Plot.lineY(expected, {
        x: 'count',
        y: 'loss',
        fy: 'model',
        stroke: palette[1],
        strokeDasharray: '5,4',
        strokeWidth: 1.8,
      }),
      Plot.dot(rows, { x: 'count', y: 'loss', fy: 'model', r: 4.5, fill: palette[0], fillOpacity: 0.8 }),
    ],
  });
}

export const categoryColours: readonly (readonly [TargetCategory, string])[] = [
  ['easy', palette[0]!],
  ['hard', palette[4]!],
  ['mislabelled', palette[1]!],
  ['unlearnable', palette[3]!],
];

/** Mean p_true against its standard deviation over the epochs of one training, a dot a target; rings: held. */
export function cartographyFigure(dynamics: Dynamics, held: ReadonlySet<string>): string {
  const rows = summarizeDynamics(dynamics).filter(({ planted }) => !planted);
  return draw({
    height: 396,
    marginBottom: 46,
    x: { label: 'Variability of p_true', grid: true, zero: true },
    y: { label: 'Confidence: mean p_true', grid: true, domain: [0, 1] },
    color: { domain: categoryColours.map(([name]) => name), range: categoryColours.map(([, colour]) => colour) },
    marks: [
      Plot.dot(rows, {
        x: 'variability',
        y: 'confidence',
        fill: 'category',
        r: rows.length > 2000 ? 1.6 : 2.6,
        fillOpacity: 0.7,
      }),
      Plot.dot(
        rows.filter(({ annotationId }) => held.has(annotationId)),
        { x: 'variability', y: 'confidence', stroke: 'currentColor', strokeWidth: 1, r: 4.5 },
      ),
    ],
  });
}

/** Pictures in rows of six, each with its box and a line of text. */
export function picturesFigure(pictures: readonly (BoxPicture & { readonly text: string })[]): string {
  const columns = 6;
  const step = { x: 120, y: 140 };
  const items = pictures.map(({ data, side, box: [x1, y1, x2, y2], text }, i) => {
    const x = (i % columns) * step.x;
    const y = Math.floor(i / columns) * step.y;
    const frame = `x="${x1.toFixed(1)}" y="${y1.toFixed(1)}" width="${(x2 - x1).toFixed(1)}" height="${(y2 - y1).toFixed(1)}"`;
    return (
      `<g transform="translate(${x} ${y})"><image href="${escapeText(data)}" width="${side}" height="${side}"/>` +
      `<rect ${frame} fill="none" stroke="white" stroke-width="3"/><rect ${frame} fill="none" stroke="${missedColour}" stroke-width="1.5"/>` +
      `<text y="${side + 14}" fill="currentColor">${escapeText(text)}</text></g>`
    );
  });
  const height = Math.ceil(pictures.length / columns) * step.y;
  const width = columns * step.x;
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="10" role="img">${items.join('')}</svg>`;
}
