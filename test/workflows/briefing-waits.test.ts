/** Which messages wait for the root, and by what they are judged then. */

import { expect, test, vi } from 'vitest';
import { Briefing, refusalFor } from '../../workflows/briefing.ts';

interface Handler {
  readonly take: (message: string) => unknown;
  readonly validate: (message: string) => void;
}
const handlers = vi.hoisted(() => new Map<string, Handler>());

vi.mock('@temporalio/workflow', async (original) => ({
  ...(await original<object>()),
  setHandler: ({ name }: { name: string }, take: Handler['take'], more?: { validator: Handler['validate'] }) =>
    handlers.set(name, { take, validate: more?.validator ?? (() => undefined) }),
}));

const { defineSignal, defineUpdate } = await import('@temporalio/workflow');

/** A desk that takes each word once. */
function openDesk(briefing: Briefing): readonly string[] {
  const taken: string[] = [];
  const rules = {
    refusalOf: (word: string) => refusalFor(taken.includes(word) ? `${word} was said.` : null),
    take: (word: string) => {
      taken.push(word);
      return taken.length;
    },
  };
  briefing.update(defineUpdate<number, [string]>('say'), rules);
  briefing.update(defineUpdate<number, [string]>('cancel'), rules, false);
  briefing.signal(defineSignal<[string]>('say-signal'), rules.take);
  return taken;
}

test('messages that come while the history is full wait, in their order, and are judged by what is known then', async () => {
  const briefing = new Briefing(null);
  const taken = openDesk(briefing);
  const { take, validate } = handlers.get('say')!;
  let isFull = false;
  briefing.complete();
  briefing.waitWhile(() => isFull);
  expect(take('first')).toBe(1);
  expect(() => validate('first')).toThrow('first was said.');

  isFull = true;
  // What is refused by then is no fault of the sender, who is told all the same.
  for (const word of ['second', 'second']) validate(word);
  const [second, again] = ['second', 'second'].map((word) => take(word) as Promise<number>);
  const signal = handlers.get('say-signal')!.take('third') as Promise<void>;
  const refused = expect(again).rejects.toThrow('second was said.');
  expect(handlers.get('cancel')!.take('stop')).toBe(2);
  await Promise.resolve();
  expect(taken).toEqual(['first', 'stop']);

  isFull = false;
  briefing.letIn();
  expect(await second).toBe(3);
  await refused;
  await signal;
  expect(taken).toEqual(['first', 'stop', 'second', 'third']);
});
