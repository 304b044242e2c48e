/** The review page's server: gates, candidates and pictures out, decisions in, over HTTP and for those with a token. */

import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { changeLeases } from '../artifacts/gate-leases.ts';
import type { Store } from '../artifacts/store.ts';
import { problemOfDecisions } from '../detection/decisions.ts';
import type { Box, Decision } from '../detection/types.ts';
import { isLoopback, type Reviewer } from './access.ts';
import type {
  DecisionsAnswer,
  GateSummary,
  LeaseAnswer,
  LeaseRequest,
  PreviewJson,
  PreviewRequest,
  Role,
  SessionJson,
} from './api.ts';
import { type AnswerSender, serveApprovals } from './approvals.ts';
import { createGateBook, type GateEntry } from './gate-book.ts';
import { guard, HttpError, namesOf, reviewerOf } from './guard.ts';
import { holdAnswered, type Lease, type LeaseTable, type LeaseTaking, type TakenLeases, takeLeases } from './leases.ts';
import { readPage, servePage } from './page-files.ts';
import { createPictures } from './pictures.ts';
import { type GatePreview, openPreview } from './preview.ts';
import { type DecisionSender, takeDecisions } from './take-decisions.ts';

export interface ReviewServerOptions {
  readonly store: Store;
  readonly sender: DecisionSender & AnswerSender;
  readonly reviewers: readonly Reviewer[];
  /** The built page: `index.html` and what it loads. */
  readonly pageFolder: string;
  /** Default 127.0.0.1. Anything beyond this machine needs `tls`. */
  readonly host?: string;
  /** 0: any that is free. */
  readonly port?: number;
  /** The name by which browsers reach the server, where it listens beyond this machine. */
  readonly publicName?: string;
  readonly tls?: { readonly certificate: Buffer; readonly key: Buffer };
  /** One run only. */
  readonly run?: string;
}

export interface ReviewServer {
  /** `http://127.0.0.1:4860`, without a token. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

const bodyBytesMax = 8 * 1024 * 1024;
const decisionsPerRequestMax = 20_000;
const leasesPerRequestMax = 100;
const batchPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export async function startReviewServer(options: ReviewServerOptions): Promise<ReviewServer> {
  const host = options.host ?? '127.0.0.1';
  if (!isLoopback(host) && options.tls === undefined) {
    throw new Error(`Internal error: the review server would listen on ${host} without TLS.`);
  }
  if (options.reviewers.length === 0) throw new Error('Internal error: the review server has no reviewer.');
  const page = await readPage(options.pageFolder);
  const server = fastify({
    bodyLimit: bodyBytesMax,
    requestTimeout: 30_000,
    forceCloseConnections: true,
    // Legs of a matrix have long paths.
    routerOptions: { maxParamLength: 400 },
    ...(options.tls === undefined ? {} : { https: { cert: options.tls.certificate, key: options.tls.key } }),
  }) as FastifyInstance;
  const scheme = options.tls === undefined ? 'http' : 'https';
  let names: ReadonlySet<string> = new Set();
  guard(server, options.reviewers, scheme, () => names);
  servePage(server, page);
  serveApi(server, options);
  serveApprovals(server, options);
  await server.listen({ host, port: options.port ?? 0 });
  const { port } = server.server.address() as AddressInfo;
  names = namesOf(host, port, options.publicName);
  const shown = options.publicName ?? (host.includes(':') ? `[${host}]` : host);
  return { url: `${scheme}://${shown}:${port}`, port: port, close: () => server.close() };
}

type GateParams = { readonly run: string; readonly gate: string };

function serveApi(server: FastifyInstance, options: ReviewServerOptions): void {
  const { store, sender } = options;
  const book = createGateBook(store);
  const pictures = createPictures(store);

  const gateOf = async (request: FastifyRequest): Promise<GateEntry> => {
    const { run, gate } = request.params as GateParams;
    const entry = options.run === undefined || options.run === run ? await book.find(run, gate) : null;
    if (entry === null) throw new HttpError(404, `There is no gate "${gate}" of a run "${run}" here.`);
    return entry;
  };

  server.get('/api/session', (request): SessionJson => {
    const { name, role } = reviewerOf(request, 'viewer');
    return { name, role, run: options.run };
  });

  server.get('/api/gates', async (request) => {
    const { name, role } = reviewerOf(request, 'viewer');
    return (await book.list(options.run)).map((entry) => shownTo(role, entry.summary(name)));
  });

  const at = '/api/runs/:run/gates/:gate';
  server.get(at, async (request) => {
    const { name, role } = reviewerOf(request, 'viewer');
    return shownTo(role, (await gateOf(request)).json(name));
  });

  const previews = new Map<string, Promise<GatePreview | null>>();
  server.post(`${at}/preview`, { schema: { body: previewSchema } }, async (request): Promise<PreviewJson | null> => {
    reviewerOf(request, 'viewer');
    const entry = await gateOf(request);
    const { decisions = [] } = request.body as PreviewRequest;
    const problem = problemOfDecisions(decisions);
    if (problem !== null) throw new HttpError(400, problem);
    const { run, gate } = entry;
    // What a gate asks never changes while it is open.
    const key = [run, gate.path, gate.candidates.digest, gate.dataset.digest].join(' ');
    const opened = previews.get(key) ?? openPreview(store, run, gate);
    previews.set(key, opened);
    opened.catch(() => previews.delete(key));
    const unsent = decisions.map((decision): [string, Decision] => [decision.candidateId, decision]);
    return (await opened)?.json(new Map<string, Decision>([...unsent, ...entry.decisions()])) ?? null;
  });

  server.get(`${at}/candidates`, async (request) => {
    const who = decidingName(reviewerOf(request, 'viewer'));
    const entry = await gateOf(request);
    const { from, limit, all } = request.query as { readonly [name: string]: string | undefined };
    const first = wholeNumber('from', from, 0, Number.MAX_SAFE_INTEGER);
    const count = wholeNumber('limit', limit, 100, 500);
    const listed = entry.view.candidates.filter(({ id }) => all === '1' || entry.decisionOf(id) === undefined);
    return {
      total: listed.length,
      candidates: listed.slice(first, first + count).map((candidate) => entry.candidate(candidate, who)),
    };
  });

  server.get(`${at}/candidates/:id/crop`, async (request, reply) => {
    reviewerOf(request, 'viewer');
    const entry = await gateOf(request);
    const { id } = request.params as { readonly id: string };
    const candidate = entry.byId.get(id);
    if (candidate === undefined) throw new HttpError(404, `The gate asks about no candidate "${id}".`);
    const image = entry.images.get(candidate.imageId)!;
    const { crop } = entry.candidate(candidate, null);
    return sendPicture(reply, image.digest, await pictures.draw(image, crop));
  });

  server.get(`${at}/images/:image`, async (request, reply) => {
    reviewerOf(request, 'viewer');
    const entry = await gateOf(request);
    const { image: id } = request.params as { readonly image: string };
    const image = /^\d{1,15}$/.test(id) ? entry.images.get(Number(id)) : undefined;
    if (image === undefined) throw new HttpError(404, `The gate asks about no image "${id}".`);
    const { part } = request.query as { readonly part?: string };
    const box = part === undefined ? undefined : partOf(part, image);
    return sendPicture(reply, image.digest, await pictures.draw(image, box));
  });

  server.post(`${at}/leases`, { schema: { body: leaseSchema } }, async (request): Promise<LeaseAnswer> => {
    const reviewer = reviewerOf(request, 'viewer');
    const { name, role } = reviewer;
    const entry = await gateOf(request);
    const { client, keep, count, cluster } = request.body as LeaseRequest;
    const questions = entry.view.candidates.flatMap(({ id }) => {
      const question = entry.openTo(id, name);
      return question === null ? [] : [{ id, ...question }];
    });
    // What people do not agree on is settled one by one.
    const wanted = (id: string) =>
      cluster === undefined || (entry.byId.get(id)?.cluster === cluster && entry.openTo(id, name)?.as === 'opinion');
    const isOpen = (id: string) => entry.decisionOf(id) === undefined;
    const taking = { client: `${name} ${client}`, person: name, questions, keep, count, wanted, isOpen };
    // Who only looks takes nothing away from those who decide.
    const { ids, elsewhere } =
      role === 'viewer'
        ? { ids: freeIds(taking).slice(0, count), elsewhere: 0 }
        : await leaseQuestions(store, entry, taking);
    const open = new Set(questions.map(({ id }) => id));
    return {
      candidates: ids.map((id) => entry.candidate(entry.byId.get(id)!, decidingName(reviewer))),
      progress: shownTo(role, entry.summary(name)),
      elsewhere,
      decided: keep.filter((id) => entry.byId.has(id) && !open.has(id)),
    };
  });

  server.post(`${at}/decisions`, async (request): Promise<DecisionsAnswer> => {
    const { name, role } = reviewerOf(request, 'reviewer');
    const entry = await gateOf(request);
    const { batch, decisions } = decisionsOf(request.body);
    const answer = await takeDecisions(sender, book, entry, name, batch, decisions);
    const taken = answer.outcomes.filter(({ outcome }) => outcome === 'accepted').map((one) => one.candidateId);
    if (taken.length > 0) {
      await changeTable(store, entry, (before) => ({
        table: holdAnswered(before, name, taken, Date.now()),
        answer: null,
      }));
    }
    return { ...answer, progress: shownTo(role, (await gateOf(request)).summary(name)) };
  });
}

const freeIds = ({ questions, keep, wanted = () => true }: LeaseTaking): string[] =>
  questions.map(({ id }) => id).filter((id) => wanted(id) && !keep.includes(id));

/** From the store, which all servers of the gate have in common. */
async function leaseQuestions(store: Store, entry: GateEntry, taking: LeaseTaking): Promise<TakenLeases> {
  // Nothing to give and nothing to keep: the store is left alone.
  if (taking.questions.length === 0) return { ids: [], elsewhere: 0 };
  return await changeTable(store, entry, (before) => {
    const { table, ...answer } = takeLeases(before, taking, Date.now());
    return { table, answer };
  });
}

async function changeTable<Answer>(
  store: Store,
  { run, gate }: GateEntry,
  change: (before: LeaseTable) => { readonly table: LeaseTable; readonly answer: Answer },
): Promise<Answer> {
  return await changeLeases<[string, readonly Lease[]][], Answer>(store, run, gate.path, (before) => {
    const { table, answer } = change(new Map(before ?? []));
    return { table: [...table], answer };
  });
}

/** What others said is shown to who may settle it. A viewer settles nothing. */
const decidingName = ({ name, role }: Reviewer): string | null => (role === 'viewer' ? null : name);

/** Names and numbers of colleagues are for the lead. */
function shownTo<T extends GateSummary>(role: Role, summary: T): T {
  return role === 'lead' ? summary : { ...summary, reviewers: [] };
}

const previewSchema = {
  type: 'object',
  additionalProperties: false,
  properties: { decisions: { type: 'array', maxItems: 5_000 } },
} as const;

const leaseSchema = {
  type: 'object',
  required: ['client', 'keep', 'count'],
  additionalProperties: false,
  properties: {
    client: { type: 'string', pattern: '^[A-Za-z0-9-]{8,64}$' },
    keep: { type: 'array', maxItems: 5_000, items: { type: 'string', maxLength: 100 } },
    count: { type: 'integer', minimum: 0, maximum: leasesPerRequestMax },
    cluster: { type: 'string', maxLength: 100 },
  },
} as const;

function decisionsOf(body: unknown): { batch: string; decisions: readonly Decision[] } {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new HttpError(400, 'Expected a JSON object with "batch" and "decisions".');
  }
  const { batch, decisions } = body as { readonly [name: string]: unknown };
  if (typeof batch !== 'string' || !batchPattern.test(batch)) {
    throw new HttpError(400, '"batch" is 1 to 64 letters, digits, dots, dashes and underscores, chosen by the sender.');
  }
  const problem = problemOfDecisions(decisions);
  if (problem !== null) throw new HttpError(400, problem);
  const list = decisions as readonly Decision[];
  if (list.length > decisionsPerRequestMax) {
    throw new HttpError(
      413,
      `The request carries ${list.length} decisions; at most ${decisionsPerRequestMax}. Send several.`,
    );
  }
  return { batch, decisions: list };
}

function wholeNumber(name: string, text: string | undefined, otherwise: number, max: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d{1,15}$/.test(text) || value > max) throw new HttpError(400, `"${name}" is a whole number up to ${max}.`);
  return value;
}

/** `x1,y1,x2,y2` in whole pixels, inside the image. */
function partOf(text: string, { width, height }: { readonly width: number; readonly height: number }): Box {
  const numbers = /^\d{1,7},\d{1,7},\d{1,7},\d{1,7}$/.test(text) ? text.split(',').map(Number) : null;
  const [x1, y1, x2, y2] = numbers ?? [];
  if (
    x1 === undefined ||
    y1 === undefined ||
    x2 === undefined ||
    y2 === undefined ||
    x2 <= x1 ||
    y2 <= y1 ||
    x2 > width ||
    y2 > height
  ) {
    throw new HttpError(400, `"part" is x1,y1,x2,y2 in whole pixels inside the image of ${width} x ${height}.`);
  }
  return [x1, y1, x2, y2];
}

function sendPicture(reply: FastifyReply, digest: string, picture: Buffer): FastifyReply {
  return reply
    .type('image/webp')
    .header('cache-control', 'private, max-age=86400, immutable')
    .header('vary', 'authorization')
    .header('x-image-digest', digest)
    .send(picture);
}
