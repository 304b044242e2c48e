import sharp from 'sharp';
import { expect, test } from 'vitest';
import { toDot, toPng, toSvg } from '../../cli/plan-drawing.ts';
import { planOf } from '../plan/compile-text.ts';

const plan = planOf(`
  name: drawn
  steps:
    data: { uses: synthesize, with: { images: 20 } }
    model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}" } }
    errors: { uses: mine, with: { model: "\${{ steps.model.model }}", dataset: "\${{ steps.data.dataset }}" } }
    review: { uses: review-labels, with: { dataset: "\${{ steps.data.dataset }}", candidates: "\${{ steps.errors.candidates }}" } }
    loop:
      repeat: { max: 3, until: steps.train.AP > 0.8, carry: { model: "\${{ steps.model.model }}" } }
      steps:
        train: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ steps.review.dataset }}" } }
      next: { model: "\${{ steps.train.model }}" }
    merge: { uses: merge, with: { models: "\${{ steps.loop.all.map(r, r.model) }}" } }`);

const dot = toDot(plan, [
  { path: 'data', kind: 'synthesize', outlook: 'reuse' },
  { path: 'loop[1].train', kind: 'train', outlook: 'reuse' },
  { path: 'loop[2].train', kind: 'train', outlook: 'run' },
]);

test('edges that others imply are left out, and those of a loop end at its box', () => {
  const edges = dot.split('\n').filter((line) => line.includes('->'));
  expect(edges.map((line) => line.trim())).toEqual([
    '"data" -> "model";',
    '"model" -> "errors";',
    '"errors" -> "review";',
    '"review" -> "loop[].train" [lhead="cluster loop"];',
    '"loop[].train" -> "merge" [ltail="cluster loop"];',
  ]);
});

test('a step is coloured by what a run does with it, and a loop by its first round that is not reused', () => {
  const fill = (path: string) =>
    new RegExp(`"${path.replaceAll(/[[\]]/g, '\\$&')}" \\[.*fillcolor="(#\\w+)"`).exec(dot)?.[1];
  expect([fill('data'), fill('loop[].train'), fill('model')]).toEqual(['#dcf2e3', '#dbe8fb', '#f3f3f3']);
  expect(dot).toContain('[label="review\\nreview-labels\\nwaits for people"');
});

test('the drawing is an SVG with every step and a PNG of two pixels a point', async () => {
  const svg = await toSvg(dot);
  for (const word of ['synthesize', 'review&#45;labels', 'until steps.train.AP &gt; 0.8', 'not known yet']) {
    expect(svg).toContain(word);
  }
  const [, width] = /<svg width="(\d+)pt"/.exec(svg)!;
  const picture = await sharp(await toPng(svg)).metadata();
  expect(picture.format).toBe('png');
  expect(picture.width).toBeCloseTo(Number(width) * 2, -1);
});
