/** What comes next: candidates leased ahead, and their pictures fetched and decoded before they are needed. */

import type { CandidateJson, GateSummary, LeaseAnswer } from '../api.ts';
import { AwayError, type Connection, LockedError, RefusedError } from './connection.ts';

/** Candidates that this page has ahead; so many it can show when the connection drops. */
const aheadCount = 40;
const lowCount = 25;
/** Pictures that are decoded ahead: they cost memory. */
const decodedCount = 5;
const fetchedAtOnce = 4;
/** More crops than this nobody looks over at once. */
const clusterCount = 60;
const renewMs = 20_000;

export interface PictureSet {
  readonly crop: ImageBitmap | null;
  readonly whole: ImageBitmap | null;
  /** Why there is no picture, where the server said so. */
  readonly problem: string | null;
}

export interface SupplyEvents {
  /** Candidates came or went. */
  changed(): void;
  /** A picture of this candidate is there now. */
  pictured(candidateId: string): void;
  progress(progress: GateSummary): void;
}

interface Picture {
  blob: Blob | null;
  bitmap: ImageBitmap | null;
  problem: string | null;
  busy: boolean;
  retryAt: number;
}

export class Supply {
  readonly #connection: Connection;
  readonly #path: string;
  readonly #client: string;
  readonly #events: SupplyEvents;
  /** Ids that are decided here and not yet confirmed. */
  readonly #pending: () => readonly string[];
  #queue: CandidateJson[] = [];
  /** Put back for later; asked again when nothing else is left. */
  #skipped: CandidateJson[] = [];
  #elsewhere = 0;
  #exhausted = false;
  #asking = false;
  #askAt = 0;
  #askedAt = 0;
  #closed = false;
  readonly #pictures = new Map<string, Picture>();
  readonly #timer: number;

  constructor(
    connection: Connection,
    run: string,
    gate: string,
    client: string,
    pending: () => readonly string[],
    events: SupplyEvents,
  ) {
    this.#connection = connection;
    this.#path = `/api/runs/${encodeURIComponent(run)}/gates/${encodeURIComponent(gate)}`;
    this.#client = client;
    this.#pending = pending;
    this.#events = events;
    this.#timer = window.setInterval(() => this.#tick(), 400);
    this.#tick();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const { bitmap } of this.#pictures.values()) bitmap?.close();
    this.#pictures.clear();
  }

  get current(): CandidateJson | null {
    return this.#queue[0] ?? null;
  }

  get readyCount(): number {
    return this.#queue.length;
  }

  /** Candidates that others have at the moment. */
  get elsewhere(): number {
    return this.#elsewhere;
  }

  /** Whether the server has said that there is nothing more for us. */
  get exhausted(): boolean {
    return this.#exhausted && this.#queue.length === 0 && this.#skipped.length === 0;
  }

  /** Done with the current one. */
  next(): void {
    this.#queue.shift();
    if (this.#queue.length === 0 && this.#skipped.length > 0) this.#queue = this.#skipped.splice(0);
    this.#tick();
  }

  skip(): void {
    const first = this.#queue.shift();
    if (first !== undefined) this.#skipped.push(first);
    if (this.#queue.length === 0) this.#queue = this.#skipped.splice(0);
    this.#tick();
  }

  /** What was taken back comes first again. */
  putBack(candidate: CandidateJson): void {
    this.#queue = [candidate, ...this.#queue.filter(({ id }) => id !== candidate.id)];
    this.#skipped = this.#skipped.filter(({ id }) => id !== candidate.id);
    this.#tick();
  }

  /** All of a cluster that nobody else has and that are not decided: they are ours from now on. */
  async cluster(id: string): Promise<CandidateJson[]> {
    const had = this.#had();
    const answer = await this.#connection.json<LeaseAnswer>(`${this.#path}/leases`, {
      client: this.#client,
      keep: [...new Set([...had.map((one) => one.id), ...this.#pending()])],
      count: clusterCount,
      cluster: id,
    });
    const known = new Set(had.map((one) => one.id));
    this.#skipped.push(...answer.candidates.filter((one) => !known.has(one.id)));
    return [...had.filter(({ cluster }) => cluster === id), ...answer.candidates.filter((one) => !known.has(one.id))];
  }

  /** They are decided; what comes next may be another one now. */
  drop(ids: ReadonlySet<string>): void {
    this.#queue = this.#queue.filter(({ id }) => !ids.has(id));
    this.#skipped = this.#skipped.filter(({ id }) => !ids.has(id));
    if (this.#queue.length === 0) this.#queue = this.#skipped.splice(0);
    this.#tick();
  }

  async crop(candidate: CandidateJson): Promise<ImageBitmap> {
    const kept = this.#pictures.get(this.#cropPath(candidate))?.blob;
    return await createImageBitmap(kept ?? (await this.#connection.blob(this.#cropPath(candidate))));
  }

  #had(): CandidateJson[] {
    return [...this.#queue, ...this.#skipped];
  }

  picturesOf(candidate: CandidateJson): PictureSet {
    const crop = this.#pictures.get(this.#cropPath(candidate));
    const whole = this.#pictures.get(this.#wholePath(candidate));
    return { crop: crop?.bitmap ?? null, whole: whole?.bitmap ?? null, problem: crop?.problem ?? null };
  }

  /** A part of the image at its full resolution, for who looks closer. */
  async part(candidate: CandidateJson, box: readonly number[]): Promise<ImageBitmap> {
    const blob = await this.#connection.blob(`${this.#wholePath(candidate)}?part=${box.join(',')}`);
    return await createImageBitmap(blob);
  }

  #tick(): void {
    if (this.#closed) return;
    this.#fetchPictures();
    const now = Date.now();
    const low =
      this.#queue.length + this.#skipped.length < lowCount && !(this.#exhausted && now - this.#askedAt < 3_000);
    if (!this.#asking && now >= this.#askAt && (low || now - this.#askedAt > renewMs)) void this.#ask();
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    this.#askedAt = Date.now();
    try {
      const had = this.#had().map(({ id }) => id);
      const answer = await this.#connection.json<LeaseAnswer>(`${this.#path}/leases`, {
        client: this.#client,
        keep: [...new Set([...had, ...this.#pending()])],
        count: Math.max(0, aheadCount - had.length),
      });
      if (this.#closed) return;
      const gone = new Set(answer.decided);
      const pending = new Set(this.#pending());
      // What others have decided meanwhile goes; the one that is being looked at stays, and its answer tells.
      const [current, ...rest] = this.#queue;
      const known = new Set(had);
      const fresh = answer.candidates.filter(({ id }) => !known.has(id) && !pending.has(id));
      this.#queue = [
        ...(current === undefined || gone.has(current.id) ? [] : [current]),
        ...rest.filter(({ id }) => !gone.has(id)),
        ...fresh,
      ];
      this.#skipped = this.#skipped.filter(({ id }) => !gone.has(id));
      if (this.#queue.length === 0) this.#queue = this.#skipped.splice(0);
      this.#elsewhere = answer.elsewhere;
      this.#exhausted = answer.candidates.length === 0;
      this.#askAt = 0;
      this.#events.progress(answer.progress);
      this.#events.changed();
      this.#fetchPictures();
    } catch (error) {
      this.#askAt = Date.now() + 1_500;
      if (!(error instanceof AwayError || error instanceof LockedError || error instanceof RefusedError)) throw error;
    } finally {
      this.#asking = false;
    }
  }

  #cropPath(candidate: CandidateJson): string {
    return `${this.#path}/candidates/${encodeURIComponent(candidate.id)}/crop`;
  }

  #wholePath(candidate: CandidateJson): string {
    return `${this.#path}/images/${candidate.image.id}`;
  }

  /** The crops of the next few first, then their whole images: the crop is what the question is about. */
  #fetchPictures(): void {
    const wanted = new Set<string>();
    const near = this.#queue.slice(0, decodedCount);
    for (const candidate of near) wanted.add(this.#cropPath(candidate)).add(this.#wholePath(candidate));
    const decoded = new Set(wanted);
    for (const candidate of this.#queue) wanted.add(this.#cropPath(candidate)).add(this.#wholePath(candidate));

    for (const [path, picture] of this.#pictures) {
      if (!wanted.has(path)) {
        picture.bitmap?.close();
        this.#pictures.delete(path);
      } else if (!decoded.has(path) && picture.bitmap !== null) {
        picture.bitmap.close();
        picture.bitmap = null;
      }
    }
    let busy = [...this.#pictures.values()].filter((picture) => picture.busy && picture.blob === null).length;
    for (const path of wanted) {
      const picture = this.#pictures.get(path) ?? { blob: null, bitmap: null, problem: null, busy: false, retryAt: 0 };
      this.#pictures.set(path, picture);
      if (picture.busy || Date.now() < picture.retryAt) continue;
      if (picture.blob === null) {
        if (busy >= fetchedAtOnce) continue;
        busy++;
        void this.#load(path, picture);
      } else if (decoded.has(path) && picture.bitmap === null && picture.problem === null) {
        void this.#decode(path, picture, picture.blob);
      }
    }
  }

  async #load(path: string, picture: Picture): Promise<void> {
    picture.busy = true;
    try {
      picture.blob = await this.#connection.blob(path);
      picture.problem = null;
    } catch (error) {
      // An image that cannot be shown stays so; one that did not come may come.
      if (error instanceof RefusedError) picture.problem = error.message;
      picture.retryAt = Date.now() + (error instanceof RefusedError ? 60_000 : 1_500);
      this.#tell(path);
    } finally {
      picture.busy = false;
    }
    if (!this.#closed && picture.blob !== null) this.#fetchPictures();
  }

  async #decode(path: string, picture: Picture, blob: Blob): Promise<void> {
    picture.busy = true;
    try {
      const bitmap = await createImageBitmap(blob);
      // It may have been thrown away meanwhile.
      if (this.#closed || this.#pictures.get(path) !== picture) bitmap.close();
      else picture.bitmap = bitmap;
    } catch {
      picture.problem = 'The picture cannot be decoded by this browser.';
    } finally {
      picture.busy = false;
    }
    this.#tell(path);
  }

  #tell(path: string): void {
    for (const candidate of this.#queue.slice(0, decodedCount)) {
      if (this.#cropPath(candidate) === path || this.#wholePath(candidate) === path)
        this.#events.pictured(candidate.id);
    }
  }
}
