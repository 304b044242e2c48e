import { describe, expect, it } from 'vitest';
import { iou } from '../../detection/box.ts';
import { generateScene, plantErrors, RARE_KIND, sceneCategories } from '../../detection/scenes.ts';
import type { Annotation } from '../../detection/types.ts';

function scenes(count: number, seed = 1, options = {}) {
  return Array.from({ length: count }, (_, index) => generateScene(options, seed, index));
}

describe('generateScene', () => {
  it('is the same for the same seed and index, and another for others', () => {
    const scene = generateScene({}, 1, 7);
    expect(generateScene({}, 1, 7)).toEqual(scene);
    expect(generateScene({}, 2, 7).pixels).not.toEqual(scene.pixels);
    expect(scene.pixels).toHaveLength(160 * 160 * 3);
  });

  it('cuts two or three images from each photo, alike where they overlap', () => {
    const all = scenes(10);
    expect(all.map(({ group }) => group)).toEqual([
      'photo0',
      'photo0',
      'photo1',
      'photo1',
      'photo1',
      'photo2',
      'photo2',
      'photo3',
      'photo3',
      'photo3',
    ]);
    // the right quarter of the first crop is the left quarter of the second, up to the camera's grain
    let difference = 0;
    for (let y = 0; y < 160; y++) {
      for (let x = 0; x < 40; x++) {
        const [a, b] = [(y * 160 + 120 + x) * 3, (y * 160 + x) * 3];
        difference += Math.abs(all[0]!.pixels[a]! - all[1]!.pixels[b]!);
      }
    }
    expect(difference / (160 * 40)).toBeLessThan(10);
  });

  it('has small targets inside the image, mostly common ones', () => {
    const targets = scenes(120).flatMap((scene) => scene.targets);
    const sides = targets
      .map(({ box }) => Math.sqrt((box[2] - box[0]) * (box[3] - box[1])) / 160)
      .sort((a, b) => a - b);
    expect(sides[sides.length >> 1]).toBeGreaterThan(0.06);
    expect(sides[sides.length >> 1]).toBeLessThan(0.09);
    expect(targets.length / 120).toBeGreaterThan(3.5);
    for (const { box, occlusion } of targets) {
      expect(box[0] >= 0 && box[1] >= 0 && box[2] <= 160 && box[3] <= 160 && box[2] > box[0] && box[3] > box[1]).toBe(
        true,
      );
      expect(occlusion).toBeLessThanOrEqual(0.6);
    }
    const kinds = Array.from({ length: 10 }, (_, kind) => targets.filter((target) => target.kind === kind).length);
    expect(kinds[4]!).toBeGreaterThan(kinds[1]!);
    expect(kinds[4]!).toBeGreaterThan(kinds[7]!);
    expect(kinds[RARE_KIND]! / targets.length).toBeLessThan(0.12);
    expect(kinds[RARE_KIND]!).toBeGreaterThan(0);
  });

  it('draws as many categories as it is asked for', () => {
    const seen = new Set(scenes(20, 1, { categories: 3 }).flatMap(({ targets }) => targets.map((t) => t.categoryId)));
    expect([...seen].sort()).toEqual([1, 2, 3]);
    expect(sceneCategories(2).map(({ name }) => name)).toEqual(['berry', 'bud']);
    expect(() => sceneCategories(4)).toThrow('Scenes have 1 to 3 categories, not 4.');
  });
});

describe('plantErrors', () => {
  const images = Array.from({ length: 200 }, (_, i) => ({ id: i + 1, width: 160, height: 160 }));
  const truth: Annotation[] = images.flatMap(({ id }) =>
    [0, 1, 2, 3, 4].map((k) => ({ id: `${id}.${k}`, imageId: id, categoryId: 1, box: [k * 30, 40, k * 30 + 12, 52] })),
  );
  const categories = sceneCategories(2);
  const rates = { missing: 0.1, spurious: 0.05, shifted: 0.08, wrongClass: 0.04 };
  const planted = plantErrors(truth, images, categories, rates, 5);

  it('plants about as many as asked for, and the same again', () => {
    const count = (type: string) => planted.errors.filter((error) => error.type === type).length / truth.length;
    expect(count('missing')).toBeCloseTo(0.1, 1);
    expect(count('spurious')).toBeCloseTo(0.05, 1);
    expect(count('shifted')).toBeCloseTo(0.08, 1);
    expect(count('wrong-class')).toBeCloseTo(0.04, 1);
    expect(plantErrors(truth, images, categories, rates, 5)).toEqual(planted);
    expect(plantErrors(truth, images, categories, {}, 5)).toEqual({ annotations: truth, errors: [] });
  });

  it('makes what it says it makes', () => {
    const labels = new Map(planted.annotations.map((label) => [label.id, label]));
    const targets = new Map(truth.map((target) => [target.id, target]));
    expect(labels.size).toBe(planted.annotations.length);
    for (const { type, imageId, truthId, annotationId } of planted.errors) {
      const label = labels.get(annotationId ?? '');
      const target = targets.get(truthId ?? '');
      if (type === 'missing') {
        expect(labels.has(truthId!)).toBe(false);
      } else if (type === 'shifted') {
        const overlap = iou(label!.box, target!.box);
        expect(overlap).toBeGreaterThanOrEqual(0.25);
        expect(overlap).toBeLessThanOrEqual(0.6);
      } else if (type === 'wrong-class') {
        expect(label).toEqual({ ...target, categoryId: 2 });
      } else {
        expect(truth.every((other) => other.imageId !== imageId || iou(other.box, label!.box) < 0.05)).toBe(true);
      }
    }
  });

  it('knows no wrong class with one category', () => {
    expect(() => plantErrors(truth, images, sceneCategories(1), { wrongClass: 0.1 }, 1)).toThrow('with one category');
  });
});
