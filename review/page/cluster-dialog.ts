/** The same mistake in several images: all of them on one sheet, to be decided at once, without those that are left out. */

import type { CandidateJson } from '../api.ts';
import type { Wording } from '../wording.ts';
import { colours } from './canvas.ts';
import { h } from './dom.ts';

export interface ClusterAnswer {
  readonly verdict: 'accept' | 'reject';
  readonly candidates: readonly CandidateJson[];
}

/** CSS pixels of a side. */
const tileSide = 150;

/** Null where it was closed without an answer. Nothing can be answered before every picture is there. */
export function askAboutCluster(
  candidates: readonly CandidateJson[],
  words: Wording,
  crop: (candidate: CandidateJson) => Promise<ImageBitmap>,
): Promise<ClusterAnswer | null> {
  return new Promise((resolve) => {
    const out = new Set<string>();
    let missing = candidates.length;
    const chosen = () => candidates.filter(({ id }) => !out.has(id));
    const answerWith = (verdict: ClusterAnswer['verdict']) => {
      resolve({ verdict, candidates: chosen() });
      dialog.close();
    };
    const answer = (verdict: ClusterAnswer['verdict'], key: string, text: string) =>
      h(
        'button.answer',
        { onclick: () => answerWith(verdict), 'aria-keyshortcuts': key },
        h('kbd', { 'aria-hidden': true }, key),
        h('span', {}, text),
      );
    const accept = answer('accept', 'A', words.accept);
    const reject = answer('reject', 'R', words.reject);
    const count = h('p.because', { 'aria-live': 'polite' });
    const refresh = () => {
      const n = chosen().length;
      count.textContent =
        missing > 0
          ? `${missing} pictures are on their way …`
          : `Your answer counts for ${n} of ${candidates.length}. Click those that are different.`;
      accept.disabled = missing > 0 || n === 0;
      reject.disabled = missing > 0 || n === 0;
    };
    const tiles = candidates.map((candidate) => {
      const canvas = h('canvas', { width: 2 * tileSide, height: 2 * tileSide });
      const tile = h(
        'button.tile',
        {
          'aria-pressed': 'true',
          'aria-label': `${candidate.image.fileName}, part of the answer`,
          onclick: () => {
            if (!out.delete(candidate.id)) out.add(candidate.id);
            tile.setAttribute('aria-pressed', String(!out.has(candidate.id)));
            refresh();
          },
        },
        canvas,
      );
      crop(candidate).then(
        (bitmap) => {
          paintTile(canvas, bitmap, candidate);
          bitmap.close();
          missing--;
          refresh();
        },
        () => {
          // What cannot be seen is not decided.
          out.add(candidate.id);
          tile.disabled = true;
          tile.setAttribute('aria-pressed', 'false');
          missing--;
          refresh();
        },
      );
      return tile;
    });
    const dialog = h(
      'dialog.help.cluster',
      { 'aria-label': 'The same mistake in other images' },
      h('header', {}, h('h2', {}, words.question), h('button.quiet', { onclick: () => dialog.close() }, 'Close')),
      count,
      h('div.tiles', {}, ...tiles),
      h('div.answers', {}, accept, reject),
    );
    dialog.addEventListener('keydown', (event) => {
      const verdict = { a: 'accept', r: 'reject' }[event.key.toLowerCase()] as ClusterAnswer['verdict'] | undefined;
      if (verdict === undefined || event.ctrlKey || event.metaKey || event.repeat) return;
      event.preventDefault();
      // The page behind would take the same key as an answer to its own question.
      event.stopPropagation();
      if (!accept.disabled) answerWith(verdict);
    });
    dialog.addEventListener('close', () => {
      resolve(null);
      dialog.remove();
    });
    document.body.append(dialog);
    refresh();
    dialog.showModal();
  });
}

function paintTile(canvas: HTMLCanvasElement, bitmap: ImageBitmap, { crop, label, detection }: CandidateJson): void {
  const context = canvas.getContext('2d')!;
  const [left, top, right, bottom] = crop;
  const scale = Math.min(canvas.width / (right - left), canvas.height / (bottom - top));
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, (right - left) * scale, (bottom - top) * scale);
  for (const [shape, colour, dashes] of [
    [label, colours.label, []],
    [detection, colours.detection, [12, 8]],
  ] as const) {
    if (shape === undefined) continue;
    const [x1, y1, x2, y2] = shape.box;
    context.setLineDash([...dashes]);
    context.strokeStyle = colour;
    context.lineWidth = 4;
    context.strokeRect((x1 - left) * scale, (y1 - top) * scale, (x2 - x1) * scale, (y2 - y1) * scale);
  }
}
