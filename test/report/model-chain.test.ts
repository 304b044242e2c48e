import { expect, test } from 'vitest';
import type { Forgetting } from '../../artifacts/types.ts';
import { fateOf } from '../../detection/forgetting.ts';
import { modelChainSection } from '../../report/model-chain.ts';
import type { ReportInput } from '../../report/types.ts';

const target = (id: string, scores: readonly number[]): Forgetting['targets'][number] => {
  const history = { annotationId: id, imageId: 1, scores };
  return { ...history, fileName: `${id}.png`, split: 'val', box: [1.2, 2, 3, 4.6], fate: fateOf(history) };
};

const input = (over: Partial<ReportInput>): ReportInput =>
  ({ steps: [], curves: [], forgetting: [], ...over }) as never;

test('the report says which models were promoted, and what each learnt and forgot', () => {
  const model = { artifact: 'model', digest: 'ab', bytes: 1 } as const;
  const section = modelChainSection(
    input({
      steps: [
        {
          path: 'rounds[1].promote',
          kind: 'promote',
          state: 'done',
          reused: false,
          outputs: { promoted: false, reason: 'Kept the old model: because.' },
        },
      ],
      forgetting: [
        {
          path: 'ledger',
          value: {
            models: [model, model, model],
            confidence: 0.3,
            iou: 0.5,
            targets: [
              target('a', [0.9, 0.9, 0.9]),
              target('b', [0.4, 0, 0]),
              target('c', [0.8, 0, 0]),
              target('d', [0, 0.5, 0.5]),
            ],
          },
        },
      ],
    }),
  );
  expect(section?.blocks.map(({ type }) => type)).toEqual(['text', 'list', 'text', 'table', 'table']);
  expect(section?.blocks[1]).toMatchObject({ items: ['rounds[1].promote: Kept the old model: because.'] });
  expect(section?.blocks[2]).toMatchObject({
    text: 'Of 4 labelled boxes (ledger; found from a score of 0.3 and an IoU of 0.5 on) the last of 3 models has kept 1, learnt 1, relearnt 0 and forgotten 2; 0 were never found.',
  });
  const rows = (i: number) =>
    (section!.blocks[i] as unknown as { table: { rows: { text: string }[][] } }).table.rows.map((row) =>
      row.map(({ text }) => text),
    );
  expect(rows(3)).toEqual([
    ['model 1', 'model 2', '1', '0', '2', '1', '0'],
    ['model 2', 'model 3', '0', '0', '0', '2', '2'],
  ]);
  expect(rows(4)).toEqual([
    ['c.png', 'val', '1, 2, 3, 5', '0.80', 'missed', 'missed'],
    ['b.png', 'val', '1, 2, 3, 5', '0.40', 'missed', 'missed'],
  ]);
});

test('an interpolated training shows what each share of the new weights reached', () => {
  const interpolation = { newShare: 0.5, tried: [0.5, 1].map((newShare) => ({ newShare, AP: 0.4, AP50: 0.7 })) };
  const section = modelChainSection(
    input({ curves: [{ path: 'rounds[1].train', value: { interpolation } }] as unknown as ReportInput['curves'] }),
  );
  const [block] = section!.blocks;
  expect(block?.type === 'table' ? block.table.rows : []).toMatchObject([
    [{ text: 'rounds[1].train' }, { text: '0.5', strong: true }, { text: '40.0' }, { text: '70.0' }],
    [{ text: 'rounds[1].train' }, { text: '1', strong: false }, { text: '40.0' }, { text: '70.0' }],
  ]);
});

test('a run without a gate or a ledger has no such section', () => {
  expect(modelChainSection(input({}))).toBeNull();
});
