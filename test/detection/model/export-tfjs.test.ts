import { afterAll, expect, test } from 'vitest';
import { createDetectorModel } from '../../../detection/model/detect.ts';
import { exportTfjs } from '../../../detection/model/export-tfjs.ts';
import { initialWeights } from '../../../detection/model/network.ts';
import { tf } from '../../../detection/model/tf.ts';
import { discImage, tiny } from './scenes.ts';

afterAll(() => tf.setBackend('tensorflow'));

// The plain JavaScript backend stands for browsers: it shares no code with TensorFlow.
test.each([
  ['tensorflow', 'leaky'],
  ['tensorflow', 'mish'],
  ['cpu', 'silu'],
] as const)(
  'tf.loadGraphModel loads the export on the %s backend and answers the same: %s',
  async (backend, activation) => {
    const architecture = { ...tiny, activation };
    const weights = initialWeights(architecture, 6);
    const image = discImage(1);
    const detector = createDetectorModel(architecture, weights);
    let expected = new Float32Array(0);
    detector.forEachImage([image], (_image, rows) => {
      expected = rows.slice();
    });
    detector.dispose();

    const { modelJson, weightsBin } = exportTfjs(architecture, weights);
    await tf.setBackend(backend);
    const { modelTopology, weightsManifest, ...rest } = JSON.parse(modelJson);
    const model = await tf.loadGraphModel({
      load: async () => ({
        ...rest,
        modelTopology,
        weightSpecs: weightsManifest[0].weights,
        weightData: new Uint8Array(weightsBin).buffer,
      }),
    });
    const rows = tf.tidy(() => {
      const pixels = tf.tensor4d(Float32Array.from(image.pixels), [1, 48, 48, 3]);
      return (model.predict({ pixels }) as ReturnType<typeof tf.tensor>).dataSync();
    });
    model.dispose();
    expect(rows.length).toBe(expected.length);
    const scale = Math.max(...expected.map(Math.abs));
    for (const [i, value] of rows.entries()) expect(Math.abs(value - expected[i]!) / scale).toBeLessThan(1e-4);
    expect(rest.userDefinedMetadata.architecture).toEqual(architecture);
    expect(weightsManifest[0].paths).toEqual(['weights.bin']);
  },
);
