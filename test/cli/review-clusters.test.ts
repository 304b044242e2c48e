import { expect, test } from 'vitest';
import { readDecisionWords } from '../../cli/read-decisions.ts';
import { openClusters, withoutClusters } from '../../cli/review-clusters.ts';
import { Standings } from '../../detection/standings.ts';
import type { Box, Candidate } from '../../detection/types.ts';
import type { GateView } from '../../review/gate-view.ts';

const candidate = (id: string, imageId: number, cluster?: string): Candidate => ({
  id,
  type: 'missing',
  imageId,
  imageDigest: `d${imageId}`,
  detection: { categoryId: 1, box: [0, 0, 9, 9] as Box, score: 0.9 },
  rank: 0.5,
  chance: 0.8,
  cluster,
});

const candidates = [
  candidate('aa01', 1, 'kind-00000001'),
  candidate('ab02', 2, 'kind-00000001'),
  candidate('ac03', 3, 'kind-00000001'),
  candidate('ad04', 4),
];
const decided = { candidateId: 'ac03', verdict: 'reject', batch: '1', by: 'anna', at: '' } as const;
const rules = { wanted: () => 1, isKnown: () => false, isBlind: () => false };
const view = {
  run: 'cherries-1',
  gate: { path: 'review' },
  candidates,
  standings: new Standings(candidates, [decided], rules),
  rules,
  categoryName: () => 'cherry',
} as unknown as GateView;

const expand = (...words: string[]) =>
  withoutClusters(readDecisionWords(words), view).map(({ candidate: id, verdict }) => `${id} ${verdict}`);

test('a verdict for a cluster is one for each of its open candidates', () => {
  expect(openClusters(view).map(({ candidates }) => candidates.length)).toEqual([2]);
  expect(expand('cluster:kind-00000001=accept', 'ad04=reject')).toEqual(['aa01 accept', 'ab02 accept', 'ad04 reject']);
});

test('a verdict for one candidate of a cluster goes before that of the cluster', () => {
  expect(expand('ab=reject', 'cluster:kind-00000001=accept')).toEqual(['ab reject', 'aa01 accept']);
});

test('a cluster that is not there, and an edit of one, are refused together', () => {
  expect(() => expand('cluster:kind-00000009=accept', 'cluster:kind-00000001=edit:1,2,3,4')).toThrow(
    /no cluster "kind-00000009". Did you mean "kind-00000001"\?\n.*cannot be edited/,
  );
  expect(() => withoutClusters(readDecisionWords(['cluster:kind-00000001=accept']), null)).toThrow(/not open yet/);
});
