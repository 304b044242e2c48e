import { expect, it } from 'vitest';
import { mapInParallel } from '../../artifacts/map-in-parallel.ts';

it('asks for so many at a time and keeps the order of the answers', async () => {
  let open = 0;
  let most = 0;
  const answers = await mapInParallel(
    [5, 1, 3, 2, 4, 0],
    async (item) => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setTimeout(resolve, item));
      open--;
      return item * 10;
    },
    2,
  );
  expect(answers).toEqual([50, 10, 30, 20, 40, 0]);
  expect(most).toBe(2);
});

it('answers nothing for nothing, and begins nothing more after a failure', async () => {
  expect(await mapInParallel([], async () => 1)).toEqual([]);
  const begun: number[] = [];
  const failing = mapInParallel(
    [1, 2, 3],
    async (item) => {
      begun.push(item);
      throw new Error('disk full');
    },
    1,
  );
  await expect(failing).rejects.toThrow('disk full');
  expect(begun).toEqual([1]);
});
