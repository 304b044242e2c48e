/**
 * Which objects of a store are reached from records and references, by walking what they name. The walk knows the kinds that
 * name many objects (datasets, folders); in all other JSON everything that looks like a digest counts, so that a kind of a
 * later release is followed too.
 */

import { type ArtifactKind, isArtifactRef, type Json } from '../plan/types.ts';
import { mapInParallel } from './map-in-parallel.ts';
import type { Chain, DatasetManifest, ImageTable, ReportPages, Tree } from './types.ts';

/** What an object is, as far as it says where its own references are. */
export type ObjectKind = ArtifactKind | 'image table' | 'plan' | 'bytes' | 'unknown';

export interface ReachedObject {
  readonly digest: string;
  readonly kind: ObjectKind;
  /** The record, or the object and record, that names it first. */
  readonly from: string;
  /** Named by a reference, and not only by something that looks like a digest. */
  readonly certain: boolean;
}

/** Answers the object's bytes, or null where it is not there or cannot be read; may note what it finds. */
export type ReadObject = (object: ReachedObject) => Promise<Uint8Array | null>;

/** Kinds in which no other object is named, or that are not JSON. */
const leaves: ReadonlySet<ObjectKind> = new Set<ObjectKind>(['bytes', 'model', 'detections', 'dynamics']);
const digestPattern = /\b[0-9a-f]{64}\b/g;

export class Reach {
  readonly objects = new Map<string, ReachedObject>();
  readonly #read: ReadObject;
  /** Whether leaves are read too: to check them, for nothing follows from them. */
  readonly #readsLeaves: boolean;
  #open: ReachedObject[] = [];

  constructor(read: ReadObject, options: { readonly readsLeaves: boolean }) {
    this.#read = read;
    this.#readsLeaves = options.readsLeaves;
  }

  /** Everything that a record or another JSON value names. Call `walk` to follow it. */
  addValue(value: Json, from: string): void {
    for (const { artifact, digest } of refsIn(value)) this.add(digest, artifact, from, true);
    for (const [digest] of JSON.stringify(value).matchAll(digestPattern)) this.add(digest, 'unknown', from, false);
  }

  add(digest: string, kind: ObjectKind, from: string, certain: boolean): void {
    const known = this.objects.get(digest);
    if (known !== undefined && (known.certain || !certain)) return;
    const object = { digest, kind, from, certain };
    this.objects.set(digest, object);
    this.#open.push(object);
  }

  /** Follows what was added until nothing new turns up. */
  async walk(): Promise<void> {
    while (this.#open.length > 0) {
      const open = this.#open;
      this.#open = [];
      await mapInParallel(open, (object) => this.#follow(object));
    }
  }

  async #follow(object: ReachedObject): Promise<void> {
    // A better description of it came meanwhile, and is followed itself.
    if (this.objects.get(object.digest) !== object) return;
    const { kind } = object;
    if (leaves.has(kind) && !this.#readsLeaves) return;
    const bytes = await this.#read(object);
    if (bytes === null || leaves.has(kind)) return;
    const first = bytes[0];
    // Objects that are no JSON name no others.
    if (first !== 0x7b && first !== 0x5b) return;
    let value: Json;
    try {
      value = JSON.parse(Buffer.from(bytes).toString()) as Json;
    } catch {
      return;
    }
    this.#followJson(object, value);
  }

  #followJson({ digest, kind, from }: ReachedObject, value: Json): void {
    const here = `${kind === 'unknown' ? 'object' : kind} ${digest.slice(0, 12)} of ${from.replace(/^.* of /, '')}`;
    if (kind === 'dataset') {
      const { images, labels } = value as unknown as DatasetManifest;
      this.add(images, 'image table', here, true);
      this.add(labels, 'labels', here, true);
    } else if (kind === 'image table') {
      for (const image of value as unknown as ImageTable) this.add(image.digest, 'bytes', here, true);
    } else if (kind === 'tree') {
      for (const file of (value as unknown as Tree).files) this.add(file.digest, 'bytes', here, true);
    } else if (kind === 'report') {
      const { html, markdown } = value as unknown as ReportPages;
      this.add(html, 'bytes', here, true);
      this.add(markdown, 'bytes', here, true);
    } else if (kind === 'chain') {
      // Its many other hashes name no objects.
      const { dataset, labels, init, model } = value as unknown as Chain;
      this.add(dataset, 'dataset', here, true);
      this.add(labels, 'labels', here, true);
      this.add(model, 'model', here, true);
      if (init !== null) this.add(init, 'model', here, true);
    } else {
      this.addValue(value, here);
    }
  }
}

function refsIn(value: Json): readonly { readonly artifact: ArtifactKind; readonly digest: string }[] {
  if (isArtifactRef(value)) return [value];
  if (Array.isArray(value)) return (value as readonly Json[]).flatMap(refsIn);
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(refsIn) : [];
}
