/** The kinds of steps at the head of a compiled workflow: what each gives, and how its activity is called. */

import { expressionType } from '../checks.ts';
import type { DeclaredType, KindStep, RetryPolicy } from '../types.ts';
import { safeName } from './expression.ts';
import { type Code, oneLine, printed, quoted } from './layout.ts';
import { fieldTexts } from './types.ts';

const makers = {
  activity: 'activity',
  gate: 'reviewGate',
  search: 'capacitySearch',
  foreign: 'foreignActivity',
  approve: 'approvalForm',
} as const;

/** Of a step: everything but its place and its inputs. */
type Options = { readonly [name: string]: Code };

interface Used {
  readonly name: string;
  readonly step: KindStep;
  readonly outputs: { readonly [name: string]: DeclaredType };
  readonly options: Options;
}

export class Kinds {
  readonly #helpers: Set<string>;
  readonly #used = new Map<string, Used>();
  /** The retry policy that most steps have. */
  #retry: string | null = null;

  constructor(helpers: Set<string>) {
    this.#helpers = helpers;
  }

  /** TypeScript for the step's kind, with what this step has otherwise. */
  use(step: KindStep, outputs: { readonly [name: string]: DeclaredType }): Code {
    const options = this.#optionsOf(step);
    const identity = oneLine(objectOf(identityOf(step, options)));
    const wanted = safeName(
      step.type === 'foreign' ? step.activity : step.type === 'approve' ? step.id || 'ok' : step.kind,
    );
    let used = [...this.#used.values()].find(
      (one) => one.step.kind === step.kind && oneLine(objectOf(identityOf(one.step, one.options))) === identity,
    );
    if (used === undefined) {
      let name = wanted;
      for (let i = 2; this.#used.has(name); i++) name = `${wanted}${i}`;
      used = { name, step, outputs, options };
      this.#used.set(name, used);
      this.#helpers.add(makers[step.type]);
    }
    const { options: usual } = used;
    const changed = Object.entries(options).filter(([name, value]) => oneLine(value) !== oneLine(usual[name] ?? ''));
    if (changed.length === 0) return `kinds.${used.name}`;
    this.#helpers.add('withOptions');
    return { call: `withOptions(kinds.${used.name}, `, last: objectOf(Object.fromEntries(changed)) };
  }

  /** The name of the type of a kind that gives the same; null where none does. */
  typeLike(fields: readonly string[]): string | null {
    const wanted = fields.join(';');
    const found = [...this.#used.values()].find(({ outputs }) => this.#fields(outputs).join(';') === wanted);
    return found === undefined ? null : outputsName(found.name);
  }

  #fields(outputs: Used['outputs']): string[] {
    return fieldTexts(
      new Map(Object.entries(outputs).map(([key, type]) => [key, expressionType(type)])),
      this.#helpers,
    );
  }

  lines(): string[] {
    if (this.#used.size === 0) return [];
    const lines: string[] = [];
    for (const { name, outputs } of this.#used.values()) {
      const fields = this.#fields(outputs);
      if (fields.length === 0) continue;
      lines.push(`interface ${outputsName(name)} {`, ...fields.map((field) => `  ${field};`), '}', '');
    }
    if (this.#retry !== null) lines.push(`const retry = ${this.#retry};`, '');
    lines.push('/** What the steps are, and how their activities are called. */', 'const kinds = {');
    for (const { name, step, outputs, options } of this.#used.values()) {
      const type = Object.keys(outputs).length === 0 ? 'object' : outputsName(name);
      const first: Code =
        step.type === 'approve' ? (options.form ?? '') : quoted(step.type === 'foreign' ? step.activity : step.kind);
      const rest = objectOf(Object.fromEntries(Object.entries(options).filter(([key]) => key !== 'form')));
      const before = `${name}: ${makers[step.type]}<${type}>(`;
      if (typeof first === 'string') lines.push(...printed(rest, '  ', `${before}${first}, `, '),'));
      else if (`  ${before}${oneLine(first)}, ${oneLine(rest)}),`.length <= 120) {
        lines.push(`  ${before}${oneLine(first)}, ${oneLine(rest)}),`);
      } else lines.push(`  ${before}`, ...printed(first, '    ', '', ','), ...printed(rest, '    ', '', ','), '  ),');
    }
    lines.push('};');
    return lines;
  }

  /** `hours(6)`. */
  duration(ms: number): string {
    for (const [name, size] of [
      ['days', 86_400_000],
      ['hours', 3_600_000],
      ['minutes', 60_000],
      ['seconds', 1_000],
    ] as const) {
      if (ms < size || ms % size !== 0) continue;
      this.#helpers.add(name);
      return `${name}(${ms / size})`;
    }
    return String(ms);
  }

  #optionsOf(step: KindStep): Options {
    if (step.type === 'approve') {
      return {
        version: String(step.version),
        form: codeOf(step.form),
        ...(step.expired === undefined ? {} : { expired: codeOf(step.expired) }),
        ...(step.fresh === undefined ? {} : { fresh: quoted(step.fresh) }),
      };
    }
    const { version, queue, timeoutMs, heartbeatMs, retry, fresh } = step;
    return {
      version: String(version),
      ...(step.type === 'foreign' ? { outputs: codeOf(step.outputs), reuse: String(step.reuse) } : {}),
      queue: quoted(queue),
      timeoutMs: this.duration(timeoutMs),
      ...(heartbeatMs === undefined ? {} : { heartbeatMs: this.duration(heartbeatMs) }),
      retry: this.#retryOf(retry),
      ...(fresh === undefined ? {} : { fresh: quoted(fresh) }),
    };
  }

  #retryOf({ max, initialMs, factor, maxMs, on, except }: RetryPolicy): Code {
    const object: (readonly [string, Code])[] = [
      ['max', String(max)],
      ['initialMs', this.duration(initialMs)],
      ['factor', String(factor)],
      ['maxMs', this.duration(maxMs)],
    ];
    if (on !== undefined) object.push(['on', { list: on.map(quoted) }]);
    if (except !== undefined) object.push(['except', { list: except.map(quoted) }]);
    const text = oneLine({ object });
    this.#retry ??= text;
    return text === this.#retry ? 'retry' : { object };
  }
}

const outputsName = (kind: string): string => `${kind.charAt(0).toUpperCase()}${kind.slice(1)}Outputs`;

const objectOf = (options: Options): Code => ({ object: Object.entries(options) });

/** What makes two steps of a kind two kinds here. */
function identityOf(step: KindStep, options: Options): Options {
  const { version = '', outputs = '', reuse = '', heartbeatMs = '', form = '', expired = '' } = options;
  return { type: step.type, version, outputs, reuse, heartbeatMs, form, expired };
}

export function codeOf(value: unknown): Code {
  if (Array.isArray(value)) return { list: value.map(codeOf) };
  if (typeof value === 'string') return quoted(value);
  if (typeof value !== 'object' || value === null) return String(value);
  return { object: Object.entries(value).map(([key, item]) => [key, codeOf(item)]) };
}
