/** A pipeline file as text with places, then as a value that its schema accepts. */

/** JSON, as YAML gives it and expressions compute it. */
export type PlainValue =
  | null
  | boolean
  | number
  | string
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue };

/** Offsets in UTF-16 units: `start` inclusive, `end` exclusive. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** Where a value of the file stands; `key` where it is the value of a mapping. */
export interface NodePlace {
  readonly key?: Range;
  readonly value: Range;
}

export interface SourceText {
  /** As the user wrote it on the command line. */
  readonly file: string;
  readonly text: string;
}

/** A file whose YAML is sound. Places are found by JSON pointer: `/steps/train/with/epochs`. */
export interface ParsedSpec {
  readonly source: SourceText;
  readonly value: PlainValue;
  readonly places: ReadonlyMap<string, NodePlace>;
}

/** Artifacts that a pipeline takes from another one, of which it is a step. */
export const artifactParamTypes = [
  'dataset',
  'selection',
  'model',
  'labels',
  'detections',
  'candidates',
  'dynamics',
  'profile',
  'ensemble',
  'metrics',
] as const;
export type ArtifactParamType = (typeof artifactParamTypes)[number];

export const paramTypes = [
  'path',
  'string',
  'integer',
  'number',
  'boolean',
  'duration',
  'list',
  ...artifactParamTypes,
] as const;
export type ParamType = (typeof paramTypes)[number];

export interface ParamSpec {
  readonly type: ParamType;
  readonly description?: string;
  readonly default?: PlainValue;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: readonly PlainValue[];
}

export interface RetrySpec {
  readonly max: number;
  readonly initial?: string;
  readonly factor?: number;
  readonly longest?: string;
  readonly on?: readonly string[];
  readonly except?: readonly string[];
}

/** `number`, `model`; a list as `[model]`. */
export type TypeSpec = string | readonly string[];

/** What an `approve` step asks, and whom. */
export interface ApproveSpec {
  readonly message?: string;
  readonly show?: { readonly [name: string]: PlainValue };
  /** schemas/form.schema.json. */
  readonly form?: { readonly [key: string]: PlainValue };
  /** A string is an expression. */
  readonly assignees?: string | readonly string[];
  readonly after?: {
    readonly remind?: string;
    readonly escalate?: { readonly in: string; readonly to: string | readonly string[] };
    readonly expire?: { readonly in: string; readonly then: string | { readonly [name: string]: PlainValue } };
  };
}

interface StepSpecBase {
  readonly needs?: readonly string[];
  readonly when?: string | boolean;
  readonly onFailure?: 'hold' | 'fail' | 'continue';
}

/** Axes by name, beside `include` and `exclude`. */
export interface MatrixSpec {
  readonly include?: readonly { readonly [name: string]: PlainValue }[];
  readonly exclude?: readonly { readonly [name: string]: PlainValue }[];
  readonly [axis: string]: PlainValue | undefined;
}

/** Runs a step, or a sub-graph, once for each leg: a combination of a matrix, or an entry of a list. */
export interface LegsSpec {
  readonly matrix?: MatrixSpec;
  readonly forEach?: string | readonly PlainValue[];
  /** A string is an expression. */
  readonly concurrency?: number | string | { readonly group: string };
}

/** A step of a kind. */
export interface KindStepSpec extends StepSpecBase, LegsSpec {
  readonly uses: string;
  readonly with?: { readonly [name: string]: PlainValue };
  /** A string is an expression. */
  readonly retry?: number | string | RetrySpec;
  /** A duration or an expression. */
  readonly timeout?: string;
  /** A task queue of hardcase's workers. */
  readonly queue?: string;
  /** In place of `uses`: the type of an activity of another program. `uses` is `activity` then. */
  readonly activity?: string;
  readonly version?: number;
  readonly inputs?: { readonly [name: string]: TypeSpec };
  readonly outputs?: { readonly [name: string]: TypeSpec };
  readonly reuse?: boolean;
  readonly heartbeat?: string;
  /** In place of `uses`: a question to people. `uses` is `approve` then. */
  readonly approve?: ApproveSpec;
}

/** A sub-graph that runs again and again. */
export interface RepeatStepSpec extends StepSpecBase {
  readonly repeat: {
    readonly max: number | string;
    readonly until?: string;
    readonly plateau?: {
      readonly metric: string;
      readonly patience?: number | string;
      readonly minDelta?: number | string;
      readonly mode?: 'max' | 'min';
    };
    /** A duration or an expression. */
    readonly budget?: string;
    readonly carry?: { readonly [name: string]: PlainValue };
  };
  readonly steps: StepSpecs;
  readonly next?: { readonly [name: string]: PlainValue };
}

/** A sub-graph that runs once for each leg. */
export interface LegsStepSpec extends StepSpecBase, LegsSpec {
  readonly steps: StepSpecs;
  readonly onFailure?: 'hold' | 'fail' | 'continue';
  readonly outputs?: { readonly [name: string]: PlainValue };
}

/** The steps of another file. */
export interface ImportStepSpec extends StepSpecBase, LegsSpec {
  /** Relative to the file that names it. */
  readonly pipeline: string;
  /** Values of its params. */
  readonly with?: { readonly [name: string]: PlainValue };
  readonly onFailure?: 'hold' | 'fail' | 'continue';
}

export type StepSpec = KindStepSpec | RepeatStepSpec | LegsStepSpec | ImportStepSpec;

export interface StepSpecs {
  readonly [id: string]: StepSpec;
}

/** What pipeline.schema.json accepts. */
export interface Spec {
  readonly name: string;
  readonly description?: string;
  readonly seed?: number;
  readonly params?: { readonly [name: string]: ParamSpec };
  readonly concurrency?: { readonly group: string; readonly cancelInProgress?: boolean };
  readonly steps: StepSpecs;
  /** What a step of another pipeline that imports this one gives. */
  readonly outputs?: { readonly [name: string]: PlainValue };
  /** Steps that run when all others have ended. */
  readonly finally?: StepSpecs;
}

/** The JSON pointer of a child. */
export function pointerTo(parent: string, ...keys: readonly (string | number)[]): string {
  let pointer = parent;
  for (const key of keys) {
    const plain = typeof key === 'number' || !(key.includes('/') || key.includes('~'));
    pointer += plain ? `/${key}` : `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  }
  return pointer;
}

/** The keys that a JSON pointer is made of. */
export function keysOfPointer(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Whether a value is an object with keys, and neither null nor a list. */
export function isRecord(value: unknown): value is { readonly [key: string]: PlainValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
