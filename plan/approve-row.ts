/** What an `approve` step is for the steps that read it: its outputs are the fields of its form. */

import { type ApproveSpec, isRecord } from '../spec/types.ts';
import { type Form, type FormField, type ownOutputs, yesOrNo } from './form.ts';
import type { StepKind, ValueType } from './step-kinds.ts';
import type { Json } from './types.ts';

export function approveRow(spec: ApproveSpec): StepKind {
  const fields = Object.entries(formOf(spec).properties).map(([name, field]) => [name, valueType(field)] as const);
  const own: { readonly [name in (typeof ownOutputs)[number]]: ValueType } = { by: 'string', expired: 'boolean' };
  return {
    kind: 'approve',
    version: 1,
    type: 'approve',
    inputs: {},
    outputs: { ...own, ...Object.fromEntries(fields) },
    seeded: false,
    // Who agreed to one run has not agreed to the next.
    reusable: false,
    queue: 'cpu',
    timeoutMs: 0,
    heartbeatMs: 0,
    retry: { max: 0, initialMs: 0, factor: 1, maxMs: 0 },
  };
}

/** The form of the gate, as far as it is sound. */
export function formOf({ form }: ApproveSpec): Form {
  if (form === undefined) return yesOrNo;
  const properties = Object.entries(isRecord(form.properties) ? form.properties : {});
  const sound = properties.filter(([, field]) => isRecord(field) && typeof field.type === 'string');
  const { additionalProperties: _, ...said } = form;
  return { ...said, type: 'object', properties: Object.fromEntries(sound) } as unknown as Form;
}

/** The parts of a gate in which expressions may stand. */
export function askedValues(spec: ApproveSpec | undefined): Json | undefined {
  if (spec === undefined) return undefined;
  const { remind, escalate, expire } = spec.after ?? {};
  const after = { remind, escalate: escalate && { ...escalate }, expire: expire && { in: expire.in } };
  const { message, show, assignees } = spec;
  return withoutUndefined({ message, show, assignees, after });
}

function withoutUndefined(value: unknown): Json {
  // JSON has no undefined, and knows no other way to lose it.
  return JSON.parse(JSON.stringify(value)) as Json;
}

function valueType(field: FormField): ValueType {
  switch (field.type) {
    case 'integer':
    case 'number':
      return 'number';
    case 'array':
      return { list: field.items === undefined ? 'any' : valueType(field.items) };
    default:
      return field.type;
  }
}
