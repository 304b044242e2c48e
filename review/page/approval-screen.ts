/** A question of an `approve` step: what is shown, and its form. */

import { type FormField, fieldsOf, problemOfAnswer } from '../../plan/form.ts';
import type { Json } from '../../plan/types.ts';
import type { ApprovalAnswerRequest, ApprovalJson } from '../api.ts';
import type { Connection } from './connection.ts';
import { announce, h, icon, signs } from './dom.ts';
import { actionOf } from './keys.ts';
import type { Screen } from './main.ts';

export interface ApprovalScreenOptions {
  readonly connection: Connection;
  readonly approval: ApprovalJson;
  readonly toQueue: () => void;
  readonly tools: HTMLElement;
}

interface Field {
  readonly element: HTMLElement;
  /** Undefined where nothing was entered. */
  read(): Json | undefined;
}

export function createApprovalScreen({ connection, approval, toQueue, tools }: ApprovalScreenOptions): Screen {
  const { run, gate, form } = approval;
  const required = new Set(form.required ?? []);
  const fields = fieldsOf(form).map(([name, field]) => ({
    name,
    ...fieldOf(name, field, required.has(name), approval.given?.answer[name]),
  }));
  const problem = h('p.problem', { role: 'alert', hidden: true });
  const send = h('button.primary', { type: 'submit' }, 'Send the answer');
  const reason = h('input', { id: 'reason', type: 'text', maxlength: 500 });
  const body = h(
    'form.form',
    {
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        void answer();
      },
    },
    ...fields.map(({ element }) => element),
    h('div.field', {}, h('label', { for: 'reason' }, 'Why (may be left out)'), reason),
    problem,
    h('div.row', {}, send),
  );
  const main = h(
    'main',
    { id: 'main' },
    h('p.badge', {}, `${gate} · ${run}`),
    h('h1', {}, form.title ?? 'Your answer is needed'),
    h('p.message', {}, approval.message),
    form.description !== undefined && h('p.sub', {}, form.description),
    shownValues(approval),
    termsOf(approval),
  );
  if (approval.state !== 'open') main.append(answeredWords(approval));
  else if (!approval.mine) {
    main.append(
      h('p.note', {}, `This asks ${approval.assignees?.join(', ') || 'a reviewer'}. You can look, and not answer.`),
    );
  } else main.append(body);

  async function answer(): Promise<void> {
    const given: { [name: string]: Json } = {};
    for (const { name, read } of fields) {
      const value = read();
      if (value !== undefined) given[name] = value;
    }
    const fault = problemOfAnswer(form, given);
    if (fault !== null) {
      complain(fault);
      return;
    }
    send.disabled = true;
    const request: ApprovalAnswerRequest = {
      answer: given,
      ...(reason.value.trim() === '' ? {} : { reason: reason.value.trim() }),
    };
    try {
      const path = `/api/runs/${encodeURIComponent(run)}/approvals/${encodeURIComponent(gate)}/answer`;
      const { goOn } = await connection.json<{ readonly goOn?: string }>(path, request);
      body.replaceWith(
        h(
          'p.note',
          {},
          goOn === undefined
            ? 'Answered. The run goes on with it.'
            : 'Answered. Nothing runs it at the moment; it goes on with:',
        ),
        ...(goOn === undefined ? [] : [h('pre', {}, goOn)]),
        h('div.row', {}, h('button.primary', { onclick: toQueue }, 'All that waits')),
      );
      announce('Answered.');
    } catch (error) {
      // What was entered stays, to be sent again.
      complain((error as Error).message);
    } finally {
      send.disabled = false;
    }
  }

  function complain(text: string): void {
    problem.textContent = text;
    problem.hidden = false;
  }

  const element = h(
    'div.screen.message.approval',
    {},
    h(
      'header.bar',
      {},
      h(
        'button.quiet',
        { onclick: toQueue, 'aria-label': 'All that waits', title: 'All that waits (Q)' },
        icon(signs.back),
      ),
      h('span.brand', {}, 'hardcase', h('span', {}, ' review')),
      h('span.spring'),
      tools,
    ),
    main,
  );
  announce(approval.message);
  return {
    element,
    close: () => {},
    key: (event) => {
      if (actionOf(event) !== 'queue') return false;
      toQueue();
      return true;
    },
  };
}

/** What the pipeline shows beside its question: numbers and texts as such, the rest as JSON. */
function shownValues({ show = {} }: ApprovalJson): HTMLElement {
  return h(
    'dl.shown',
    {},
    ...Object.entries(show).flatMap(([name, value]) => [
      h('dt', {}, name),
      h('dd', {}, typeof value === 'object' ? JSON.stringify(value) : String(value)),
    ]),
  );
}

function termsOf({ expiresAt, expired, assignees }: ApprovalJson): HTMLElement {
  const then =
    typeof expired === 'object'
      ? `the run goes on with ${JSON.stringify(expired)}`
      : expired === 'fail'
        ? 'the run fails'
        : 'the run is held';
  const words = [
    ...(assignees && assignees.length > 0 ? [`asks ${assignees.join(', ')}`] : []),
    ...(expiresAt === undefined ? [] : [`open until ${new Date(expiresAt).toLocaleString()}; then ${then}`]),
  ];
  return h('p.sub', {}, words.join(' · '));
}

function answeredWords({ state, given }: ApprovalJson): HTMLElement {
  if (given === undefined) return h('p.note', {}, `It is ${state}.`);
  return h(
    'p.note',
    {},
    `Answered by ${given.by}, ${new Date(given.at).toLocaleString()}: ${JSON.stringify(given.answer)}`,
  );
}

let ids = 0;

function fieldOf(name: string, field: FormField, isRequired: boolean, given: Json | undefined): Field {
  const id = `field-${++ids}`;
  const start = given ?? field.default;
  const title = `${field.title ?? name}${isRequired && field.default === undefined ? '' : ' (may be left out)'}`;
  const hint = field.description === undefined ? null : h('p.sub', { id: `${id}-hint` }, field.description);
  const described = hint === null ? null : `${id}-hint`;
  if (field.type === 'boolean' || field.enum !== undefined) {
    const choices: readonly (readonly [string, Json])[] =
      field.enum === undefined
        ? [
            ['Yes', true],
            ['No', false],
          ]
        : field.enum.map((value) => [String(value), value] as const);
    const inputs = choices.map(([words, value]) => {
      const input = h('input', { type: 'radio', name: id, checked: JSON.stringify(value) === JSON.stringify(start) });
      return { value, input, label: h('label.choice', {}, input, words) };
    });
    const element = h(
      'fieldset.field',
      { 'aria-describedby': described },
      h('legend', {}, title),
      hint,
      ...inputs.map(({ label }) => label),
    );
    return { element, read: () => inputs.find(({ input }) => input.checked)?.value };
  }
  const label = h('label', { for: id }, title);
  if (field.type === 'array') {
    const area = h('textarea', { id, rows: 4, 'aria-describedby': described, placeholder: 'one a line' });
    area.value = Array.isArray(start) ? start.map(String).join('\n') : '';
    const item = (text: string): Json =>
      ['integer', 'number'].includes(field.items?.type ?? '') ? numberOr(text) : text;
    const read = () => {
      const lines = area.value
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '');
      return lines.length === 0 && !isRequired ? undefined : lines.map(item);
    };
    return { element: h('div.field', {}, label, hint, area), read };
  }
  const isNumber = field.type === 'integer' || field.type === 'number';
  const input = h('input', {
    id,
    type: isNumber ? 'number' : 'text',
    step: field.type === 'integer' ? 1 : 'any',
    min: field.minimum,
    max: field.maximum,
    maxlength: field.maxLength,
    required: isRequired && field.default === undefined,
    'aria-describedby': described,
  });
  input.value = start === undefined ? '' : String(start);
  const read = () => {
    const text = input.value.trim();
    if (text === '') return undefined;
    return isNumber ? numberOr(text) : text;
  };
  return { element: h('div.field', {}, label, hint, input), read };
}

/** What is no number stays text, and the form says what is wrong with it. */
const numberOr = (text: string): Json => (Number.isNaN(Number(text)) ? text : Number(text));
