/** What was held back from training, and what that did to AP and to how much it sways late in a training. */

import type { Curves, HeldBox, Metrics, Quarantined } from '../artifacts/types.ts';
import type { Dynamics } from '../detection/dynamics.ts';
import { fluctuationDifference, fluctuationOf, lastThird } from '../detection/fluctuation.ts';
import { legend } from './figures.ts';
import { cartographyFigure, categoryColours, picturesFigure } from './target-figures.ts';
import type { Block, BoxPicture, Cell, Made, ReportInput, Section, Table } from './types.ts';

/** Held boxes that are listed one by one. */
const listedMost = 20;

const plain = (text: string | number): Cell => ({ text: String(text) });
const points = (value: number): string => (100 * value).toFixed(2);
const signed = (value: number): string => `${value < 0 ? '−' : '+'}${points(Math.abs(value))}`;
const bounds = (one: { readonly value: number; readonly low: number; readonly high: number }, of = points): string =>
  `${of(one.value)} [${of(one.low)}, ${of(one.high)}]`;
const rounded = (value: number | null, digits: number): string => (value === null ? '–' : value.toFixed(digits));

export function quarantineSection(input: ReportInput): Section | null {
  const { quarantined, dynamics } = input;
  if (quarantined.length === 0 && dynamics.length === 0) return null;
  const blocks: Block[] = [];
  if (quarantined.length > 0) {
    blocks.push({ type: 'table', table: stepsTable(quarantined) });
    const rules = new Set(quarantined.map(({ value }) => value.rule));
    blocks.push({ type: 'text', text: `Held: ${[...rules].join('; or: ')}.` });
    const last = lastHolding(quarantined);
    if (last) blocks.push({ type: 'table', table: worstTable(last) });
    if (last && input.heldPictures.length > 0) blocks.push(pictures(last, input.heldPictures));
    if (input.planted.some(({ value }) => value.featureOf)) blocks.push({ type: 'table', table: truthTable(input) });
    blocks.push(...effectBlocks(input));
  }
  const held = new Set(quarantined.flatMap(({ value }) => value.held.map(({ annotation }) => annotation.id)));
  // Between the first training and the last one looks much like the next.
  for (const one of new Set([dynamics[0], dynamics.at(-1)])) {
    if (one) blocks.push(cartography(one.path, one.value, held));
  }
  return { id: 'quarantine', title: 'Quarantine', blocks };
}

function stepsTable(quarantined: readonly Made<Quarantined>[]): Table {
  return {
    caption:
      'Single boxes of the train split that were held back from training: ignore regions there, not counted in mining, and asked for in every measurement. “Look mislabelled” are worth a reviewer’s look.',
    columns: ['Step', 'By', 'Boxes', 'Held', 'Newly', 'Released', 'Look mislabelled', 'Unlearnable', 'Hard or easy'],
    rows: quarantined.map(({ path, value }) => {
      const named = (...names: string[]) =>
        value.held.filter(({ category }) => names.includes(String(category))).length;
      return [
        path,
        value.by,
        value.considered,
        value.held.length,
        value.held.filter(({ rounds }) => rounds === 1).length,
        value.released.length,
        named('mislabelled'),
        named('unlearnable'),
        named('hard', 'easy'),
      ].map(plain);
    }),
  };
}

/** The last quarantine that holds anything. */
export function lastHolding(quarantined: readonly Made<Quarantined>[]): Made<Quarantined> | undefined {
  return quarantined.findLast(({ value }) => value.held.length > 0);
}

/** Those of the highest late loss first. */
export function worstFirst({ held }: Quarantined): HeldBox[] {
  return [...held].sort((a, b) => (b.lateLoss ?? 0) - (a.lateLoss ?? 0));
}

function pictures({ path, value }: Made<Quarantined>, shown: readonly BoxPicture[]): Block {
  const categoryOf = new Map(value.held.map(({ annotation, category }) => [annotation.id, category]));
  return {
    type: 'figure',
    figure: {
      caption: `What ${path} holds, with what is around it: the highest late losses first.`,
      svg: picturesFigure(
        shown.map((one) => ({
          ...one,
          text: `image ${one.imageId}, ${categoryOf.get(one.annotationId) ?? 'not covered'}`,
        })),
      ),
    },
  };
}

function worstTable({ path, value }: Made<Quarantined>): Table {
  const worst = worstFirst(value).slice(0, listedMost);
  return {
    caption: `Boxes that ${path} holds${value.held.length > listedMost ? `: the ${listedMost} of the highest late loss, of ${value.held.length}` : ''}.`,
    columns: ['Image', 'Box', 'Looks', 'Confidence', 'Variability', 'Late loss', 'Rounds', 'Why'],
    rows: worst.map((one) =>
      [
        one.annotation.imageId,
        one.annotation.box.map((edge) => Math.round(edge)).join(', '),
        one.category ?? '–',
        rounded(one.confidence, 2),
        rounded(one.variability, 3),
        rounded(one.lateLoss, 2),
        one.rounds,
        // The figures after the colon stand in the columns.
        one.reason.split(':')[0]!,
      ].map(plain),
    ),
  };
}

/** What held boxes really are, on synthetic scenes. A right label keeps the id of its true box. */
function truthTable({ quarantined, planted }: ReportInput): Table {
  const errors = new Map(
    planted.flatMap(({ value }) => value.errors.map((one) => [one.annotationId, one.type] as const)),
  );
  const isRare = (id: string) =>
    planted.some(({ value }) => value.featureOf?.[id] !== undefined && value.featureOf[id] === value.rareFeature);
  const kindOf = (id: string): string => errors.get(id) ?? (isRare(id) ? 'rare' : 'ordinary');
  const kinds = ['rare', 'spurious', 'shifted', 'wrong-class', 'ordinary'];
  return {
    caption:
      'What the held boxes really are, as the scenes were drawn: of the rare kind, label errors, or ordinary and right.',
    columns: ['Step', 'Held', 'Rare kind', 'Spurious', 'Shifted', 'Wrong class', 'Ordinary'],
    rows: quarantined.map(({ path, value }) => {
      const held = value.held.map(({ annotation }) => kindOf(annotation.id));
      return [path, held.length, ...kinds.map((kind) => held.filter((one) => one === kind).length)].map(plain);
    }),
  };
}

/** AP on validation over the epochs of a training in which it was measured. */
const validationsOf = ({ value }: Made<Curves>): number[] =>
  value.epochs.flatMap(({ validation }) => (validation ? [validation.AP] : []));

function effectBlocks({ curves, metrics, steps }: ReportInput): Block[] {
  const withHeld = curves.filter(({ value }) => (value.quarantined ?? 0) > 0);
  const without = curves.filter(({ value }) => (value.quarantined ?? 0) === 0);
  if (withHeld.length === 0) {
    return [
      { type: 'text', text: 'No training of this run used labels with held boxes, so their effect was not measured.' },
    ];
  }
  const blocks: Block[] = [
    {
      type: 'table',
      table: {
        caption:
          'How much AP on validation sways late in each training, in points: standard deviation about the straight line of the last third of its validations, with a 95 % bootstrap interval over them. Neighbouring epochs are alike, so the intervals are rather too narrow.',
        columns: ['Training', 'Boxes held', 'Validations', 'Late fluctuation of AP', 'Mean AP of the last third'],
        rows: [...without, ...withHeld].map((one) => {
          const late = lastThird(validationsOf(one));
          const sway = fluctuationOf(late, one.path);
          const mean = late.reduce((sum, AP) => sum + AP, 0) / late.length;
          return [
            plain(one.path),
            plain(one.value.quarantined ?? 0),
            plain(late.length),
            { text: sway ? bounds(sway) : 'too few validations', grey: true },
            { text: late.length > 0 ? points(mean) : '–', grey: true },
          ];
        }),
      },
    },
  ];
  const differences = withHeld.flatMap((one) => without.map((other) => ({ one, other })));
  const compared = differences.flatMap(({ one, other }) => {
    const change = fluctuationDifference(lastThird(validationsOf(one)), lastThird(validationsOf(other)), one.path);
    const AP = comparisonOf(one, other, metrics, steps);
    return change || AP ? [{ one, other, change, AP }] : [];
  });
  if (compared.length > 0) {
    blocks.push({
      type: 'table',
      table: {
        caption:
          'Trainings with held boxes less those without, in points; they may also differ in seed, start and labels. The difference of AP is the paired bootstrap of the table of results, where that compares the two; it holds for these weights.',
        columns: ['With', 'Without', 'Late fluctuation', 'AP', 'In words'],
        rows: compared.map(({ one, other, change, AP }) => [
          plain(one.path),
          plain(other.path),
          { text: change ? bounds(change, signed) : '–', grey: true },
          plain(AP ? `${bounds(AP.AP, signed)} on ${AP.split}` : 'not compared'),
          plain(inWords(change, AP?.AP)),
        ]),
      },
    });
  }
  return blocks;
}

/** The comparison of the two trainings' models in a table of results, turned so that it reads with less without. */
function comparisonOf(
  one: Made<Curves>,
  other: Made<Curves>,
  metrics: readonly Made<Metrics>[],
  steps: ReportInput['steps'],
): Metrics['comparisons'][number] | null {
  const modelOf = (path: string): string | undefined => {
    const model = steps.find((step) => step.path === path)?.outputs?.model as { readonly digest?: string } | undefined;
    return model?.digest;
  };
  for (const { value } of metrics) {
    const nameOf = (digest: string | undefined): string | undefined =>
      value.rows.find(({ models }) => models.length === 1 && models[0]!.digest === digest)?.name;
    const [first, second] = [nameOf(modelOf(one.path)), nameOf(modelOf(other.path))];
    if (first === undefined || second === undefined) continue;
    const found = value.comparisons.find(({ name, against }) => name === first && against === second);
    if (found) return found;
    const turned = value.comparisons.find(({ name, against }) => name === second && against === first);
    if (turned) return { ...turned, name: first, against: second, AP: negated(turned.AP), AP50: negated(turned.AP50) };
  }
  return null;
}

function negated({ value, low, high }: Metrics['comparisons'][number]['AP']): Metrics['comparisons'][number]['AP'] {
  return { value: -value, low: -high, high: -low };
}

function inWords(
  change: { readonly low: number; readonly high: number } | null,
  AP: { readonly low: number; readonly high: number } | undefined,
): string {
  const of = (one: { readonly low: number; readonly high: number }, up: string, down: string, same: string): string =>
    one.low > 0 ? up : one.high < 0 ? down : same;
  const words = [
    ...(change ? [of(change, 'less calm', 'calmer', 'no calmer beyond noise')] : []),
    ...(AP ? [of(AP, 'more accurate', 'less accurate', 'as accurate within noise')] : []),
  ];
  return words.join(', ');
}

function cartography(path: string, dynamics: Dynamics, held: ReadonlySet<string>): Block {
  return {
    type: 'figure',
    figure: {
      caption: `How ${path} went for each box, over ${dynamics.epochs.length} profiled epochs. Low confidence and low variability: look at the label. High variability: hard, keep. Ringed: held in quarantine by any step.`,
      svg: `${legend(
        categoryColours.map(([name]) => name),
        categoryColours.map(([, colour]) => colour),
      )}${cartographyFigure(dynamics, held)}`,
    },
  };
}
