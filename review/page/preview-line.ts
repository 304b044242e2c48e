/** What the answers so far do to the validation AP of the current model, and what is expected of the rest. */

import type { Decision } from '../../detection/types.ts';
import type { PreviewJson } from '../api.ts';
import { isEnough } from '../wording.ts';
import type { Connection } from './connection.ts';
import { h } from './dom.ts';

/** The server measures again for each new answer: no oftener than this. */
const apartMs = 1_500;
/** What others decide is seen after this at the latest. */
const renewMs = 30_000;

export class PreviewLine {
  readonly element = h('p.preview', { hidden: true, role: 'status' });
  readonly #ask: () => Promise<PreviewJson | null>;
  readonly #proceed: string;
  #timer = 0;
  #asking = false;
  #again = false;
  #askedAt = 0;
  #closed = false;

  constructor(connection: Connection, run: string, gate: string, unsent: () => readonly Decision[]) {
    const path = `/api/runs/${encodeURIComponent(run)}/gates/${encodeURIComponent(gate)}/preview`;
    this.#ask = () => connection.json<PreviewJson | null>(path, { decisions: unsent() });
    this.#proceed = `hardcase review proceed ${run} ${gate}`;
    this.changed();
  }

  /** Something was decided, or taken back. */
  changed(): void {
    clearTimeout(this.#timer);
    if (this.#asking) this.#again = true;
    else this.#timer = window.setTimeout(() => void this.#measure(), Math.max(0, this.#askedAt + apartMs - Date.now()));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #measure(): Promise<void> {
    this.#asking = true;
    this.#again = false;
    this.#askedAt = Date.now();
    // Without an answer the last figures stay: they are still those of what was decided then.
    const preview = await this.#ask().catch(() => undefined);
    this.#asking = false;
    if (this.#closed) return;
    if (preview !== undefined) this.#show(preview);
    // Where there is nothing to measure by, there will be nothing later.
    if (preview === null) return;
    if (this.#again) this.changed();
    else this.#timer = window.setTimeout(() => void this.#measure(), renewMs);
  }

  #show(preview: PreviewJson | null): void {
    const told = preview !== null && preview.AP.now >= 0;
    this.element.hidden = !told;
    if (!told) return;
    const { AP, images, gainLeft } = preview;
    const rise = AP.before < 0 ? 0 : AP.now - AP.before;
    const text = `Validation AP ${points(AP.now)} (${rise < 0 ? '−' : '+'}${points(Math.abs(rise))})`;
    const rest =
      gainLeft === undefined
        ? ''
        : isEnough(gainLeft)
          ? 'stop here: under 0.1 more expected'
          : `about ${points(gainLeft.value)} more expected`;
    this.element.dataset.enough = String(gainLeft !== undefined && isEnough(gainLeft));
    this.element.title = `The same model and its ${images} validation images, measured with the labels as you leave them: the ruler changes, not the model. To go on without the rest: ${this.#proceed}`;
    const words = [text, rest].filter((part) => part !== '').join(' · ');
    if (this.element.textContent !== words) this.element.textContent = words;
  }
}

/** 0..1 as points, to a tenth. */
const points = (value: number): string => (100 * value).toFixed(1);
