/**
 * What corrections do to the AP that a model is measured at: so far, and what is expected of those that are left. The model
 * stays as it is, and so do its detections; only the labels change that they are compared with.
 */

import { groupByImage, sortAnnotations } from './annotations.ts';
import type { CocoMetrics } from './average-precision.ts';
import { drawnAmong, markOf } from './decisions.ts';
import { withDrawn } from './drawn-boxes.ts';
import { IncrementalAp } from './incremental-ap.ts';
import { applyVerdicts } from './label-issues.ts';
import { createRandom } from './random.ts';
import type { Annotation, Candidate, CandidateType, Category, Decision, Detections, ImageEntry } from './types.ts';

export interface PreviewedSet {
  readonly categories: readonly Category[];
  /** Images that AP is measured on; what lies in others plays no part. */
  readonly images: readonly Pick<ImageEntry, 'id' | 'digest'>[];
  /** Labels before any correction. */
  readonly annotations: readonly Annotation[];
  readonly detections: Detections;
  /** All that decisions may be about. */
  readonly candidates: readonly Candidate[];
}

export type PreviewFigures = Pick<CocoMetrics, 'AP' | 'AP50'>;

/** A rise of AP, 0..1. */
export interface GainLeft {
  readonly value: number;
  /** Null before enough is decided to tell. */
  readonly high: number | null;
}

/** Draws of which the expected gain is the mean. */
const DRAWS = 6;
/** Errors and looks that are thought of as seen before any: a chance is believed until some ten answers speak against it. */
const PSEUDO_HITS = 5;
/** Answers of a type that its chances are corrected by: those of the lowest rank, because what is left ranks lower still. */
const WITNESSES = 60;
/** Answers of the lowest rank, of which it is asked what an error among them has brought. */
const RECENT = 50;

export class CorrectionPreview {
  readonly before: PreviewFigures;
  readonly #ap: IncrementalAp;
  readonly #images: ReadonlyMap<number, Pick<ImageEntry, 'id' | 'digest'>>;
  readonly #labels: ReadonlyMap<number, readonly Annotation[]>;
  readonly #candidates: ReadonlyMap<number, readonly Candidate[]>;
  /** What each image's labels were made of last. */
  readonly #marks = new Map<number, string>();

  constructor(set: PreviewedSet) {
    const imageIds = set.images.map(({ id }) => id);
    const measured = new Set(imageIds);
    this.#images = new Map(set.images.map((image) => [image.id, image]));
    const annotations = sortAnnotations(set.annotations.filter(({ imageId }) => measured.has(imageId)));
    this.#ap = new IncrementalAp({ ...set, imageIds, annotations }, set.detections, { areaRanges: [[0, 1e10]] });
    this.#labels = groupByImage(annotations);
    const candidates = new Map<number, Candidate[]>();
    for (const candidate of set.candidates) {
      if (!measured.has(candidate.imageId)) continue;
      candidates.set(candidate.imageId, [...(candidates.get(candidate.imageId) ?? []), candidate]);
    }
    this.#candidates = candidates;
    this.before = this.#figures();
  }

  /** Candidates in the images that AP is measured on. */
  get questions(): number {
    let count = 0;
    for (const own of this.#candidates.values()) count += own.length;
    return count;
  }

  /** With these decisions carried out. */
  after(decisions: ReadonlyMap<string, Decision>): PreviewFigures {
    this.#carryOut(decisions);
    return this.#figures();
  }

  /**
   * How much AP is expected to rise if the rest were decided too: the mean over draws in which each undecided candidate is
   * accepted with its chance, corrected by what was found among the decided of its type that rank next to them (60 at most):
   *
   *     min(1, chance x (errors found + 5) / (sum of their chances + 5))
   *
   * `high` errs on the other side: the errors that are expected among the rest, each worth what those of the lowest rank
   * among the decided were, which is more than what is left will be.
   *
   * Null where no chances are known. `pause` is waited for between two draws.
   */
  async gainLeft(
    asked: readonly Candidate[],
    decisions: ReadonlyMap<string, Decision>,
    pause?: () => Promise<void>,
  ): Promise<GainLeft | null> {
    const open = asked.filter(({ id, imageId }) => !decisions.has(id) && this.#candidates.has(imageId));
    if (asked.some(({ chance }) => chance === undefined)) return null;
    const corrected = correctionsOf(asked, decisions);
    const now = this.after(decisions).AP;
    if (open.length === 0 || now < 0) return { value: 0, high: 0 };
    // Systematic sampling: each draw accepts as many as are expected, of each type and at each height of the chance.
    const sorted = open.toSorted((a, b) => (a.type < b.type ? -1 : a.type > b.type ? 1 : b.chance! - a.chance!));
    const random = createRandom('gain left');
    let sum = 0;
    for (let draw = 0; draw < DRAWS; draw++) {
      let carry = (draw + random.next()) / DRAWS;
      const drawn = new Map(decisions);
      for (const { id, type, chance } of sorted) {
        carry += Math.min(1, chance! * corrected(type));
        if (carry < 1) continue;
        carry -= 1;
        drawn.set(id, { candidateId: id, verdict: 'accept' });
      }
      this.#carryOut(drawn);
      sum += this.#figures().AP - now;
      await pause?.();
    }
    const value = Math.max(0, sum / DRAWS);
    const recent = this.#gainOfRecent(asked, decisions, now);
    this.#carryOut(decisions);
    const errors = open.reduce((total, { type, chance }) => total + Math.min(1, chance! * corrected(type)), 0);
    return { value, high: recent === null ? null : Math.max(value, recent * errors) };
  }

  /** What one error has brought among those found last, by rank; null before there are enough of them. */
  #gainOfRecent(asked: readonly Candidate[], decisions: ReadonlyMap<string, Decision>, now: number): number | null {
    const last = asked
      .filter(({ id, imageId }) => decisions.has(id) && this.#candidates.has(imageId))
      .toSorted((a, b) => a.rank - b.rank)
      .slice(0, RECENT);
    const found = last.filter(({ id }) => decisions.get(id)!.verdict !== 'reject').length;
    if (last.length < RECENT) return null;
    const before = new Map(decisions);
    for (const { id } of last) before.delete(id);
    this.#carryOut(before);
    return (now - this.#figures().AP) / (found + 1);
  }

  #figures(): PreviewFigures {
    const { AP, AP50 } = this.#ap.metrics(['AP', 'AP50']);
    return { AP, AP50 };
  }

  #carryOut(decisions: ReadonlyMap<string, Decision>): void {
    const drawn = groupByImage(drawnAmong(decisions.values()));
    for (const [imageId, image] of this.#images) {
      const candidates = this.#candidates.get(imageId) ?? [];
      const own = [...candidates.flatMap(({ id }) => decisions.get(id) ?? []), ...(drawn.get(imageId) ?? [])];
      const mark = own.map((decision) => `${decision.candidateId} ${markOf(decision)}`).join('\n');
      if (mark === (this.#marks.get(imageId) ?? '')) continue;
      this.#marks.set(imageId, mark);
      const labels = { parent: null, author: '', note: '', annotations: this.#labels.get(imageId) ?? [] };
      const whole = withDrawn(candidates, own, new Map([[imageId, image]]));
      this.#ap.replace(imageId, applyVerdicts(labels, whole.candidates, whole.decisions, labels).labels.annotations);
    }
  }
}

/** By type: errors found for each that was expected among the decided. */
function correctionsOf(
  asked: readonly Candidate[],
  decisions: ReadonlyMap<string, Decision>,
): (type: CandidateType) => number {
  const seen = new Map<CandidateType, { found: number; expected: number; looked: number }>();
  for (const { id, type, chance } of asked.toSorted((a, b) => a.rank - b.rank)) {
    const decision = decisions.get(id);
    // A place that cannot be told says nothing about either.
    if (decision === undefined || decision.verdict === 'ignore') continue;
    const sums = seen.get(type) ?? { found: 0, expected: 0, looked: 0 };
    if (sums.looked === WITNESSES) continue;
    sums.looked++;
    sums.expected += chance!;
    if (decision.verdict !== 'reject') sums.found++;
    seen.set(type, sums);
  }
  return (type) => {
    const { found, expected } = seen.get(type) ?? { found: 0, expected: 0 };
    return (found + PSEUDO_HITS) / (expected + PSEUDO_HITS);
  };
}
