import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadDataset } from '../../artifacts/codecs.ts';
import { readGate } from '../../artifacts/gate-record.ts';
import { evaluateCoco } from '../../detection/average-precision.ts';
import { detectionsFromRows } from '../../detection/detections.ts';
import { withDrawn } from '../../detection/drawn-boxes.ts';
import { applyVerdicts } from '../../detection/label-issues.ts';
import type { Decision } from '../../detection/types.ts';
import type { PreviewJson } from '../../review/api.ts';
import { openPreview } from '../../review/preview.ts';
import { bearer, decision, type GateRig, openGateRig, tokens } from './gate-rig.ts';

let rig: GateRig;

beforeAll(async () => {
  rig = await openGateRig({ candidates: 40, categories: 2, mined: true });
});

afterAll(() => rig.close());

/** From scratch: the labels as the decisions leave them, against everything that the model sees. */
async function evaluatedWith(decisions: readonly Decision[]) {
  const dataset = await loadDataset(rig.store, rig.dataset);
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const whole = withDrawn(rig.candidates, decisions, images);
  const { labels } = applyVerdicts(dataset.labels, whole.candidates, whole.decisions, dataset.labels);
  const asked = new Set(rig.candidates.map(({ annotation }) => annotation?.id));
  const rows = [
    ...rig.candidates.flatMap(({ imageId, detection }) => (detection ? [{ imageId, ...detection }] : [])),
    ...dataset.labels.annotations
      .filter(({ id }) => !asked.has(id))
      .map(({ imageId, categoryId, box }) => ({ imageId, categoryId, box, score: 0.9 })),
  ];
  const imageIds = [...images.keys()];
  return evaluateCoco({ ...dataset, imageIds, annotations: labels.annotations }, detectionsFromRows(imageIds, rows));
}

describe('the preview', () => {
  it('is what an evaluation of the corrected labels would give, with drawn boxes and what is not sent yet', async () => {
    const server = await rig.serve();
    const ask = async (decisions: readonly Decision[]): Promise<PreviewJson> => {
      const answer = await fetch(`${server.url}/api/runs/${rig.run}/gates/${rig.gate}/preview`, {
        method: 'POST',
        headers: { ...bearer(tokens.viewer), 'content-type': 'application/json' },
        body: JSON.stringify({ decisions }),
      });
      expect(answer.status).toBe(200);
      return (await answer.json()) as PreviewJson;
    };
    const untouched = await evaluatedWith([]);
    const first = await ask([]);
    expect(first).toMatchObject({ split: 'val', questions: 40, AP: { before: untouched.AP, now: untouched.AP } });
    expect(first.gainLeft?.value).toBeGreaterThan(0);
    expect(first.gainLeft?.high).toBeNull();

    const [one, two, three] = rig.candidates;
    const made: Decision[] = [decision(one!.id), decision(two!.id), decision(three!.id, 'reject')];
    made.push({
      candidateId: 'drawn-00112233445566aa',
      verdict: 'add',
      imageId: one!.imageId,
      categoryId: 1,
      box: [2, 2, 22, 30],
    });
    const { AP, AP50 } = await evaluatedWith(made);
    const after = await ask(made);
    expect(after).toMatchObject({ AP: { before: untouched.AP, now: AP }, AP50: { now: AP50 } });
    // Taken back, it is as it was.
    expect((await ask([])).AP.now).toBe(untouched.AP);
    // All decided, nothing is left.
    expect((await ask(rig.candidates.map(({ id }) => decision(id)))).gainLeft).toEqual({ value: 0, high: 0 });
  });

  it('says nothing where no validation image is asked about, or the model has not looked at them', async () => {
    const bare = await openGateRig({ candidates: 5 });
    try {
      const gate = (await readGate(bare.store, bare.run, bare.gate))!;
      expect(await openPreview(bare.store, bare.run, gate)).toBeNull();
    } finally {
      await bare.close();
    }
  });
});
