/** The run that chaos is let loose on: two gates for people in it, a loop, steps side by side, steps with checkpoints. */

import { compilePipeline, parsePipeline } from '../../plan/compile.ts';
import type { Json, Plan } from '../../plan/types.ts';
import { printDiagnostics } from '../../spec/diagnostic.ts';

const text = `
name: chaos
seed: 5
steps:
  data: { uses: synthesize, with: { images: 6, imageSize: 48, targets: 2, targetSize: 0.25 } }
  model0: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: 1 } }
  other: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: 2 } }
  found: { uses: mine, with: { model: "\${{ steps.model0.model }}", dataset: "\${{ steps.data.dataset }}" } }
  review:
    uses: review-labels
    with: { dataset: "\${{ steps.data.dataset }}", candidates: "\${{ steps.found.candidates }}", limit: 4 }
  rounds:
    repeat:
      max: 2
      carry: { model: "\${{ steps.model0.model }}", dataset: "\${{ steps.review.dataset }}" }
    steps:
      train: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ carry.dataset }}", epochs: 1 } }
      found: { uses: mine, with: { model: "\${{ steps.train.model }}", dataset: "\${{ carry.dataset }}" } }
      review:
        uses: review-labels
        with: { dataset: "\${{ carry.dataset }}", candidates: "\${{ steps.found.candidates }}", limit: 3 }
    next: { model: "\${{ steps.train.model }}", dataset: "\${{ steps.review.dataset }}" }
  last:
    uses: train
    with: { init: "\${{ steps.other.model }}", dataset: "\${{ steps.rounds.last.dataset }}", epochs: 1 }
`;

export const gates = ['review', 'rounds[1].review', 'rounds[2].review'] as const;

/** A lost worker is missed after so long, in place of 15 s: chaos is about what follows, not about the wait. */
const heartbeatMs = 3_000;

export function chaosPlan(): { readonly plan: Plan; readonly source: string } {
  const { plan, diagnostics } = compilePipeline(parsePipeline({ file: 'chaos.yaml', text }));
  if (plan === undefined) throw new Error(printDiagnostics(diagnostics, text));
  return { plan: withHeartbeat(plan as unknown as Json) as unknown as Plan, source: text };
}

function withHeartbeat(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map(withHeartbeat);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([name, item]): [string, Json] => [name, withHeartbeat(item)]);
  const copy = Object.fromEntries(entries);
  return 'heartbeatMs' in copy ? { ...copy, heartbeatMs } : copy;
}
