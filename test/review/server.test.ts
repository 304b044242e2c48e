/** The review server: what it gives to whom, and what attackers get. */

import { request as httpRequest } from 'node:http';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type ApprovalRecord, writeApproval } from '../../artifacts/approval-record.ts';
import { saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { writeGate } from '../../artifacts/gate-record.ts';
import type {
  ApprovalJson,
  CandidateJson,
  DecisionsAnswer,
  GateJson,
  GateSummary,
  LeaseAnswer,
  ProblemJson,
} from '../../review/api.ts';
import { type ReviewServer, startReviewServer } from '../../review/server.ts';
import {
  bearer,
  decision,
  type GateRig,
  openGateRig,
  pageFolder,
  recordingSender,
  reviewers,
  tokens,
} from './gate-rig.ts';

let rig: GateRig;
let server: ReviewServer;

beforeAll(async () => {
  rig = await openGateRig({ candidates: 24, categories: 2, categoryNames: ['<img src=x onerror=alert(1)>', 'bud'] });
  server = await rig.serve();
});
afterAll(async () => {
  await rig?.close();
});

const gatePath = '/api/runs/cherries-1/gates/review';

const ask = (path: string, token: string = tokens.lead, more: RequestInit = {}) =>
  fetch(`${server.url}${path}`, { ...more, headers: { ...bearer(token), ...more.headers } });

const json = async <T>(path: string, token?: string): Promise<T> => (await ask(path, token)).json() as Promise<T>;

const post = (path: string, body: unknown, token: string = tokens.ada) =>
  ask(path, token, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });

/** With headers that `fetch` sets by itself: Host, Origin, Sec-Fetch-Site. */
const raw = (path: string, headers: Record<string, string>, method = 'GET', body = '') =>
  new Promise<{ status: number; body: string; headers: NodeJS.Dict<string | string[]> }>((resolve, reject) => {
    const sent = httpRequest(`${server.url}`, { path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text, headers: response.headers }));
    });
    sent.on('error', reject);
    sent.end(body);
  });

const lease = async (client: string, keep: readonly string[] = [], count = 4, token: string = tokens.ada) =>
  (await (await post(`${gatePath}/leases`, { client, keep, count }, token)).json()) as LeaseAnswer;

describe('for those with a token', () => {
  test('lists the gates that wait, and what they ask', async () => {
    const [gate, ...others] = await json<GateSummary[]>('/api/gates');
    expect(others).toEqual([]);
    expect(gate).toMatchObject({ run: 'cherries-1', gate: 'review', pipeline: 'cherries', asked: 24, decided: 0 });
    const sum = Object.values(gate!.undecided).reduce((a, b) => a + b, 0);
    expect(sum).toBe(24);
    const full = await json<GateJson>(gatePath);
    expect(full.shown).toBe(rig.saved.digest);
    expect(full.categories.map(({ name }) => name)).toEqual(['<img src=x onerror=alert(1)>', 'bud']);
  });

  test('gives candidates in rank order, with crop and image under their digest', async () => {
    const { total, candidates } = await json<{ total: number; candidates: CandidateJson[] }>(
      `${gatePath}/candidates?from=2&limit=3`,
    );
    expect(total).toBe(24);
    expect(candidates.map(({ id }) => id)).toEqual(rig.candidates.slice(2, 5).map(({ id }) => id));
    const [first] = candidates;
    const crop = await ask(`${gatePath}/candidates/${first!.id}/crop`);
    expect(crop.headers.get('content-type')).toBe('image/webp');
    expect(crop.headers.get('x-image-digest')).toBe(first!.image.digest);
    const [x1, y1, x2, y2] = first!.crop;
    expect(await sharp(Buffer.from(await crop.arrayBuffer())).metadata()).toMatchObject({
      width: x2 - x1,
      height: y2 - y1,
    });
    const whole = await ask(`${gatePath}/images/${first!.image.id}`);
    expect(await sharp(Buffer.from(await whole.arrayBuffer())).metadata()).toMatchObject({ width: 160, height: 160 });
    const part = await ask(`${gatePath}/images/${first!.image.id}?part=10,20,50,90`);
    expect(await sharp(Buffer.from(await part.arrayBuffer())).metadata()).toMatchObject({ width: 40, height: 70 });
  });

  test('leases candidates to one client at a time, and keeps them for it', async () => {
    const one = await lease('client-one-1');
    const two = await lease('client-two-2', [], 4, tokens.ben);
    const ids = [...one.candidates, ...two.candidates].map(({ id }) => id);
    expect(ids).toEqual(rig.candidates.slice(0, 8).map(({ id }) => id));
    const kept = one.candidates.map(({ id }) => id);
    const again = await lease('client-one-1', kept, 2);
    expect(again.candidates.map(({ id }) => id)).toEqual(rig.candidates.slice(8, 10).map(({ id }) => id));
    expect(again.elsewhere).toBe(4);
    // Given back by not naming them: as after a reload of a page that knows nothing any more.
    const fresh = await lease('client-one-1', [], 4);
    expect(fresh.candidates.map(({ id }) => id)).toEqual(kept);
  });

  test('leases a whole cluster, and says how many errors are expected', async () => {
    const body = { client: 'client-cluster', keep: [], count: 60, cluster: 'kind-1' };
    const { candidates, progress } = (await (await post(`${gatePath}/leases`, body)).json()) as LeaseAnswer;
    const members = rig.candidates.filter(({ cluster }) => cluster === 'kind-1').map(({ id }) => id);
    // All but those that the two clients above have.
    expect(candidates.length).toBeGreaterThan(1);
    expect(members).toEqual(expect.arrayContaining(candidates.map(({ id }) => id)));
    expect(candidates.every(({ cluster }) => cluster === 'kind-1')).toBe(true);
    expect(progress.errorsLeft).toBe(12);
    await post(`${gatePath}/leases`, { client: 'client-cluster', keep: [], count: 0 });
  });

  test('takes decisions once, each with its own outcome', async () => {
    const [a, b, c] = rig.candidates.map(({ id }) => id) as [string, string, string];
    const send = async (batch: string, decisions: unknown[], token?: string) =>
      ((await (await post(`${gatePath}/decisions`, { batch, decisions }, token)).json()) as DecisionsAnswer).outcomes;
    expect(await send('b1', [{ ...decision(a), seconds: 1.5, forged: true }, decision(b, 'reject')])).toEqual([
      { candidateId: a, outcome: 'accepted' },
      { candidateId: b, outcome: 'accepted' },
    ]);
    expect(await send('b1', [decision(a), decision(b, 'reject')])).toMatchObject([
      { outcome: 'repeated' },
      { outcome: 'repeated' },
    ]);
    const mixed = await send('b2', [decision(a, 'reject'), decision(c), decision('nobody')], tokens.ben);
    expect(mixed).toMatchObject([
      { outcome: 'refused', why: expect.stringMatching(/^ada decided it as "accept" on .*; that counts\.$/) },
      { outcome: 'accepted' },
      { outcome: 'refused', why: 'The gate asks about no candidate "nobody".' },
    ]);
    const outside = { candidateId: rig.candidates[5]!.id, verdict: 'edit', box: [500, 500, 600, 600] };
    expect(await send('b3', [outside])).toMatchObject(
      [{ outcome: 'refused', why: /lies wholly outside its image/ }].map((one) => ({
        ...one,
        why: expect.stringMatching(one.why),
      })),
    );
    const recorded = await rig.recorded();
    expect(recorded.map(({ candidateId, verdict, by }) => `${candidateId} ${verdict} ${by}`)).toEqual([
      `${a} accept ada`,
      `${b} reject ada`,
      `${c} accept ben`,
    ]);
    expect(recorded[0]).toMatchObject({ shown: rig.saved.digest, seconds: 1.5 });
    expect(recorded[0]).not.toHaveProperty('forged');
    expect((await json<GateSummary[]>('/api/gates'))[0]).toMatchObject({
      decided: 3,
      reviewers: [
        { name: 'ada', decided: 2 },
        { name: 'ben', decided: 1 },
      ],
    });
  });

  test('a conflict that only the run knows of refuses that decision, and takes the others', async () => {
    const [taken, free] = [rig.candidates[10]!.id, rig.candidates[11]!.id];
    // Decided by another way, and not in the record that the server has read a moment ago.
    await json(gatePath);
    await recordingSender(rig.store).decide('cherries-1', {
      gate: 'review',
      batch: 'cli',
      by: 'carl',
      decisions: [decision(taken, 'ignore')],
    });
    const answer = await post(`${gatePath}/decisions`, { batch: 'b4', decisions: [decision(taken), decision(free)] });
    expect(((await answer.json()) as DecisionsAnswer).outcomes.map(({ outcome }) => outcome)).toEqual([
      'refused',
      'accepted',
    ]);
  });

  test('a run that does not answer is told as such, and nothing counts as taken', async () => {
    const away = await rig.serve({
      sender: {
        ...recordingSender(rig.store),
        decide: async () => {
          throw new Error('The engine does not answer just now. Decisions are kept, and sent again.');
        },
      },
    });
    const { id } = rig.candidates[12]!;
    const sent = () =>
      fetch(`${away.url}${gatePath}/decisions`, {
        method: 'POST',
        headers: { ...bearer(tokens.ada), 'content-type': 'application/json' },
        body: JSON.stringify({ batch: 'b5', decisions: [decision(id)] }),
      });
    expect((await sent()).status).toBe(503);
    expect((await sent()).status).toBe(503);
    await away.close();
  });

  test('what is no decision is refused with the reason', async () => {
    const refusal = async (body: unknown) => {
      const answer = await post(`${gatePath}/decisions`, body);
      return `${answer.status} ${((await answer.json()) as ProblemJson).error}`;
    };
    expect(await refusal({ batch: 'x', decisions: [{ candidateId: 'x', verdict: 'maybe' }] })).toBe(
      '400 decisions[0]: candidate x has the verdict "maybe"; expected one of accept, reject, edit, ignore, add.',
    );
    expect(await refusal({ batch: '../../x', decisions: [] })).toMatch(/^400 "batch" is 1 to 64/);
    expect(await refusal([])).toMatch(/^400 Expected a JSON object/);
  });
});

describe('roles', () => {
  test('a viewer looks, decides nothing, and blocks nobody', async () => {
    // What was decided another way reaches the server with the next reading of the record.
    await vi.waitFor(async () => expect((await json<GateJson>(gatePath)).decided).toBe(5), 10_000);
    const before = await lease('client-three', [], 3);
    const looked = await lease('client-viewer', [], 3, tokens.viewer);
    expect(looked.candidates).toHaveLength(3);
    expect((await lease('client-three', [], 3)).candidates).toEqual(before.candidates);
    const answer = await post(`${gatePath}/decisions`, { batch: 'v', decisions: [] }, tokens.viewer);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toEqual({ error: 'vic is a viewer here; this needs a reviewer.' });
  });

  test('who decided how many is for the lead alone', async () => {
    expect((await json<GateJson>(gatePath, tokens.lead)).reviewers.length).toBeGreaterThan(0);
    expect((await json<GateJson>(gatePath, tokens.ada)).reviewers).toEqual([]);
    expect((await json<GateSummary[]>('/api/gates', tokens.viewer))[0]!.reviewers).toEqual([]);
  });
});

describe('questions of approve steps', () => {
  const form = {
    properties: { go: { type: 'boolean', title: 'Train on?' }, epochs: { type: 'integer', minimum: 1, default: 2 } },
    required: ['go'],
  } as const;
  const ask = (path: string, more: Partial<ApprovalRecord> = {}) =>
    writeApproval(rig.store, 'cherries-1', {
      path,
      state: 'open',
      openedAt: '2026-03-01T10:00:00.000Z',
      message: 'AP is <b>0.5</b>. Train on?',
      form,
      shown: '0'.repeat(64),
      ...more,
    });
  const answer = async (path: string, body: unknown, token?: string) => {
    const sent = await post(`/api/runs/cherries-1/approvals/${path}/answer`, body, token);
    return `${sent.status} ${JSON.stringify(await sent.json())}`;
  };

  test('are listed with their form, and answered once by those whom they ask', async () => {
    await ask('ok', { assignees: ['ben'] });
    const [first] = await json<ApprovalJson[]>('/api/approvals', tokens.ada);
    expect(first).toMatchObject({ run: 'cherries-1', gate: 'ok', message: 'AP is <b>0.5</b>. Train on?', mine: false });
    expect(first!.form).toEqual(form);
    expect((await json<ApprovalJson[]>('/api/approvals', tokens.ben))[0]!.mine).toBe(true);
    expect(await answer('ok', { answer: { go: true } }, tokens.ada)).toBe(
      '403 {"error":"ok asks ben; a lead may answer too."}',
    );
    expect(await answer('ok', { answer: { go: true } }, tokens.viewer)).toMatch(/^403/);
    expect(await answer('ok', { answer: { go: true, epochs: 3 }, reason: 'looks good' }, tokens.ben)).toMatch(/^200/);
    const { given, state } = await json<ApprovalJson>('/api/runs/cherries-1/approvals/ok');
    expect({ given, state }).toMatchObject({
      state: 'answered',
      given: { by: 'ben', answer: { go: true, epochs: 3 } },
    });
    expect(await json<ApprovalJson[]>('/api/approvals')).toEqual([]);
    expect(await answer('ok', { answer: { go: false } }, tokens.lead)).toBe(
      '409 {"error":"The question ok is answered."}',
    );
  });

  test('take no answer that does not fit the form, and none to a question that is not there', async () => {
    await ask('rounds[1].ok');
    const path = encodeURIComponent('rounds[1].ok');
    expect(await answer(path, { answer: { epochs: 0 } })).toMatch(/^400 .*\\"go\\" is missing/);
    expect(await answer(path, { answer: { go: 'yes' } })).toMatch(/^400/);
    expect(await answer(path, { answer: { go: true, extra: 1 } })).toMatch(/^400 .*no field \\"extra\\"/);
    expect(await answer(path, { answer: [] })).toMatch(/^400/);
    expect(await answer('nothing', { answer: { go: true } })).toMatch(/^404/);
    expect(await answer('..%2F..%2Frun', { answer: { go: true } })).toMatch(/^404/);
    expect(await answer(path, { answer: { go: true } }, tokens.lead)).toMatch(/^200/);
  });
});

describe('attacks', () => {
  test('without a token, or with a wrong one, nothing is given', async () => {
    for (const headers of [{}, bearer('x'), bearer(`${tokens.lead}x`), { authorization: `Basic ${tokens.lead}` }]) {
      const answer = await fetch(`${server.url}${gatePath}`, { headers });
      expect(answer.status).toBe(401);
      expect(await answer.text()).not.toContain('cherries');
    }
    // A token in the address would stand in logs and histories.
    expect((await fetch(`${server.url}${gatePath}?token=${tokens.lead}`)).status).toBe(401);
  });

  test('a name that was rebound to this machine is refused', async () => {
    const host = `attacker.example:${server.port}`;
    const answer = await raw('/', { host });
    expect(answer.status).toBe(421);
    expect(await raw(gatePath, { host, ...bearer(tokens.lead) })).toMatchObject({ status: 421 });
    expect(await raw('/api/session', { host: `localhost:${server.port}`, ...bearer(tokens.lead) })).toMatchObject({
      status: 200,
    });
    expect(await raw('/api/session', { host: '127.0.0.1:1', ...bearer(tokens.lead) })).toMatchObject({ status: 421 });
  });

  test('a page of another site decides nothing, even with a token', async () => {
    const body = JSON.stringify({ batch: 'evil', decisions: [decision(rig.candidates[15]!.id)] });
    const own = { host: `127.0.0.1:${server.port}`, ...bearer(tokens.lead) };
    const form = { ...own, 'content-type': 'application/json' };
    const decide = (more: Record<string, string>) => raw(`${gatePath}/decisions`, { ...form, ...more }, 'POST', body);
    expect(await decide({ origin: 'https://attacker.example' })).toMatchObject({ status: 403 });
    expect(await decide({ origin: 'null' })).toMatchObject({ status: 403 });
    expect(await decide({ origin: `https://127.0.0.1:${server.port}` })).toMatchObject({ status: 403 });
    expect(await decide({ origin: 'http://127.0.0.1:1' })).toMatchObject({ status: 403 });
    expect(await decide({ 'sec-fetch-site': 'cross-site' })).toMatchObject({ status: 403 });
    expect(await decide({ 'sec-fetch-site': 'same-site' })).toMatchObject({ status: 403 });
    // What a form or a plain request of another page can send without asking first.
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      expect(await decide({ 'content-type': type })).toMatchObject({ status: 415 });
    }
    const preflight = await raw(`${gatePath}/decisions`, { ...own, origin: 'https://attacker.example' }, 'OPTIONS');
    expect(preflight.status).toBe(403);
    expect(preflight.headers['access-control-allow-origin']).toBeUndefined();
    expect((await rig.recorded()).map(({ batch }) => batch)).not.toContain('evil');
  });

  test('every answer carries a strict content security policy, and the page has nothing inline', async () => {
    for (const path of ['/', '/api/gates', '/nothing-here']) {
      const answer = await ask(path);
      const policy = answer.headers.get('content-security-policy') ?? '';
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("script-src 'self';");
      expect(policy).not.toContain('unsafe');
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
      expect(policy).toContain("frame-ancestors 'none'");
    }
    const page = await (await ask('/')).text();
    expect(page).not.toMatch(/<script(?![^>]*\bsrc=)[^>]*>|<style|\son\w+=|\sstyle=/);
  });

  test('no address leaves the page, the run or the dataset', async () => {
    const secret = await rig.store.putObject(Buffer.from('secret'));
    const paths = [
      '/../package.json',
      '/assets/../../package.json',
      '/%2e%2e/package.json',
      '/..%2f..%2fetc/passwd',
      '/api/runs/../../gates/review',
      '/api/runs/..%2Fcherries-1/gates/review',
      '/api/runs/cherries-1/gates/..%2F..%2F..%2Fcherries-1%2Frun',
      '/api/runs/cherries-1/gates/review%2Fdecisions%2Fx',
      `${gatePath}/images/..%2F1`,
      `${gatePath}/images/${secret}`,
      `${gatePath}/images/999999`,
      `${gatePath}/images/1e0`,
      `${gatePath}/candidates/..%2F..%2Fimages%2F1/crop`,
      `${gatePath}/candidates/__proto__/crop`,
      `/objects/${secret}`,
    ];
    for (const path of paths) {
      const answer = await raw(path, { host: `127.0.0.1:${server.port}`, ...bearer(tokens.lead) });
      expect(`${path} ${answer.status}`).toMatch(/ 40[04]$/);
      expect(answer.body).not.toMatch(/secret|root:|"dependencies"/);
    }
    for (const part of ['0,0,0,0', '-1,0,5,5', '0,0,1e9,5', '0,0,161,160', '5,5,1,1', 'x']) {
      expect((await ask(`${gatePath}/images/1?part=${part}`)).status).toBe(400);
    }
  });

  test('a server for one run shows no other', async () => {
    const other = await rig.serve({ run: 'another-run' });
    const headers = bearer(tokens.lead);
    expect((await fetch(`${other.url}${gatePath}`, { headers })).status).toBe(404);
    expect(await (await fetch(`${other.url}/api/gates`, { headers })).json()).toEqual([]);
    await other.close();
  });

  test('an image bomb is refused before it is unpacked, and one that is not what the dataset says', async () => {
    const flat = (width: number, height: number) =>
      sharp({ create: { width, height, channels: 3, background: '#000' } })
        .jpeg()
        .toBuffer();
    // A few hundred bytes whose header says 4 gigapixels: height and width stand five bytes after the marker of a frame.
    const lie = await flat(8, 8);
    const frame = lie.indexOf(Buffer.from([0xff, 0xc0]));
    lie.writeUInt16BE(65_000, frame + 5);
    lie.writeUInt16BE(65_000, frame + 7);
    const bomb = await rig.store.putObject(lie);
    const swapped = await rig.store.putObject(await flat(50, 60));
    const broken = await rig.store.putObject(Buffer.from('no image at all'));
    const image = (id: number, digest: string, width: number, height: number) =>
      ({ id, fileName: `${id}.png`, width, height, digest, split: 'train', group: `${id}` }) as const;
    const images = [image(1, bomb, 65_000, 65_000), image(2, swapped, 500, 600), image(3, broken, 10, 10)];
    const dataset = await saveDataset(rig.store, {
      categories: [{ id: 1, name: 'apple' }],
      images,
      labels: { parent: null, author: 'import', note: '', annotations: [] },
    });
    const candidates = await saveJson(
      rig.store,
      'candidates',
      images.map(({ id, digest }) => ({
        id: `bomb-${id}`,
        type: 'missing',
        imageId: id,
        imageDigest: digest,
        rank: 1,
        detection: { categoryId: 1, box: [1, 1, 5, 5], score: 0.9 },
      })),
    );
    await writeGate(rig.store, 'cherries-1', {
      path: 'bombs',
      state: 'open',
      openedAt: new Date().toISOString(),
      candidates,
      dataset,
      carriedOver: 0,
    });
    const bombs = '/api/runs/cherries-1/gates/bombs';
    const refusal = async (path: string) => {
      const answer = await ask(`${bombs}/${path}`);
      return `${answer.status} ${((await answer.json()) as ProblemJson).error}`;
    };
    const before = process.memoryUsage.rss();
    expect(await refusal('images/1')).toBe(
      '413 1.png has 65000 x 65000 pixels; at most 120000000 are shown. Tile it before import.',
    );
    expect(await refusal('candidates/bomb-1/crop')).toMatch(/^413/);
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 1024 * 1024);
    expect(await refusal('images/2')).toBe('422 2.png has 50 x 60 pixels, and 500 x 600 in its dataset.');
    expect(await refusal('candidates/bomb-3/crop')).toMatch(/^422 3.png cannot be read/);
  });

  test('a flood is slowed down: of strangers soon, of reviewers late', async () => {
    const flooded = await rig.serve();
    const statuses = async (token: string, count: number) => {
      const all = Array.from({ length: count }, () =>
        fetch(`${flooded.url}/api/session`, { headers: bearer(token) }).then((answer) => answer.status),
      );
      return new Set(await Promise.all(all));
    };
    expect(await statuses('wrong-token-wrong-token-wr', 60)).toEqual(new Set([401, 429]));
    // Strangers do not shut reviewers out.
    expect(await statuses(tokens.ada, 60)).toEqual(new Set([200]));
    await flooded.close();
  });

  test('a body that is too large, or no JSON, is refused', async () => {
    const large = await post(`${gatePath}/decisions`, { batch: 'large', decisions: [], filler: 'x'.repeat(9_000_000) });
    expect(large.status).toBe(413);
    const broken = await ask(`${gatePath}/decisions`, tokens.ada, {
      method: 'POST',
      body: '{"batch":',
      headers: { 'content-type': 'application/json' },
    });
    expect(broken.status).toBe(400);
    const poisoned = await ask(`${gatePath}/decisions`, tokens.ada, {
      method: 'POST',
      body: '{"batch":"p","decisions":[],"__proto__":{"role":"lead"}}',
      headers: { 'content-type': 'application/json' },
    });
    expect(poisoned.status).toBe(400);
  });

  test('beyond this machine it does not listen without TLS', async () => {
    const start = startReviewServer({
      store: rig.store,
      sender: recordingSender(rig.store),
      reviewers,
      pageFolder,
      host: '0.0.0.0',
    });
    await expect(start).rejects.toThrow(/without TLS/);
  });
});
