import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { savedModelBytes } from '../../../detection/model/graph-definition.ts';
import { nodeBackend, tf } from '../../../detection/model/tf.ts';
import { ANY_NUMBER, GraphSession, traceGraph } from '../../../detection/model/traced-graph.ts';

const folder = mkdtempSync(join(tmpdir(), 'hardcase-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** y = sum(x * w + 1), w' = w + x, over bytes and floats. */
const counter = () =>
  traceGraph((tracer) => {
    const x = tracer.input('x', [3], 'uint8');
    const unused = tracer.input('y', [2], 'float32');
    const w = tracer.variable('w', [3]);
    tf.mul(unused, 2);
    tracer.signature('step', { y: tf.sum(tf.add(tf.mul(x, w), 1)) }, { w: tf.add(w, x) });
    tracer.signature('look', { y: tf.mul(w, x), sign: tf.neg(w) });
  });

test('a traced step computes from the old values and leaves the new ones', () => {
  const session = new GraphSession(counter(), folder);
  session.load({ w: Float32Array.of(1, 2, 3) });
  const x = Uint8Array.of(10, 20, 255);
  expect(Array.from(session.run('step', { x }).y!)).toEqual([10 + 40 + 765 + 3]);
  expect(Array.from(session.save().w!)).toEqual([11, 22, 258]);
  const looked = session.run('look', { x: Uint8Array.of(1, 2, 3) });
  expect(Array.from(looked.y!)).toEqual([11, 44, 774]);
  expect(Array.from(looked.sign!)).toEqual([-11, -22, -258]);
  session.dispose();
});

test('two sessions of one graph have their own variables', () => {
  const graph = counter();
  const [a, b] = [new GraphSession(graph, folder), new GraphSession(graph, folder)];
  a.load({ w: Float32Array.of(1, 1, 1) });
  b.load({ w: Float32Array.of(2, 2, 2) });
  a.run('step', { x: Uint8Array.of(1, 1, 1) });
  expect(Array.from(a.save().w!)).toEqual([2, 2, 2]);
  expect(Array.from(b.save().w!)).toEqual([2, 2, 2]);
  a.run('step', { x: Uint8Array.of(1, 1, 1) });
  expect(Array.from(a.save().w!)).toEqual([3, 3, 3]);
  expect(Array.from(b.save().w!)).toEqual([2, 2, 2]);
  a.dispose();
  b.dispose();
});

test('nothing stays behind: no tensors, no files, and the backend is as it was', () => {
  const { binding } = nodeBackend();
  const before = [binding.getNumOfTensors(), tf.memory().numTensors];
  const session = new GraphSession(counter(), folder);
  session.load({ w: new Float32Array(3) });
  for (let i = 0; i < 20; i++) session.run('step', { x: new Uint8Array(3) });
  session.dispose();
  expect([binding.getNumOfTensors(), tf.memory().numTensors]).toEqual(before);
  expect(nodeBackend().binding).toBe(binding);
  expect(readdirSync(folder)).toEqual([]);
});

test('the backend is as it was also after traced code that throws', () => {
  const { binding } = nodeBackend();
  expect(() =>
    traceGraph(() => {
      throw new Error('no');
    }),
  ).toThrow('no');
  expect(nodeBackend().binding).toBe(binding);
});

test('a wrong number of values is refused with both numbers', () => {
  const session = new GraphSession(counter(), folder);
  expect(() => session.run('step', { x: new Uint8Array(2) })).toThrow(
    'Input "x" of "step" takes 3 values [3], but got 2.',
  );
  session.dispose();
});

test('an input of any number of rows takes whole rows, as many as there are', () => {
  const definition = traceGraph((tracer) => {
    const x = tracer.input('x', [ANY_NUMBER, 2], 'float32');
    tracer.signature('step', { y: tf.sum(tf.prod(x, 1)) });
  });
  const session = new GraphSession(definition, folder);
  expect(session.run('step', { x: Float32Array.of(2, 3) }).y![0]).toBe(6);
  expect(session.run('step', { x: Float32Array.of(2, 3, 4, 5, 6, 7) }).y![0]).toBe(68);
  expect(session.run('step', { x: new Float32Array(0) }).y![0]).toBe(0);
  expect(() => session.run('step', { x: new Float32Array(3) })).toThrow(
    'Input "x" of "step" takes 2 values for each row [any,2], but got 3.',
  );
  session.dispose();
});

test('a tensor from before the trace cannot slip into the graph', () => {
  const old = tf.tensor1d([1, 2]);
  old.dataSync();
  tf.neg(old).dispose();
  expect(() => traceGraph((tracer) => tracer.signature('s', { y: tf.neg(old) }))).toThrow('made before tracing began');
  old.dispose();
});

test('tfjs reads the graph as an ordinary SavedModel', async () => {
  const path = join(folder, 'model');
  mkdirSync(join(path, 'variables'), { recursive: true });
  writeFileSync(join(path, 'saved_model.pb'), savedModelBytes(counter()));
  const load = await tf.node.loadSavedModel(path, ['serve'], 'load');
  const look = await tf.node.loadSavedModel(path, ['serve'], 'look');
  load.predict({ w: tf.tensor1d([1, 2, 3]) });
  const answer = look.predict({ x: tf.tensor1d([4, 5, 6], 'int32') }) as Record<string, ReturnType<typeof tf.tensor>>;
  expect(Array.from(answer.y!.dataSync())).toEqual([4, 10, 18]);
  load.dispose();
  look.dispose();
  rmSync(path, { recursive: true });
  expect(existsSync(path)).toBe(false);
});
