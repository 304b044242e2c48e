/** Clusters of candidates on the command line: listed, and decided at once. */

import { type Cluster, clustersOf } from '../detection/candidate-clusters.ts';
import type { GateView } from '../review/gate-view.ts';
import { CommandError, didYouMean, exitCodes } from './output.ts';
import { bullets, type WrittenDecision } from './read-decisions.ts';

const prefix = 'cluster:';

/** Those with a candidate that nobody has decided, and these candidates alone. What people do not agree on is settled singly. */
export function openClusters(view: GateView): Cluster[] {
  return clustersOf(view.candidates.filter(({ id }) => isClusterable(view, id)));
}

/** Nor is what is asked without the model's box, which is what they have in common. */
const isClusterable = (view: GateView, id: string): boolean =>
  view.standings.of(id)!.state === 'open' && !view.rules.isBlind(id);

/** What its candidates have in common. */
export function clusterWords(view: GateView, { type, by, candidates }: Cluster): string {
  const { annotation, detection } = candidates[0]!;
  const named = (categoryId: number | undefined) => (categoryId === undefined ? '' : view.categoryName(categoryId));
  const subject =
    type === 'wrong-class'
      ? `${named(annotation?.categoryId)}, detected as ${named(detection?.categoryId)}`
      : named((annotation ?? detection)?.categoryId);
  if (by === 'place') return `${subject}, at the same place`;
  return `${subject}, of about one size${type === 'badly-located' ? ', off in the same direction' : ''}`;
}

export function clusterJson(view: GateView, cluster: Cluster): object {
  return {
    id: cluster.id,
    type: cluster.type,
    by: cluster.by,
    what: clusterWords(view, cluster),
    chance: cluster.chance,
    images: cluster.images,
    candidates: cluster.candidates.map(({ id }) => id),
  };
}

/** `cluster:ID=VERDICT` as one decision for each of its open candidates; what is written for one candidate goes before. */
export function withoutClusters(written: readonly WrittenDecision[], view: GateView | null): WrittenDecision[] {
  if (!written.some(({ candidate }) => candidate.startsWith(prefix))) return [...written];
  if (view === null) {
    throw new CommandError('The gate is not open yet, so its clusters are not known.', exitCodes.input);
  }
  const clusters = new Map(clustersOf(view.candidates).map((cluster) => [cluster.id, cluster]));
  const single = written.filter(({ candidate }) => !candidate.startsWith(prefix));
  const problems: string[] = [];
  const expanded = written.flatMap((item): WrittenDecision[] => {
    if (!item.candidate.startsWith(prefix)) return [item];
    const id = item.candidate.slice(prefix.length);
    const cluster = clusters.get(id);
    if (cluster === undefined) {
      const near = didYouMean(id, [...clusters.keys()]);
      const known = clusters.size === 0 ? ' It has none.' : near ? ` Did you mean "${near}"?` : '';
      problems.push(`${item.place}: the gate ${view.gate.path} has no cluster "${id}".${known}`);
      return [];
    }
    if (item.verdict === 'edit') {
      problems.push(`${item.place}: a cluster cannot be edited, because every candidate has its own box.`);
      return [];
    }
    return cluster.candidates
      .filter((candidate) => isClusterable(view, candidate.id))
      .filter((candidate) => !single.some((one) => candidate.id.startsWith(one.candidate)))
      .map((candidate) => ({ ...item, candidate: candidate.id }));
  });
  if (problems.length > 0) throw new CommandError(`No decision was sent:\n${bullets(problems)}`, exitCodes.input);
  return expanded;
}
