/** What an `activity:` step is for the steps that read it: it has the outputs that the file declares. */

import type { KindStepSpec, TypeSpec } from '../spec/types.ts';
import type { StepKind } from './step-kinds.ts';
import type { ArtifactKind, DeclaredType } from './types.ts';

const minute = 60_000;

export function foreignRow(activity: string, spec: KindStepSpec): StepKind {
  return {
    kind: `activity:${activity}`,
    version: spec.version ?? 1,
    type: 'foreign',
    inputs: declaredTypes(spec.inputs),
    outputs: declaredTypes(spec.outputs),
    seeded: true,
    reusable: spec.reuse ?? true,
    queue: 'cpu',
    timeoutMs: 14 * 24 * 60 * minute,
    heartbeatMs: 0,
    retry: { max: 3, initialMs: 1_000, factor: 2, maxMs: minute },
  };
}

export function declaredTypes(types: KindStepSpec['outputs']): { readonly [name: string]: DeclaredType } {
  return Object.fromEntries(Object.entries(types ?? {}).map(([name, type]) => [name, declaredType(type)]));
}

function declaredType(type: TypeSpec): DeclaredType {
  if (typeof type !== 'string') return { list: declaredType(type[0] ?? 'any') };
  switch (type) {
    case 'any':
    case 'number':
    case 'boolean':
    case 'string':
    case 'secret':
      return type;
    default:
      return { artifact: type as ArtifactKind };
  }
}
