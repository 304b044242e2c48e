/** A store with a run that waits at a gate: scenes, candidates of every type, and a sender that takes decisions. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { readApproval, writeApproval } from '../../artifacts/approval-record.ts';
import { loadDataset, saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { appendDecisions, readDecisions, readGate, writeGate } from '../../artifacts/gate-record.ts';
import { createRun, writeRunState, writeStepRecord } from '../../artifacts/run-record.ts';
import type { Store } from '../../artifacts/store.ts';
import { recordDetections } from '../../artifacts/stored-detections.ts';
import { markOf } from '../../detection/decisions.ts';
import { detectionsFromRows } from '../../detection/detections.ts';
import { generateScene, sceneCategories } from '../../detection/scenes.ts';
import type { Annotation, Box, Candidate, Category, Decision, ImageEntry } from '../../detection/types.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import type { Reviewer } from '../../review/access.ts';
import type { AnswerSender } from '../../review/approvals.ts';
import { type ReviewServer, type ReviewServerOptions, startReviewServer } from '../../review/server.ts';
import { type DecisionSender, DecisionsRefusedError } from '../../review/take-decisions.ts';
import { subjectOf } from '../../workflows/decision-check.ts';

export const tokens = {
  lead: 'lead-token-0123456789abcdef',
  ada: 'ada-token-0123456789abcdef',
  ben: 'ben-token-0123456789abcdef',
  viewer: 'viewer-token-0123456789abc',
} as const;

export const reviewers: readonly Reviewer[] = [
  { name: 'lea', role: 'lead', tokenSha256: sha256Hex(tokens.lead) },
  { name: 'ada', role: 'reviewer', tokenSha256: sha256Hex(tokens.ada) },
  { name: 'ben', role: 'reviewer', tokenSha256: sha256Hex(tokens.ben) },
  { name: 'vic', role: 'viewer', tokenSha256: sha256Hex(tokens.viewer) },
];

export const pageFolder = join(import.meta.dirname, '../../dist/review-page');

export interface GateRig {
  readonly folder: string;
  readonly store: Store;
  readonly run: string;
  readonly gate: string;
  readonly dataset: ArtifactRef;
  readonly candidates: readonly Candidate[];
  readonly saved: ArtifactRef;
  serve(more?: Partial<ReviewServerOptions>): Promise<ReviewServer>;
  /** What the record holds, in order. */
  recorded(): ReturnType<typeof readDecisions>;
  close(): Promise<void>;
}

export interface GateRigOptions {
  readonly candidates: number;
  readonly imageSize?: number;
  readonly categories?: number;
  /** Replaces the names of the categories. */
  readonly categoryNames?: readonly string[];
  /** Every image is one of the validation split, and a `mine` step has left its model's detections of them. */
  readonly mined?: boolean;
}

export async function openGateRig(options: GateRigOptions): Promise<GateRig> {
  const folder = await mkdtemp(join(tmpdir(), 'hardcase-page-'));
  const store = await openFolderStore(join(folder, 'store'));
  const run = 'cherries-1';
  const gate = 'review';
  const data = await makeCandidates(store, options);
  const source = await store.putObject(Buffer.from('name: cherries'));
  const createdAt = new Date().toISOString();
  await createRun(store, {
    run,
    pipeline: 'cherries',
    planDigest: source,
    source,
    file: 'cherries.yaml',
    params: {},
    createdAt,
  });
  await writeRunState(store, run, { state: 'waiting', startedAt: createdAt });
  await writeGate(store, run, {
    path: gate,
    state: 'open',
    openedAt: createdAt,
    candidates: data.saved,
    dataset: data.dataset,
    asked: data.candidates.length,
    decided: 0,
    carriedOver: 0,
  });
  if (options.mined) await writeMined(store, run, gate, data);
  const servers: ReviewServer[] = [];
  return {
    folder,
    store,
    run,
    gate,
    ...data,
    serve: async (more = {}) => {
      const server = await startReviewServer({ store, sender: recordingSender(store), reviewers, pageFolder, ...more });
      servers.push(server);
      return server;
    },
    recorded: () => readDecisions(store, run, gate),
    close: async () => {
      await Promise.all(servers.map((server) => server.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The records of a `mine` step and of the gate that reads it. The model sees what the candidates say it sees, and every label. */
async function writeMined(store: Store, run: string, gate: string, data: Awaited<ReturnType<typeof makeCandidates>>) {
  const model: ArtifactRef = { artifact: 'model', digest: await store.putObject(Buffer.from('a model')), bytes: 7 };
  const { images, labels } = await loadDataset(store, data.dataset);
  const asked = new Map(data.candidates.flatMap((one) => (one.annotation ? [[one.annotation.id, one] as const] : [])));
  const rows = [
    ...data.candidates.flatMap(({ imageId, detection }) => (detection ? [{ imageId, ...detection }] : [])),
    ...labels.annotations
      .filter(({ id }) => !asked.has(id))
      .map(({ imageId, categoryId, box }) => ({ imageId, categoryId, box, score: 0.9 })),
  ];
  const ids = images.map(({ id }) => id);
  await recordDetections(store, model, images, detectionsFromRows(ids, rows));
  const step = { state: 'done', reused: false } as const;
  await writeStepRecord(store, run, {
    ...step,
    path: 'mine',
    kind: 'mine',
    with: { model: { ...model } },
    outputs: { candidates: { ...data.saved } },
  });
  await writeStepRecord(store, run, {
    ...step,
    path: gate,
    kind: 'review-labels',
    state: 'waiting',
    with: { candidates: { ...data.saved }, dataset: { ...data.dataset } },
  });
}

/** Does with decisions what a run does, without one: the first counts, another is a conflict. */
export function recordingSender(store: Store): DecisionSender & AnswerSender {
  let turn: Promise<unknown> = Promise.resolve();
  return {
    answer: async (run, { gate, by, answer }) => {
      const approval = (await readApproval(store, run, gate))!;
      const given = { answer, by, at: new Date().toISOString(), via: 'update' } as const;
      await writeApproval(store, run, { ...approval, state: 'answered', given });
      return { accepted: true };
    },
    decide: (run, { gate, batch, by, decisions = [], shown }) => {
      const work = async () => {
        const record = (await readGate(store, run, gate))!;
        const subject = (one: Decision, who: string) => subjectOf(one, who, record.asking !== undefined);
        const recorded = await readDecisions(store, run, gate);
        const before = new Map(recorded.map((one) => [subject(one, one.by), one]));
        const clash = decisions.find((one) => before.has(subject(one, by)));
        const fresh = decisions.filter((one) => !before.has(subject(one, by)));
        if (clash !== undefined && markOf(before.get(subject(clash, by))!) !== markOf(clash)) {
          throw new DecisionsRefusedError(`Candidate ${clash.candidateId} was decided before.`);
        }
        const at = new Date().toISOString();
        if (fresh.length > 0) await appendDecisions(store, run, gate, { batch, by, at, shown, decisions: fresh });
        await writeGate(store, run, { ...record, decided: before.size + fresh.length });
        return { accepted: fresh.length, repeated: decisions.length - fresh.length };
      };
      const answer = turn.then(work, work);
      turn = answer.catch(() => undefined);
      return answer;
    },
  };
}

/** Candidates of all types around the true targets of scenes: what is asked is made up, what is seen is not. */
export async function makeCandidates(
  store: Store,
  { candidates: count, imageSize = 160, categories: categoryCount = 1, categoryNames, mined }: GateRigOptions,
): Promise<{ dataset: ArtifactRef; candidates: Candidate[]; saved: ArtifactRef }> {
  const categories: readonly Category[] = sceneCategories(categoryCount).map(({ id, name }, index) => ({
    id,
    name: categoryNames?.[index] ?? name,
  }));
  const images: ImageEntry[] = [];
  const annotations: Annotation[] = [];
  const candidates: Candidate[] = [];
  for (let index = 0; candidates.length < count; index++) {
    const scene = generateScene({ imageSize, categories: categoryCount, targets: 7 }, 'review-page', index);
    const { width, height, pixels, group, targets } = scene;
    const photo = await sharp(pixels, { raw: { width, height, channels: 3 } })
      .png({ compressionLevel: 1 })
      .toBuffer();
    const digest = await store.putObject(photo);
    const id = index + 1;
    images.push({ id, fileName: `scenes/${id}.png`, width, height, digest, split: mined ? 'val' : 'train', group });
    for (const [place, { box, categoryId }] of targets.entries()) {
      const label: Annotation = { id: `${id}-${place}`, imageId: id, categoryId, box };
      const type = (['missing', 'badly-located', 'spurious', 'wrong-class', 'missing', 'none'] as const)[
        (index + place) % 6
      ]!;
      const about = { imageId: id, imageDigest: digest, rank: 1 - candidates.length / 1_000 };
      const candidateId = sha256Hex(label.id).slice(0, 16);
      const score = 0.55 + 0.04 * (place % 10);
      if (type !== 'missing') annotations.push(label);
      if (candidates.length >= count || type === 'none' || (type === 'wrong-class' && categoryCount < 2)) continue;
      const other = categories[(categories.findIndex((one) => one.id === categoryId) + 1) % categories.length]!.id;
      candidates.push({
        ...about,
        id: candidateId,
        type,
        chance: 0.5,
        ...(type === 'missing' ? { cluster: `kind-${categoryId}` } : { annotation: label }),
        ...(type === 'missing' ? { detection: { categoryId, box, score } } : {}),
        ...(type === 'badly-located'
          ? { detection: { categoryId, box: shifted(box, width, height), score }, iou: 0.5 }
          : {}),
        ...(type === 'wrong-class' ? { detection: { categoryId: other, box, score }, iou: 0.9 } : {}),
      });
    }
  }
  const labels = { parent: null, author: 'import', note: '', annotations };
  return {
    dataset: await saveDataset(store, { categories, images, labels }),
    candidates,
    saved: await saveJson(store, 'candidates', candidates),
  };
}

function shifted([x1, y1, x2, y2]: Box, width: number, height: number): Box {
  const [dx, dy] = [(x2 - x1) * 0.3, (y2 - y1) * 0.25];
  return [Math.max(0, x1 + dx), Math.max(0, y1 + dy), Math.min(width, x2 + dx), Math.min(height, y2 + dy)];
}

export const bearer = (token: string): { readonly authorization: string } => ({ authorization: `Bearer ${token}` });

export const decision = (candidateId: string, verdict: Decision['verdict'] = 'accept'): Decision => ({
  candidateId,
  verdict,
});
