/** `hardcase compile`: a plan as a Temporal workflow in TypeScript, as a careful person would write it. */

import { anyType, type ExpressionType, numberType, stringType } from '../../spec/expression-types.ts';
import { expressionType } from '../checks.ts';
import { wallTime } from '../loop-body.ts';
import { stepsOf } from '../paths.ts';
import { stepKinds } from '../step-kinds.ts';
import type {
  DeclaredType,
  FanOutStep,
  Json,
  KindStep,
  PipelineStep,
  Plan,
  PlannedScope,
  PlannedStep,
  PlannedValue,
  RepeatStep,
} from '../types.ts';
import { commonOf, typeOfJson } from '../value-types.ts';
import { expressionOf, secretNameOf, textPartsOf } from '../values.ts';
import { type Names, nameOf, negated, record, safeName, type Typed, typescriptOf } from './expression.ts';
import { codeOf, Kinds } from './kinds.ts';
import { type Code, oneLine, printed, quoted } from './layout.ts';
import { fieldTexts, typeText } from './types.ts';

export interface WorkflowText {
  readonly text: string;
  /** Name of the function, which is not that of the pipeline where that is no name in TypeScript. */
  readonly name: string;
}

export interface WorkflowSource {
  readonly plan: Plan;
  readonly planDigest: string;
  /** The pipeline file's path, as the header names it. */
  readonly file: string;
  /** What the library is imported from. */
  readonly library: string;
}

export function writeWorkflow(source: WorkflowSource): WorkflowText {
  return new Writer(source).write();
}

/** Where steps are written: what expressions see there, and what begins them. */
interface Place {
  readonly names: Names;
  /** The variable that begins steps: `steps`, `round`, `leg`. */
  readonly scope: string;
  readonly indent: string;
  /** Path of the scope, for names of types. */
  readonly path: readonly string[];
  /** All that expressions of the file may read. */
  readonly reads: string;
}

/** Names that the generated code has for things of its own. */
const taken = new Set([
  'kinds',
  'planDigest',
  'steps',
  'loop',
  'round',
  'leg',
  'inner',
  'carry',
  'matrix',
  'item',
  'index',
  'params',
  'run',
  'end',
  'n',
  'isOver',
  'stalled',
  'args',
  'Math',
  'String',
  'Promise',
]);

class Writer {
  readonly #source: WorkflowSource;
  readonly #helpers = new Set<string>(['runWorkflow', 'RunArguments', 'RunSummary']);
  readonly #kinds = new Kinds(this.#helpers);
  /** Interfaces, by name. */
  readonly #types = new Map<string, readonly string[]>();
  #lines: string[] = [];

  constructor(source: WorkflowSource) {
    this.#source = source;
  }

  write(): WorkflowText {
    const { plan, planDigest, file, library } = this.#source;
    const wanted = safeName(plan.pipeline);
    const name = libraryNames.has(wanted) || taken.has(wanted) ? `${wanted}Workflow` : wanted;
    const body = this.#main(plan.root);
    const kinds = this.#kinds.lines();
    const params = Object.entries(plan.params).map(([key, value]) => `${key}=${shown(value)}`);
    const lines = [
      '/**',
      ` * The pipeline "${plan.pipeline}" as a Temporal workflow, written by \`hardcase compile ${file}\`${params.length === 0 ? '.' : ' with'}`,
      ...(params.length === 0 ? [] : [` * ${params.join(', ')}.`]),
      ' */',
      '',
      ...this.#imports(library),
      '',
      // Trials of a search and turns of a group are workflows of their own.
      ...(this.#hasChildren(plan.root)
        ? [
            '// Trials of a capacity search and turns of a concurrency group are workflows of their own.',
            `export { default } from '${library}';`,
            '',
          ]
        : []),
      '/** The plan that this was compiled from; a run of another one is refused. */',
      `const planDigest = '${planDigest}';`,
      '',
      ...[...this.#types].flatMap(([type, fields]) => [
        `interface ${type} {`,
        ...fields.map((field) => `  ${field};`),
        '}',
        '',
      ]),
      ...kinds,
      '',
      `export async function ${name}(args: RunArguments): Promise<RunSummary> {`,
      '  return runWorkflow(args, planDigest, async (steps) => {',
      ...body,
      '  });',
      '}',
      ...(name === plan.pipeline
        ? []
        : ['', '// The workflow type is the name of the pipeline.', `export { ${name} as ${quoted(plan.pipeline)} };`]),
    ];
    return { text: `${lines.join('\n')}\n`, name };
  }

  #imports(library: string): string[] {
    const types = new Set(['Artifact', 'Json', 'RunArguments', 'RunSummary']);
    const names = [...this.#helpers]
      .sort((a, b) => compareNames(a, b))
      .map((name) => (types.has(name) ? `type ${name}` : name));
    const line = `import { ${names.join(', ')} } from '${library}';`;
    if (line.length <= 120) return [line];
    return ['import {', ...names.map((name) => `  ${name},`), `} from '${library}';`];
  }

  #hasChildren(scope: PlannedScope): boolean {
    if (scope.concurrency !== undefined) return true;
    return stepsOf(scope).some(
      (step) =>
        step.type === 'search' ||
        ('group' in step && step.group !== undefined) ||
        ('scope' in step && this.#hasChildren(step.scope)),
    );
  }

  #main(root: PlannedScope): string[] {
    const none: Names = { steps: new Map(), others: new Map() };
    const place: Place = { names: none, scope: 'steps', indent: '    ', path: [], reads: JSON.stringify(root) };
    this.#lines = [];
    const seen = this.#steps(root.steps, place);
    if (root.finally !== undefined) this.#atEnd(root.finally, seen, place);
    return this.#lines;
  }

  /** The steps of `finally`, behind the others of their file. */
  #atEnd(steps: readonly PlannedStep[], seen: Names, { scope, indent, path, reads }: Place): void {
    const run = record(
      new Map<string, ExpressionType>([
        ['state', stringType],
        ['error', stringType],
      ]),
    );
    const others = new Map(seen.others).set('run', nameOf('run', run));
    this.#lines.push(
      '',
      `${indent}${usesRun(steps) ? 'const run = ' : ''}await ${scope}.over();`,
      `${indent}await ${scope}.atEnd(async (end) => {`,
    );
    this.#steps(steps, { names: { ...seen, others }, scope: 'end', indent: `${indent}  `, path, reads });
    this.#lines.push(`${indent}  await end.ended();`, `${indent}});`);
  }

  /** Answers what is seen behind them. */
  #steps(steps: readonly PlannedStep[], place: Place): Names {
    const inner = new Map(place.names.steps);
    for (const { id } of steps) inner.delete(id);
    const here = new Map<string, string>();
    for (const step of steps) {
      const variable = this.#variable(step.id);
      const isRead =
        step.id === '' ||
        place.reads.includes(`steps.${step.id}`) ||
        place.reads.includes(`"gain":"${step.id}"`) ||
        steps.some(({ needs }) => needs.includes(step.id));
      const names = { ...place.names, steps: inner };
      const after = step.needs.flatMap((id) => here.get(id) ?? []);
      const type = this.#step(step, isRead ? `const ${variable} = ` : '', after, { ...place, names });
      inner.set(step.id, nameOf(`${variable}.out`, type));
      here.set(step.id, variable);
    }
    return { ...place.names, steps: inner };
  }

  /** The step of a leg that consists of it has no id. */
  #variable(id: string): string {
    const name = id === '' ? 'only' : safeName(id);
    return taken.has(name) || this.#isHelper(name) ? `${name}Step` : name;
  }

  #isHelper(name: string): boolean {
    return libraryNames.has(name);
  }

  /** Writes the step; answers the type of its outputs. */
  #step(step: PlannedStep, binding: string, after: readonly string[], place: Place): ExpressionType {
    switch (step.type) {
      case 'repeat':
        return this.#loop(step, binding, after, place);
      case 'fan-out':
        return this.#legs(step, binding, after, place);
      case 'pipeline':
        return this.#pipeline(step, binding, after, place);
      default:
        return this.#kindStep(step, binding, after, place);
    }
  }

  #options(step: PlannedStep, after: readonly string[], more: readonly (readonly [string, Code])[] = []): Code {
    // That of an `approve` step follows from what it says about time, but in `finally`.
    const implied = step.type === 'approve' && step.expired === 'fail' ? 'fail' : 'hold';
    const onFailure = step.onFailure === implied ? undefined : step.onFailure;
    return {
      object: [
        ...(after.length === 0 ? [] : [['after', { list: after }] as const]),
        ...(onFailure === undefined ? [] : [['onFailure', quoted(onFailure)] as const]),
        ...more,
      ],
    };
  }

  #kindStep(step: KindStep, binding: string, after: readonly string[], place: Place): ExpressionType {
    const group = 'group' in step ? step.group : undefined;
    const secrets = 'secrets' in step ? step.secrets : undefined;
    const more = [
      ...(secrets === undefined ? [] : [['secrets', { list: secrets.map(quoted) }] as const]),
      ...(group === undefined ? [] : [['group', this.#group(group, place.names)] as const]),
    ];
    const kind = this.#kinds.use(step, outputTypes(step));
    const inputs = this.#value(step.with, place.names);
    const call = `${place.scope}.step(${quoted(step.id)}, ${oneLine(kind)}, ${oneLine(this.#options(step, after, more))}, `;
    this.#closure(
      `${binding}${call}`,
      [quoted(step.id), kind, this.#options(step, after, more)],
      `${place.scope}.step`,
      binding,
      step.when,
      inputs,
      place,
    );
    return record(new Map(Object.entries(outputTypes(step)).map(([name, type]) => [name, expressionType(type)])));
  }

  #group(group: PlannedValue, names: Names): Code {
    const value = this.#value(group, names);
    return typeof group === 'string' ? value : `() => ${this.#asText(oneLine(value))}`;
  }

  #asText(code: string): string {
    if (code.startsWith('`') || code.startsWith("'")) return code;
    this.#helpers.add('written');
    return `written(${code})`;
  }

  /** A call whose last argument gives the step's inputs, or skips it. */
  #closure(
    before: string,
    args: readonly Code[],
    callee: string,
    binding: string,
    when: string | undefined,
    inputs: Code,
    { names, indent }: Place,
  ): void {
    const condition = when === undefined ? [] : this.#skipUnless(when, names);
    const fits = `${indent}${before}() => ({`.length <= 120;
    if (fits && condition.length === 0) {
      this.#lines.push(...printed(inputs, indent, `${before}() => (`, '));'));
      return;
    }
    if (fits) {
      this.#lines.push(`${indent}${before}() => {`);
      for (const line of condition) this.#lines.push(`${indent}  ${line}`);
      this.#lines.push(...printed(inputs, `${indent}  `, 'return ', ';'), `${indent}});`);
      return;
    }
    this.#lines.push(`${indent}${binding}${callee}(`);
    for (const arg of args) this.#lines.push(...printed(arg, `${indent}  `, '', ','));
    if (condition.length === 0) this.#lines.push(...printed(inputs, `${indent}  `, '() => (', '),'));
    else {
      this.#lines.push(`${indent}  () => {`);
      for (const line of condition) this.#lines.push(`${indent}    ${line}`);
      this.#lines.push(...printed(inputs, `${indent}    `, 'return ', ';'), `${indent}  },`);
    }
    this.#lines.push(`${indent});`);
  }

  #skipUnless(when: string, names: Names): string[] {
    this.#helpers.add('skip');
    return [`if (${negated(when, names, this.#helpers)}) return skip;`];
  }

  #loop(step: RepeatStep, binding: string, after: readonly string[], place: Place): ExpressionType {
    const { names, indent, path } = place;
    const typeName = this.#typeName([...path, step.id]);
    const carryTypes = new Map(Object.entries(step.carry).map(([name, value]) => [name, this.#typeOf(value, names)]));
    const carryName = this.#type(`${typeName}Carry`, carryTypes);
    const nextIndex = this.#lines.length;
    const inner = `${indent}  `;
    const deep = `${indent}    `;
    if (step.when !== undefined)
      for (const line of this.#skipUnless(step.when, names)) this.#lines.push(`${inner}${line}`);
    const max = typeof step.max === 'number' ? String(step.max) : 'max';
    if (typeof step.max !== 'number') this.#lines.push(`${inner}const max = ${this.#numberOf(step.max, names)};`);
    const carry = this.#value(step.carry, names);
    this.#lines.push(...printed(carry, inner, `let carry = await loop.begin(${max}, `, ');'));
    this.#lines.push(`${inner}for (let n = 1; n <= ${max}; n++) {`);
    if (step.budgetMs !== undefined) {
      this.#lines.push(
        `${deep}if (loop.isOver(${this.#kinds.duration(step.budgetMs)})) return loop.end('budget', \`${wallTime(step.budgetMs)} were up before round \${n}.\`);`,
      );
    }
    if (step.endWhenEmpty !== undefined) {
      const reason = `\`No image is left in "${step.endWhenEmpty}" before round \${n}.\``;
      this.#lines.push(
        ...ifReturn(deep, `await loop.isEmpty(carry, ${quoted(step.endWhenEmpty)})`, `loop.end('empty', ${reason})`),
      );
    }
    this.#lines.push(`${deep}const round = loop.round(n);`);
    const others = new Map(names.others);
    others.set('carry', nameOf('carry', record(carryTypes)));
    const previous = record(new Map(Object.keys(step.next).map((name) => [name, carryTypes.get(name) ?? anyType])));
    const roundTypes = new Map<string, ExpressionType>([
      ['index', numberType],
      ['previous', previous],
    ]);
    // What a round hands on has types that only its steps tell; where it reads what the round before handed on, they are guessed first.
    const firstGuess = this.#nextTypes(step, {
      names: { ...names, others: new Map(others).set('round', nameOf('round', record(roundTypes))) },
      path: [...path, step.id],
    });
    roundTypes.set('previous', record(firstGuess));
    others.set('round', nameOf('round', record(roundTypes)));
    const inRound = { scope: 'round', indent: deep, path: [...path, step.id], reads: place.reads };
    const own: Place = { names: { ...names, others }, ...inRound };
    const seen = this.#steps(step.scope.steps, own);
    if (step.gain !== undefined) {
      const gain = seen.steps.get(step.gain)!;
      (seen.others as Map<string, Typed>).set('round.gain', gain);
    }
    this.#lines.push(`${deep}await round.ended();`);
    const { endWhenEmpty, plateau, until } = step;
    const emptied = endWhenEmpty === undefined ? undefined : step.next[endWhenEmpty];
    if (emptied !== undefined) {
      const reason = `\`Round \${n} found no image for "${endWhenEmpty}".\``;
      this.#lines.push(
        ...ifReturn(deep, `loop.lacks(() => ${oneLine(this.#value(emptied, seen))})`, `loop.end('empty', ${reason})`),
      );
    }
    if (until !== undefined) {
      const held = typescriptOf(until, seen, this.#helpers);
      const condition = held.type.type === 'boolean' ? held.code : this.#truth(held.code);
      this.#lines.push(`${deep}const isOver = loop.holds(() => ${condition});`);
    }
    if (plateau !== undefined) {
      const metric = typescriptOf(plateau.metric, seen, this.#helpers);
      const code = metric.type.type === 'number' ? metric.code : this.#number(metric.code);
      const { patience, minDelta, mode } = plateau;
      this.#lines.push(
        `${deep}loop.score(n, { patience: ${patience}, minDelta: ${minDelta}, mode: ${quoted(mode)} }, () => ${code});`,
      );
    }
    const nextTypes = new Map(Object.entries(step.next).map(([name, value]) => [name, this.#typeOf(value, seen)]));
    const nextName = this.#type(`${typeName}Next`, nextTypes);
    const next: Code = {
      object: Object.entries(step.next).map(([name, value]) => [
        name,
        `() => ${arrowBody(oneLine(this.#value(value, seen)))}`,
      ]),
    };
    this.#lines.push(...printed(next, deep, 'carry = loop.next(carry, ', ');'));
    if (until !== undefined) {
      const reason = `\`After round \${n}, "${inTemplate(until)}" held.\``;
      this.#lines.push(...ifReturn(deep, 'isOver', `loop.end('until', ${reason})`));
    }
    if (plateau !== undefined) {
      this.#lines.push(`${deep}const stalled = loop.stalled();`);
      this.#lines.push(...ifReturn(deep, 'stalled !== null', "loop.end('plateau', stalled)"));
    }
    this.#lines.push(`${inner}}`);
    const all = typeof step.max === 'number' ? `'All ${step.max} rounds were run.'` : '`All ${max} rounds were run.`';
    this.#lines.push(`${inner}return loop.end('max', ${all});`, `${indent}});`);
    const call = `${place.scope}.loop<${carryName}, ${nextName}>`;
    this.#insert(nextIndex, call, binding, [quoted(step.id), this.#options(step, after)], 'async (loop) => {', indent);
    return record(
      new Map<string, ExpressionType>([
        ['all', { type: 'list', item: record(nextTypes) }],
        ['last', record(nextTypes)],
        ['best', record(nextTypes)],
        ['bestRound', numberType],
        ['rounds', numberType],
        ['ended', stringType],
        ['reason', stringType],
      ]),
    );
  }

  /** Types of what a round hands on, found by writing its steps for nothing. */
  #nextTypes(step: RepeatStep, { names, path }: Pick<Place, 'names' | 'path'>): Map<string, ExpressionType> {
    const trial = new Writer(this.#source);
    const seen = trial.#steps(step.scope.steps, { names, path, scope: 'round', indent: '', reads: '' });
    return new Map(Object.entries(step.next).map(([name, value]) => [name, trial.#typeOf(value, seen)]));
  }

  #legs(step: FanOutStep, binding: string, after: readonly string[], place: Place): ExpressionType {
    const { names, indent, path } = place;
    const typeName = this.#typeName([...path, step.id]);
    const inner = `${indent}  `;
    const at = this.#lines.length;
    const others = new Map(names.others);
    let seen: ReadonlyMap<string, ExpressionType>;
    let seenName: string;
    let given: Code;
    if ('matrix' in step.legs) {
      const { matrix } = step.legs;
      const axes = commonOf(matrix.map(({ values }) => typeOfJson(values)));
      const around = names.others.get('matrix')?.type;
      const fields = new Map([
        ...(around?.type === 'record' ? around.fields : []),
        ...(axes.type === 'record' ? axes.fields : []),
      ]);
      seen = new Map([['matrix', record(fields)]]);
      seenName = this.#type(`${typeName}Leg`, seen);
      given = { list: matrix.map(({ name, values }) => ({ list: [quoted(name), codeOf(values)] })) };
    } else {
      const items = this.#typeOf(step.legs.forEach, names);
      const item = items.type === 'list' ? items.item : anyType;
      seen = new Map<string, ExpressionType>([
        ['item', item],
        ['index', numberType],
      ]);
      seenName = item.type === 'record' ? this.#type(`${typeName}Item`, item.fields) : typeText(item, this.#helpers);
      given = this.#value(step.legs.forEach, names);
      if (items.type !== 'list') {
        this.#helpers.add('Json');
        given = `${oneLine(given)} as readonly Json[]`;
      }
    }
    for (const [name, type] of seen) others.set(name, nameOf(name, type));
    const inLeg = { scope: 'leg', indent: inner, path: [...path, step.id], reads: place.reads };
    const own: Place = { names: { ...names, others }, ...inLeg };
    const ended = this.#steps(step.scope.steps, own);
    this.#lines.push(`${inner}await leg.ended();`);
    let outputs: ReadonlyMap<string, ExpressionType>;
    if (step.outputs === undefined) {
      const only = ended.steps.get('')!;
      outputs = only.type.type === 'record' ? only.type.fields : new Map();
      this.#lines.push(`${inner}return only.made;`);
    } else {
      outputs = this.#known(step.outputs, ended, inner);
    }
    this.#lines.push(`${indent}});`);
    const outputsName = this.#type(`${typeName}Outputs`, outputs);
    const body = this.#lines.slice(at).join('\n');
    const read = [...seen.keys()].filter((name) => new RegExp(`\\b${name}\\b`).test(body));
    const more: (readonly [string, Code])[] = [['limit', String(step.concurrency)]];
    if (step.legWhen !== undefined) {
      const when = typescriptOf(step.legWhen, own.names, this.#helpers);
      const asked = [...seen.keys()].filter((name) => new RegExp(`\\b${name}\\b`).test(when.code));
      more.push([
        'when',
        `(${asked.length === 0 ? '' : `{ ${asked.join(', ')} }`}) => ${when.type.type === 'boolean' ? when.code : this.#truth(when.code)}`,
      ]);
    }
    const kind = 'matrix' in step.legs ? 'matrix' : 'forEach';
    const call = `${place.scope}.${kind}<${seenName}, ${outputsName}>`;
    const skipping = step.when === undefined ? null : this.#skipUnless(step.when, names)[0]!;
    const args: (Code | { readonly lines: readonly string[] })[] = [
      quoted(step.id),
      this.#options(step, after, more),
      skipping === null
        ? { lines: printed(given, inner, '() => ', ',') }
        : {
            lines: [
              `${inner}() => {`,
              `${inner}  ${skipping}`,
              ...printed(given, `${inner}  `, 'return ', ';'),
              `${inner}},`,
            ],
          },
    ];
    const header = [`${indent}${binding}${call}(`];
    for (const arg of args)
      header.push(...(typeof arg === 'object' && 'lines' in arg ? arg.lines : printed(arg, inner, '', ',')));
    header.push(`${inner}async (leg${read.length === 0 ? '' : `, { ${read.join(', ')} }`}) => {`);
    // The steps stand one level deeper, because the call goes over several lines.
    const steps = this.#lines.splice(at).slice(0, -1);
    this.#lines.push(
      ...header,
      ...steps.map((line) => (line === '' ? line : `  ${line}`)),
      `${inner}},`,
      `${indent});`,
    );
    const entry = new Map([...seen, ...outputs]);
    return record(
      new Map<string, ExpressionType>([
        ['all', { type: 'list', item: record(entry) }],
        ['legs', numberType],
      ]),
    );
  }

  #pipeline(step: PipelineStep, binding: string, after: readonly string[], place: Place): ExpressionType {
    const { names, indent, path } = place;
    const typeName = this.#typeName([...path, step.id === '' ? 'only' : step.id]);
    const inner = `${indent}  `;
    const at = this.#lines.length;
    const params = new Map(Object.entries(step.params).map(([name, value]) => [name, this.#typeOf(value, names)]));
    const paramsName = this.#type(`${typeName}Params`, params);
    const others = new Map([['params', nameOf('params', record(params))]]);
    const own: Place = {
      names: { steps: new Map(), others },
      scope: 'inner',
      indent: `${inner}  `,
      path: [...path, step.id],
      reads: JSON.stringify([step.scope, step.outputs]),
    };
    const ended = this.#steps(step.scope.steps, own);
    const { finally: atEnd } = step.scope;
    if (atEnd !== undefined) this.#atEnd(atEnd, ended, own);
    this.#lines.push(`${inner}  await inner.${atEnd === undefined ? 'ended' : 'closed'}();`);
    const outputs = this.#known(step.outputs, ended, `${inner}  `);
    const outputsName = this.#type(`${typeName}Outputs`, outputs);
    const body = this.#lines.splice(at);
    const reads = /\bparams\b/.test(body.join('\n'));
    const given = this.#value(step.params, names);
    this.#lines.push(`${indent}${binding}${place.scope}.pipeline<${paramsName}, ${outputsName}>(`);
    for (const arg of [quoted(step.id), this.#options(step, after)]) this.#lines.push(...printed(arg, inner, '', ','));
    if (step.when === undefined) this.#lines.push(...printed(given, inner, '() => (', '),'));
    else {
      this.#lines.push(`${inner}() => {`, `${inner}  ${this.#skipUnless(step.when, names)[0]}`);
      this.#lines.push(...printed(given, `${inner}  `, 'return ', ';'), `${inner}},`);
    }
    this.#lines.push(`${inner}async (inner${reads ? ', params' : ''}) => {`, ...body, `${inner}},`, `${indent});`);
    return record(outputs);
  }

  /** Outputs of a leg or of another file, as far as they are there; answers their types. */
  #known(
    outputs: { readonly [name: string]: PlannedValue },
    names: Names,
    indent: string,
  ): Map<string, ExpressionType> {
    this.#helpers.add('known');
    const read: Code = {
      object: Object.entries(outputs).map(([name, value]) => [
        name,
        `() => ${arrowBody(oneLine(this.#value(value, names)))}`,
      ]),
    };
    this.#lines.push(...printed(read, indent, 'return known(', ');'));
    return new Map(Object.entries(outputs).map(([name, value]) => [name, this.#typeOf(value, names)]));
  }

  /** The call of a construct before its body, which is written already. */
  #insert(at: number, call: string, binding: string, args: readonly Code[], last: string, indent: string): void {
    const line = `${indent}${binding}${call}(${[...args.map(oneLine), last].join(', ')}`;
    if (line.length <= 120) {
      this.#lines.splice(at, 0, line);
      return;
    }
    const inner = `${indent}  `;
    const body = this.#lines.splice(at).slice(0, -1);
    this.#lines.push(`${indent}${binding}${call}(`);
    for (const arg of args) this.#lines.push(...printed(arg, inner, '', ','));
    this.#lines.push(
      `${inner}${last}`,
      ...body.map((text) => (text === '' ? text : `  ${text}`)),
      `${inner}},`,
      `${indent});`,
    );
  }

  #typeName(path: readonly string[]): string {
    return path
      .map((part) => safeName(part === '' ? 'only' : part))
      .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
      .join('');
  }

  /** Declares the type; answers its name. */
  #type(wanted: string, fields: ReadonlyMap<string, ExpressionType>): string {
    if (fields.size === 0) return 'object';
    const texts = fieldTexts(fields, this.#helpers);
    const like = this.#kinds.typeLike(texts);
    if (like !== null) return like;
    let name = wanted;
    for (let i = 2; this.#types.has(name) || libraryNames.has(name); i++) name = `${wanted}${i}`;
    this.#types.set(name, texts);
    return name;
  }

  /** A value of the plan, with its expressions. */
  #value(value: PlannedValue, names: Names): Code {
    if (Array.isArray(value)) return { list: value.map((item: PlannedValue) => this.#value(item, names)) };
    if (typeof value === 'string') return quoted(value);
    if (typeof value !== 'object' || value === null) return String(value);
    const source = expressionOf(value);
    if (source !== null) return typescriptOf(source, names, this.#helpers).code;
    const parts = textPartsOf(value);
    if (parts !== null) return this.#text(parts, names);
    return {
      object: Object.entries(value as { readonly [key: string]: PlannedValue }).map(([key, item]) => [
        key,
        this.#field(item, names),
      ]),
    };
  }

  /** An expression that gives null leaves its key out. */
  #field(value: PlannedValue, names: Names): Code {
    const source = expressionOf(value);
    if (source === null) return this.#value(value, names);
    const { code, mayBeNull, binds } = typescriptOf(source, names, this.#helpers);
    return mayBeNull === true ? `${binds < 20 ? `(${code})` : code} ?? undefined` : code;
  }

  /** Secrets in it stay apart, by their names: an activity joins the text. */
  #text(parts: readonly PlannedValue[], names: Names): Code {
    const pieces: { secret: boolean; code: string }[] = [];
    for (const part of parts) {
      const secret = secretNameOf(part);
      const last = pieces.at(-1);
      if (secret !== null) pieces.push({ secret: true, code: `{ $secret: ${quoted(secret)} }` });
      else if (last?.secret === false) last.code += this.#textPart(part, names);
      else pieces.push({ secret: false, code: this.#textPart(part, names) });
    }
    const texts = pieces.map(({ secret, code }) => (secret ? code : `\`${code}\``));
    return pieces.some(({ secret }) => secret) ? { object: [['$text', { list: texts }]] } : (texts[0] ?? quoted(''));
  }

  #textPart(part: PlannedValue, names: Names): string {
    const source = expressionOf(part);
    if (source === null) return inTemplate(String(part));
    const { code, type } = typescriptOf(source, names, this.#helpers);
    if (['number', 'string', 'boolean'].includes(type.type)) return `\${${code}}`;
    this.#helpers.add('written');
    return `\${written(${code})}`;
  }

  #typeOf(value: PlannedValue, names: Names): ExpressionType {
    if (Array.isArray(value)) {
      return { type: 'list', item: commonOf(value.map((item: PlannedValue) => this.#typeOf(item, names))) };
    }
    const source = expressionOf(value);
    if (source !== null) return typescriptOf(source, names, new Set()).type;
    const parts = textPartsOf(value) ?? [];
    if ([value, ...parts].some((part) => secretNameOf(part) !== null)) return { type: 'secret' };
    if (parts.length > 0) return stringType;
    if (typeof value !== 'object' || value === null) return typeOfJson(value as Json);
    const whole = typeOfJson(value as Json);
    if (whole.type === 'artifact') return whole;
    return record(
      new Map(Object.entries(value).map(([key, item]) => [key, this.#typeOf(item as PlannedValue, names)])),
    );
  }

  #numberOf(value: PlannedValue, names: Names): string {
    const source = expressionOf(value);
    if (source === null) return String(value);
    const { code, type } = typescriptOf(source, names, this.#helpers);
    return type.type === 'number' ? code : this.#number(code);
  }

  #number(code: string): string {
    this.#helpers.add('number');
    return `number(${code})`;
  }

  #truth(code: string): string {
    this.#helpers.add('truth');
    return `truth(${code})`;
  }
}

/** Names of what the library gives, which variables must not hide. */
const libraryNames = new Set([
  'activity',
  'add',
  'approvalForm',
  'at',
  'contains',
  'days',
  'divide',
  'entry',
  'greatest',
  'has',
  'hours',
  'known',
  'least',
  'list',
  'minutes',
  'number',
  'numberFrom',
  'order',
  'plain',
  'present',
  'foreignActivity',
  'remainder',
  'reviewGate',
  'runWorkflow',
  'same',
  'capacitySearch',
  'seconds',
  'size',
  'skip',
  'text',
  'truth',
  'withOptions',
  'written',
  'Artifact',
  'Json',
  'Steps',
  'Step',
]);

function outputTypes(step: KindStep): { readonly [name: string]: DeclaredType } {
  if (step.type === 'foreign') return step.outputs;
  if (step.type !== 'approve') return stepKinds.get(step.kind)?.outputs ?? {};
  const fields = Object.entries(step.form.properties).map(
    ([name, { type, items }]) => [name, fieldType(type, items?.type)] as const,
  );
  return { by: 'string', expired: 'boolean', ...Object.fromEntries(fields) };
}

function fieldType(type: string, item: string | undefined): DeclaredType {
  if (type === 'boolean') return 'boolean';
  if (type === 'integer' || type === 'number') return 'number';
  return type === 'array' ? { list: fieldType(item ?? 'string', undefined) } : 'string';
}

function ifReturn(indent: string, condition: string, value: string): string[] {
  const line = `${indent}if (${condition}) return ${value};`;
  return line.length <= 120 ? [line] : [`${indent}if (${condition}) {`, `${indent}  return ${value};`, `${indent}}`];
}

const usesRun = (steps: readonly PlannedStep[]): boolean => /\brun\./.test(JSON.stringify(steps));

const arrowBody = (code: string): string => (/^\{|^[^[]* \? .* : /.test(code) ? `(${code})` : code);

const inTemplate = (text: string): string => text.replace(/[\\`]|\$\{/g, (found) => `\\${found}`);

function shown(value: Json): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** As the formatter sorts what is imported: letter by letter, a capital before its small one. */
function compareNames(a: string, b: string): number {
  const keyOf = (name: string) =>
    [...name].map((letter) => `${letter.toLowerCase()}${/[A-Z]/.test(letter) ? 0 : 1}`).join('');
  return keyOf(a) < keyOf(b) ? -1 : 1;
}
