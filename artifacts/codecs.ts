/** Each artifact kind to bytes and back; equal artifacts have equal bytes, and so one digest. */

import type { Dynamics, DynamicsTarget } from '../detection/dynamics.ts';
import type { Annotation, Architecture, Dataset, Detections, ImageEntry, Labels } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { ArtifactKind, ArtifactRef } from '../plan/types.ts';
import type { Store } from './store.ts';
import { decodeTensors, encodeTensors, type TensorEntry } from './tensor-file.ts';
import type {
  CandidateList,
  Chain,
  Coercions,
  Corrections,
  Curves,
  DatasetManifest,
  Ensemble,
  Forgetting,
  ImageTable,
  Metrics,
  Model,
  Planted,
  Profile,
  Quarantined,
  ReportPages,
  Selection,
  Tree,
  Trials,
} from './types.ts';

/** What is stored as one JSON document. */
export interface JsonArtifacts {
  tree: Tree;
  dataset: DatasetManifest;
  labels: Labels;
  planted: Planted;
  coercions: Coercions;
  selection: Selection;
  curves: Curves;
  chain: Chain;
  trials: Trials;
  candidates: CandidateList;
  corrections: Corrections;
  profile: Profile;
  forgetting: Forgetting;
  quarantined: Quarantined;
  ensemble: Ensemble;
  metrics: Metrics;
  report: ReportPages;
}

/** An artifact that a step needs is not in the store. Running again the step that made it mends that. */
export class MissingArtifactError extends Error {
  readonly digest: string;
  constructor(what: string, digest: string, place: string) {
    super(
      `The ${what} ${digest} is not in the store ${place}. Check that HARDCASE_STORE names the store of the run; if objects were removed there, run the pipeline again: the steps whose results are missing are made again.`,
    );
    this.name = 'MissingArtifactError';
    this.digest = digest;
  }
}

export async function saveJson<K extends keyof JsonArtifacts>(
  store: Store,
  kind: K,
  value: JsonArtifacts[K],
): Promise<ArtifactRef> {
  return saveBytes(store, kind, Buffer.from(canonicalJson(value)));
}

export async function loadJson<K extends keyof JsonArtifacts>(
  store: Store,
  kind: K,
  ref: ArtifactRef,
): Promise<JsonArtifacts[K]> {
  checkKind(kind, ref);
  return (await readJson(store, kind, ref.digest)) as JsonArtifacts[K];
}

/** A dataset with the digests of its parts: `manifest.labels` names the label version. */
export type LoadedDataset = Dataset & { readonly manifest: DatasetManifest };

/**
 * Images and labels become objects of their own, in their fixed order: a later label version shares the images' object.
 */
export async function saveDataset(store: Store, dataset: Dataset): Promise<ArtifactRef> {
  const images: ImageTable = [...dataset.images].sort((a, b) => a.id - b.id);
  const manifest: DatasetManifest = {
    categories: dataset.categories,
    images: await store.putObject(Buffer.from(canonicalJson(images))),
    labels: (await saveLabels(store, dataset.labels)).digest,
  };
  return saveJson(store, 'dataset', manifest);
}

export async function loadDataset(store: Store, ref: ArtifactRef): Promise<LoadedDataset> {
  const manifest = await loadJson(store, 'dataset', ref);
  const images = (await readJson(store, 'image table', manifest.images)) as ImageEntry[];
  const labels = (await readJson(store, 'labels', manifest.labels)) as Labels;
  return { categories: manifest.categories, images, labels, manifest };
}

/** The reference's digest is the one that `DatasetManifest.labels` holds for the same labels. */
export async function saveLabels(store: Store, labels: Labels): Promise<ArtifactRef> {
  return saveJson(store, 'labels', { ...labels, annotations: [...labels.annotations].sort(byImageThenId) });
}

export async function loadLabels(store: Store, ref: ArtifactRef): Promise<Labels> {
  return loadJson(store, 'labels', ref);
}

/** A safetensors file: the weights in the network's order, architecture and training as its metadata. */
export async function saveModel(store: Store, model: Model): Promise<ArtifactRef> {
  return saveBytes(store, 'model', encodeModel(model));
}

export async function loadModel(store: Store, ref: ArtifactRef): Promise<Model> {
  checkKind('model', ref);
  return decodeModel(await readBytes(store, 'model', ref.digest));
}

/** As stored; for what must leave the store or cross to another process whole. */
export function encodeModel(model: Model): Buffer {
  return encodeTensors({
    tensors: model.weights,
    metadata: {
      format: 'hardcase model 1',
      architecture: canonicalJson(model.architecture),
      training: canonicalJson(model.training),
    },
  });
}

export function decodeModel(bytes: Uint8Array): Model {
  const { tensors, metadata } = decodeTensors(bytes);
  if (metadata.format !== 'hardcase model 1') {
    throw new Error(`Expected a file of the format "hardcase model 1", found "${metadata.format ?? 'none'}".`);
  }
  return {
    architecture: JSON.parse(metadata.architecture ?? '') as Architecture,
    training: JSON.parse(metadata.training ?? '') as Model['training'],
    weights: tensors.map(({ name, shape, data }) => ({ name, shape, data: data as Float32Array })),
  };
}

/** A safetensors file with one array a field. */
export async function saveDetections(store: Store, detections: Detections): Promise<ArtifactRef> {
  const { imageIds, image, category, box, score } = detections;
  const tensors: TensorEntry[] = [
    { name: 'box', shape: [score.length, 4], data: box },
    { name: 'score', shape: [score.length], data: score },
    { name: 'image', shape: [score.length], data: image },
    { name: 'category', shape: [score.length], data: category },
    { name: 'imageIds', shape: [imageIds.length], data: Int32Array.from(imageIds) },
  ];
  return saveBytes(store, 'detections', encodeTensors({ tensors, metadata: { format: 'hardcase detections 1' } }));
}

export async function loadDetections(store: Store, ref: ArtifactRef): Promise<Detections> {
  checkKind('detections', ref);
  const { tensors } = decodeTensors(await readBytes(store, 'detections', ref.digest));
  const field = <T>(name: string): T => {
    const tensor = tensors.find((one) => one.name === name);
    if (tensor === undefined) throw new Error(`The detections ${ref.digest} have no array "${name}".`);
    return tensor.data as T;
  };
  return {
    imageIds: Array.from(field<Int32Array>('imageIds')),
    image: field('image'),
    category: field('category'),
    box: field('box'),
    score: field('score'),
  };
}

/** A safetensors file with one array [targets, epochs] a series; the targets are its metadata. */
export async function saveDynamics(store: Store, { epochs, targets, series }: Dynamics): Promise<ArtifactRef> {
  const shape = [targets.length, epochs.length];
  const tensors: TensorEntry[] = Object.entries(series).map(([name, data]) => ({ name, shape, data }));
  tensors.push({ name: 'epochs', shape: [epochs.length], data: Int32Array.from(epochs) });
  const metadata = { format: 'hardcase dynamics 1', targets: canonicalJson(targets) };
  return saveBytes(store, 'dynamics', encodeTensors({ tensors, metadata }));
}

export async function loadDynamics(store: Store, ref: ArtifactRef): Promise<Dynamics> {
  checkKind('dynamics', ref);
  const { tensors, metadata } = decodeTensors(await readBytes(store, 'dynamics', ref.digest));
  const epochs = tensors.find(({ name }) => name === 'epochs');
  if (epochs === undefined || metadata.targets === undefined) {
    throw new Error(`The dynamics ${ref.digest} have no epochs or no targets.`);
  }
  const series = Object.fromEntries(tensors.filter((one) => one !== epochs).map(({ name, data }) => [name, data]));
  return {
    epochs: Array.from(epochs.data),
    targets: JSON.parse(metadata.targets) as DynamicsTarget[],
    series: series as unknown as Dynamics['series'],
  };
}

/** Bytes of an object that must be there; `what` names it in the error. */
export async function readBytes(store: Store, what: string, digest: string): Promise<Buffer> {
  const bytes = await store.getObject(digest);
  if (bytes === null) throw new MissingArtifactError(what, digest, store.url);
  return bytes;
}

async function readJson(store: Store, what: string, digest: string): Promise<unknown> {
  return JSON.parse((await readBytes(store, what, digest)).toString());
}

async function saveBytes(store: Store, artifact: ArtifactKind, bytes: Uint8Array): Promise<ArtifactRef> {
  return { artifact, digest: await store.putObject(bytes), bytes: bytes.byteLength };
}

/** The compiler checks the kinds of inputs; a mismatch here is a bug, better found before the bytes are misread. */
function checkKind(expected: ArtifactKind, ref: ArtifactRef): void {
  if (ref.artifact !== expected) {
    throw new Error(`Internal error: expected an artifact of kind ${expected}, got ${ref.artifact} ${ref.digest}.`);
  }
}

function byImageThenId(a: Annotation, b: Annotation): number {
  if (a.imageId !== b.imageId) return a.imageId - b.imageId;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
