/** From model to model: which were promoted, and what each learnt and forgot. */

import type { Forgetting } from '../artifacts/types.ts';
import { transitionsOf, worstForgotten } from '../detection/forgetting.ts';
import type { Block, Cell, Made, ReportInput, Section } from './types.ts';

/** Forgotten boxes that are listed one by one. */
const listedMost = 10;

const plain = (text: string | number): Cell => ({ text: String(text) });

export function modelChainSection(input: ReportInput): Section | null {
  const blocks = [...promotions(input), ...interpolations(input), ...input.forgetting.flatMap(ledger)];
  return blocks.length === 0 ? null : { id: 'chain', title: 'From model to model', blocks };
}

function promotions({ steps }: ReportInput): Block[] {
  const items = steps.flatMap(({ kind, path, outputs }) =>
    kind === 'promote' && outputs ? [`${path}: ${String(outputs.reason)}`] : [],
  );
  if (items.length === 0) return [];
  return [
    {
      type: 'text',
      text: 'A new model takes the place of the old one only where it is better on the hard validation images, by more than noise, and not worse on all of them:',
    },
    { type: 'list', items },
  ];
}

function interpolations({ curves }: ReportInput): Block[] {
  const points = (value: number): string => (100 * value).toFixed(1);
  const rows = curves.flatMap(({ path, value: { interpolation } }) =>
    (interpolation?.tried ?? []).map(({ newShare, AP, AP50 }): Cell[] => [
      plain(path),
      { text: String(newShare), strong: newShare === interpolation?.newShare },
      { text: points(AP), grey: true },
      { text: points(AP50), grey: true },
    ]),
  );
  if (rows.length === 0) return [];
  return [
    {
      type: 'table',
      table: {
        caption:
          'Models between the old weights (share 0) and the new ones (share 1), on validation; in bold what was taken.',
        columns: ['Step', 'Share of the new', 'AP', 'AP50'],
        rows,
      },
    },
  ];
}

function ledger({ path, value }: Made<Forgetting>): Block[] {
  const { confidence, iou, targets, models } = value;
  const worst = worstForgotten(targets, listedMost);
  const count = (fate: string): number => targets.filter((target) => target.fate === fate).length;
  const score = (value: number): string => (value > 0 ? value.toFixed(2) : 'missed');
  const byId = new Map(targets.map((target) => [target.annotationId, target]));
  const blocks: Block[] = [
    {
      type: 'text',
      text:
        `Of ${targets.length} labelled boxes (${path}; found from a score of ${confidence} and an IoU of ${iou} on) ` +
        `the last of ${models.length} models has kept ${count('kept')}, learnt ${count('learnt')}, relearnt ` +
        `${count('relearnt')} and forgotten ${count('forgotten')}; ${count('never')} were never found.`,
    },
    {
      type: 'table',
      table: {
        caption: `What each model learnt and forgot against the one before (${path}).`,
        columns: ['From', 'To', 'Learnt', 'Relearnt', 'Forgotten', 'Still found', 'Still missed'],
        rows: transitionsOf(targets).map((one) =>
          [
            `model ${one.from}`,
            `model ${one.to}`,
            one.learnt,
            one.relearnt,
            one.forgotten,
            one.stillFound,
            one.stillMissed,
          ].map(plain),
        ),
      },
    },
  ];
  if (worst.length === 0) return blocks;
  return [
    ...blocks,
    {
      type: 'table',
      table: {
        caption: 'The worst forgotten boxes: once found with the highest scores, missed by the last model.',
        columns: ['Image', 'Split', 'Box', ...models.map((_, m) => `Model ${m + 1}`)],
        rows: worst.map(({ annotationId, scores }) => {
          const { fileName, split, box } = byId.get(annotationId)!;
          return [fileName, split, box.map(Math.round).join(', '), ...scores.map(score)].map(plain);
        }),
      },
    },
  ];
}
