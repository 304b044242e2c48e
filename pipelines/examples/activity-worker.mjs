/**
 * A program that is not hardcase: it serves the activity of activity.yaml on a task queue of its own. It knows Temporal's
 * address, and what the activity is given; a worker in Python or Go looks the same.
 */

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';

/** The embedded engine of this folder, unless TEMPORAL_ADDRESS names another server. */
const engine = () => `127.0.0.1:${JSON.parse(readFileSync('.hardcase/engine.json', 'utf8')).port}`;
const connection = await NativeConnection.connect({ address: process.env.TEMPORAL_ADDRESS ?? engine() });

/** An artifact is a reference; the bytes lie in the store under their SHA-256. */
const readObject = async (store, digest) =>
  JSON.parse(await readFile(join(store, 'objects', digest.slice(0, 2), digest.slice(2)), 'utf8'));

/**
 * Secrets are given by their names, alone or within text, and looked up here, so that Temporal's history holds none. `secrets`
 * lists where they stand: what looks like one elsewhere is what another step gave.
 */
function revealed(given) {
  if (typeof given === 'string') return given;
  if (given.$text) return given.$text.map(revealed).join('');
  const name = given.$secret;
  const value = process.env[`HARDCASE_SECRET_${name}`];
  if (value) return value;
  throw ApplicationFailure.nonRetryable(`HARDCASE_SECRET_${name} is not set for the survey program.`, 'MissingSecret');
}

const activities = {
  surveyImages: async ({ store, with: { dataset, authorization }, secrets }) => {
    // For the header of a request, say.
    if (secrets.includes('/authorization')) revealed(authorization);
    const manifest = await readObject(store, dataset.digest);
    const images = await readObject(store, manifest.images);
    return { images: images.length, train: images.filter(({ split }) => split === 'train').length };
  },
};

const worker = await Worker.create({ connection, taskQueue: 'example-survey', activities });
await worker.run();
await connection.close();
