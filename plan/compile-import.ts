/** A step with `pipeline:` in the plan: the other file's steps as a scope of their own, its params and what it gives. */

import { hasErrors } from '../spec/diagnostic.ts';
import { type ExpressionType, isAssignable, type RecordType, typeName } from '../spec/expression-types.ts';
import { suggestion } from '../spec/suggest.ts';
import { isRecord, type ParamSpec, type PlainValue, pointerTo, type Range } from '../spec/types.ts';
import { checkGuards } from './checks.ts';
import type { ParsedPipeline } from './compile.ts';
import { compileFinally } from './compile-finally.ts';
import type { StepFrame } from './compile-kind.ts';
import { compileScope, type ScopeView } from './compile-scope.ts';
import { draftScope, type ImportDraft } from './drafts.ts';
import { resolveImport } from './imports.ts';
import { locateFile } from './locate-file.ts';
import { expectedOf, paramType, paramValue } from './params.ts';
import { plannedScope, withFinally } from './parts.ts';
import { type Compiling, expressionsOf, isConstant, placeInSlot, planValue, readSlots, type Slot } from './slots.ts';
import type { Json, PipelineStep } from './types.ts';
import { ownFailure } from './usual-failure.ts';
import { typeOf, typesOf } from './value-types.ts';
import { asData } from './values.ts';

export function compileImport(
  compiling: Compiling,
  draft: ImportDraft,
  frame: StepFrame,
  outer: ScopeView,
): PipelineStep | null {
  const written = draft.spec.pipeline;
  const file = resolveImport(compiling.parsed.source.file, written);
  const pointer = pointerTo(draft.pointer, 'pipeline');
  const range = compiling.parsed.places.get(pointer)?.value ?? { start: 0, end: 0 };
  const { chain } = compiling.importing;
  if (chain.includes(file)) {
    const circle = [...chain.slice(chain.indexOf(file)), file].join(' -> ');
    const message = `These files import each other: ${circle}.`;
    compiling.problems.push({ code: 'IMPORT_CYCLE', range, message, hint: 'Put what both need into a third file.' });
    return null;
  }
  const imported = compiling.importing.files.get(file);
  if (imported === undefined || 'why' in imported) {
    const why = imported === undefined ? 'it cannot be read here' : imported.why;
    const message = `${file} cannot be read: ${why}.`;
    const hint = 'The path is relative to the file that names it.';
    compiling.problems.push({ code: 'UNREADABLE_IMPORT', range, message, hint });
    return null;
  }
  const given = giveParams(compiling, draft, imported, file, outer);
  const { parsed, spec } = imported;
  if (parsed === undefined || spec === undefined) {
    compiling.importing.elsewhere.push(...locateFile(imported.problems, imported.source));
    return null;
  }
  const inside: Compiling = {
    parsed,
    params: given.known,
    fromRun: new Set(Object.keys(given.fromRun)),
    parsedExpressions: compiling.parsedExpressions,
    paramsType: { type: 'record', role: 'params', owner: file, fields: given.types },
    faulty: new Set(),
    problems: [...imported.problems],
    reads: [],
    names: new Map(),
    importing: { ...compiling.importing, chain: [...chain, file] },
    atEnd: compiling.atEnd,
  };
  const outputSlots = new Map<string, Slot>();
  const drafts = draftScope(inside, spec.steps, '/steps');
  readSlots(inside, spec.outputs, '/outputs', outputSlots);
  const around = { steps: new Map(), mayBeEmpty: new Set<string>(), mayBeAbsent: new Set<string>(), names: new Map() };
  const scope = compileScope(inside, drafts, around);
  for (const slot of outputSlots.values()) checkGuards(inside, slot, scope.view, undefined);
  const types = typesOf(inside, spec.outputs, '/outputs', outputSlots, scope.view.names, 'outputs');
  outer.steps.set(draft.id, outputsType(draft.name, file, types));
  const atEnd = compileFinally(inside, spec, scope.view);
  const outputs = planValue(inside, spec.outputs ?? {}, '/outputs', outputSlots) as { readonly [name: string]: Json };
  const diagnostics = locateFile(inside.problems, imported.source);
  compiling.importing.elsewhere.push(...diagnostics);
  if (!scope.complete || !atEnd.complete || hasErrors(diagnostics)) return null;
  return {
    type: 'pipeline',
    ...frame,
    pipeline: spec.name,
    params: given.fromRun,
    scope: withFinally(plannedScope(scope.steps), atEnd.steps),
    outputs,
    ...ownFailure(compiling, draft.spec.onFailure),
  };
}

interface GivenValues {
  /** Values that are known before the run: the other file is compiled with them. */
  readonly known: { readonly [name: string]: Json };
  /** Values that come up in the run. */
  readonly fromRun: { readonly [name: string]: Json };
  readonly types: ReadonlyMap<string, ExpressionType>;
}

function giveParams(
  compiling: Compiling,
  draft: ImportDraft,
  imported: ParsedPipeline,
  file: string,
  outer: ScopeView,
): GivenValues {
  const { problems } = compiling;
  const pointer = pointerTo(draft.pointer, 'with');
  const values = isRecord(draft.spec.with) ? draft.spec.with : {};
  const known: { [name: string]: Json } = {};
  const fromRun: { [name: string]: Json } = {};
  const types = new Map<string, ExpressionType>();
  for (const [name, param] of Object.entries(imported.params)) types.set(name, paramType(param));

  for (const [name, value] of Object.entries(values)) {
    const at = pointerTo(pointer, name);
    const type = typeOf(compiling, value, at, draft.slots, outer.names, `"${draft.name}"`);
    const param = Object.hasOwn(imported.params, name) ? imported.params[name] : undefined;
    if (param === undefined) {
      // One whose declaration is wrong is reported there.
      if (imported.broken.has(pointerTo('/params', name))) continue;
      const message = `"${draft.name}" gives "${name}", but ${file} has no such param.`;
      const hint = suggestion(name, Object.keys(imported.params), 'Its params');
      problems.push({ code: 'UNKNOWN_PARAM', range: keyPlace(compiling, at), message, hint });
      continue;
    }
    const planned = planValue(compiling, value, at, draft.slots);
    if (isKnown(compiling, draft, at)) {
      const read = paramValue(param, asData(planned));
      if (read !== undefined) known[name] = read;
      else problems.push(wrongValue(compiling, draft, at, `is ${show(planned)}`, name, param, file));
    } else {
      const expected = paramType(param);
      if (!isAssignable(type, expected)) {
        problems.push(wrongValue(compiling, draft, at, `is ${typeName(type)}`, name, param, file));
      } else if (type.type !== 'any' && type.type !== 'null') types.set(name, type);
      fromRun[name] = planned;
    }
  }
  for (const [name, param] of Object.entries(imported.params)) {
    if (Object.hasOwn(values, name)) continue;
    const read = param.default === undefined ? undefined : paramValue(param, param.default);
    if (read !== undefined) known[name] = read;
    else problems.push(missingValue(compiling, draft, name, param, file));
  }
  return { known, fromRun, types };
}

/** Whether params alone decide the value, all of them given. */
function isKnown(compiling: Compiling, draft: ImportDraft, pointer: string): boolean {
  return [...draft.slots.values()].every(
    (slot) => (slot.pointer !== pointer && !slot.pointer.startsWith(`${pointer}/`)) || isConstant(compiling, slot),
  );
}

function wrongValue(
  compiling: Compiling,
  draft: ImportDraft,
  pointer: string,
  is: string,
  name: string,
  param: ParamSpec,
  file: string,
) {
  const slot = draft.slots.get(pointer);
  const range =
    slot === undefined ? valuePlace(compiling, pointer) : placeInSlot(compiling, slot, expressionsOf(slot)[0]);
  const message = `"${name}" of "${draft.name}" ${is}; ${file} expects ${expectedOf(param)}.`;
  return { code: 'INVALID_PARAM', range, message } as const;
}

function missingValue(compiling: Compiling, draft: ImportDraft, name: string, param: ParamSpec, file: string) {
  const about = param.description === undefined ? '' : ` (${param.description})`;
  // A folder is digested before the run, and only those of the command are.
  const isFolder = param.type === 'path' && param.default !== undefined;
  const message = isFolder
    ? `"${draft.name}" gives no folder for "${name}"${about}; a default of ${file} is not looked for.`
    : `"${draft.name}" gives no "${name}"${about}, and ${file} has no default for it.`;
  const hint = `Add it under with: ${name}: ${isFolder ? `\${{ params.${name} }}` : expectedOf(param)}.`;
  return { code: 'MISSING_PARAM', range: keyPlace(compiling, draft.pointer), message, hint } as const;
}

function show(value: PlainValue): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function outputsType(name: string, file: string, fields: ReadonlyMap<string, ExpressionType>): RecordType {
  return { type: 'record', role: 'outputs', owner: `step "${name}" (${file})`, fields };
}

function keyPlace(compiling: Compiling, pointer: string): Range {
  const place = compiling.parsed.places.get(pointer);
  return place?.key ?? place?.value ?? { start: 0, end: 0 };
}

function valuePlace(compiling: Compiling, pointer: string): Range {
  return compiling.parsed.places.get(pointer)?.value ?? { start: 0, end: 0 };
}
