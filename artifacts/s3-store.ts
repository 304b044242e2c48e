/** The store in a bucket of S3, or of a server that speaks its protocol, such as MinIO. */

import http from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BucketItem, Client } from 'minio';
import { checkDigest, digestFile, sha256Hex } from './digest.ts';
import { checkRecordKey, decodeSegment, encodeSegment } from './record-key.ts';
import { faultOf, takenCode } from './s3-faults.ts';
import {
  DamagedObjectError,
  FRESHEN_AFTER_MS,
  type ObjectInfo,
  type Store,
  StoreFullError,
  StoreUnavailableError,
} from './store.ts';

/** Settings as the AWS tools name them. */
export interface S3Environment {
  readonly [name: string]: string | undefined;
}

/** Six attempts span about six seconds: a restarted server or a brief 503 passes, a wrong address is told soon. */
const ATTEMPTS_MAX = 6;
const FIRST_DELAY_MS = 200;
/** A connection on which nothing moves for so long is given up and tried anew. */
const IDLE_TIMEOUT_MS = 30_000;
/** Smaller objects go in one request, which needs no permission for multipart uploads. */
const PART_BYTES = 512 * 1024 * 1024;

/**
 * Opens `s3://bucket/prefix`. Throws `StoreUnavailableError`, saying what to change, where the server cannot be
 * reached, refuses us, or would overwrite records that must be created only once.
 */
export async function openS3Store(url: string, environment: S3Environment = process.env): Promise<Store> {
  const { bucket, prefix } = parseS3Url(url);
  const { client, endpoint } = createClient(url, environment);
  const store = new S3Store(url, client, bucket, prefix, endpoint);
  await store.open();
  return store;
}

/** Throws `StoreUnavailableError` on what is no S3 address. */
export function parseS3Url(url: string): { bucket: string; prefix: string } {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(url);
  if (match === null) {
    throw new StoreUnavailableError(
      `"${url}" is no S3 address. Expected s3://bucket/prefix, where the bucket has 3 to 63 lower-case letters, digits, dots and dashes; change HARDCASE_STORE.`,
      false,
    );
  }
  const segments = (match[2] ?? '').split('/').filter((segment) => segment !== '');
  return { bucket: match[1]!, prefix: segments.map((segment) => `${segment}/`).join('') };
}

/** Layout as in a folder store: PREFIX/objects/ab/cdef…, PREFIX/records/KEY. */
class S3Store implements Store {
  readonly url: string;
  readonly #client: Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #endpoint: string;

  constructor(url: string, client: Client, bucket: string, prefix: string, endpoint: string) {
    this.url = url;
    this.#client = client;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#endpoint = endpoint;
  }

  async open(): Promise<void> {
    // A listing first, because its error tells a wrong password from a missing bucket; that of other requests may not.
    await this.#list(`${this.#prefix}store.json`, false);
    const format = Buffer.from('{"format":1}');
    // The second writer must be refused. A server that does not know the condition would let runs overwrite each other.
    const isFirst = await this.#create(`${this.#prefix}store.json`, format);
    if (isFirst && (await this.#create(`${this.#prefix}store.json`, format))) {
      throw new StoreUnavailableError(
        `The S3 server at ${this.#endpoint} ignores "If-None-Match: *" and so cannot keep two runs from taking one id. Use a server that supports conditional writes (AWS S3, a MinIO of 2024 or later), or a folder as HARDCASE_STORE.`,
        false,
      );
    }
  }

  async putObject(content: Uint8Array): Promise<string> {
    const digest = sha256Hex(content);
    const name = this.#objectName(digest);
    if (!(await this.#isThere(digest, content.byteLength))) {
      await this.#put(name, Buffer.from(content.buffer, content.byteOffset, content.byteLength));
    }
    return digest;
  }

  async putFile(path: string): Promise<{ digest: string; bytes: number }> {
    const { digest, bytes } = await digestFile(path);
    const name = this.#objectName(digest);
    if (!(await this.#isThere(digest, bytes))) {
      // https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html, or multipart above the part size.
      await this.#retry(() => this.#client.fPutObject(this.#bucket, name, path, { 'content-type': BINARY }));
    }
    return { digest, bytes };
  }

  async getObject(digest: string): Promise<Buffer | null> {
    const name = this.#objectName(digest);
    const content = await this.#get(name);
    if (content === null) return null;
    const found = sha256Hex(content);
    if (found !== digest) throw new DamagedObjectError(digest, `s3://${this.#bucket}/${name}`, found);
    return content;
  }

  async hasObject(digest: string): Promise<boolean> {
    return (await this.statObject(digest)) !== null;
  }

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html; null where there is none. */
  async statObject(digest: string): Promise<ObjectInfo | null> {
    return this.#orNull(async () => {
      const { size, lastModified } = await this.#client.statObject(this.#bucket, this.#objectName(digest));
      return { digest, bytes: size, modifiedAt: lastModified.getTime() };
    });
  }

  async listObjects(): Promise<ObjectInfo[]> {
    const prefix = `${this.#prefix}objects/`;
    const items = await this.#listItems(prefix, true);
    return items.flatMap(({ name = '', size = 0, lastModified }) => {
      const digest = name.slice(prefix.length).replace('/', '');
      if (!/^[0-9a-f]{64}$/.test(digest)) return [];
      return [{ digest, bytes: size, modifiedAt: lastModified?.getTime() ?? Date.now() }];
    });
  }

  async removeObject(digest: string): Promise<void> {
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html: no error where there is none.
    await this.#retry(() => this.#client.removeObject(this.#bucket, this.#objectName(digest)));
  }

  async readRecord(key: string): Promise<Buffer | null> {
    return this.#get(this.#recordName(key));
  }

  async createRecord(key: string, content: Uint8Array): Promise<Buffer | null> {
    const name = this.#recordName(key);
    for (;;) {
      if (await this.#create(name, Buffer.from(content))) return null;
      const first = await this.#get(name);
      // Gone between the two requests: then the key is free again.
      if (first !== null) return first;
    }
  }

  async writeRecord(key: string, content: Uint8Array): Promise<void> {
    await this.#put(this.#recordName(key), Buffer.from(content), JSON_TYPE);
  }

  async removeRecord(key: string): Promise<void> {
    await this.#retry(() => this.#client.removeObject(this.#bucket, this.#recordName(key)));
  }

  async listRecords(prefix: string): Promise<string[]> {
    const names = await this.#list(this.#prefixName(prefix), true);
    return names
      .map((name) => this.#keyOf(name))
      .filter((key) => key !== null)
      .sort();
  }

  async listNames(prefix: string): Promise<string[]> {
    const folder = this.#prefixName(prefix);
    const names = await this.#list(folder, false);
    const segments = names.map((name) => decodeSegment(name.slice(folder.length).replace(/\/$/, '')));
    return segments.filter((segment) => segment !== null).sort();
  }

  #objectName(digest: string): string {
    checkDigest(digest);
    return `${this.#prefix}objects/${digest.slice(0, 2)}/${digest.slice(2)}`;
  }

  #recordName(key: string): string {
    checkRecordKey(key);
    return this.#prefixName(key);
  }

  #prefixName(prefix: string): string {
    return `${this.#prefix}records/${prefix.split('/').map(encodeSegment).join('/')}`;
  }

  #keyOf(name: string): string | null {
    const encoded = name.slice(this.#prefix.length + 'records/'.length);
    const segments = encoded.split('/').map(decodeSegment);
    return segments.includes(null) ? null : segments.join('/');
  }

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html */
  async #put(name: string, content: Buffer, type = BINARY): Promise<void> {
    const headers = { 'content-type': type };
    await this.#retry(() => this.#client.putObject(this.#bucket, name, content, content.length, headers));
  }

  /**
   * False where the name is taken.
   * https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
   */
  async #create(name: string, content: Buffer): Promise<boolean> {
    const headers = { 'content-type': JSON_TYPE, 'If-None-Match': '*' };
    let attempts = 0;
    try {
      await this.#retry(() => {
        attempts++;
        return this.#client.putObject(this.#bucket, name, content, content.length, headers);
      });
      return true;
    } catch (error) {
      if (!takenCode(error)) throw error;
      // An attempt whose answer was lost may have been the one that created it.
      return attempts > 1 && (await this.#get(name))?.equals(content) === true;
    }
  }

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html; null where there is none. */
  async #get(name: string): Promise<Buffer | null> {
    return this.#orNull(async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of await this.#client.getObject(this.#bucket, name)) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    });
  }

  /** Whether the object is there, whole and young: an old one is written anew, by the caller, to become young. */
  async #isThere(digest: string, bytes: number): Promise<boolean> {
    const info = await this.statObject(digest);
    return info !== null && info.bytes === bytes && info.modifiedAt > Date.now() - FRESHEN_AFTER_MS;
  }

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html; folders end in a slash. */
  async #list(prefix: string, recursive: boolean): Promise<string[]> {
    const items = await this.#listItems(prefix, recursive);
    return items.map(({ name, prefix: folder }) => name ?? folder ?? '');
  }

  async #listItems(prefix: string, recursive: boolean): Promise<BucketItem[]> {
    return this.#retry(async () => {
      const items: BucketItem[] = [];
      for await (const item of this.#client.listObjectsV2(this.#bucket, prefix, recursive))
        items.push(item as BucketItem);
      return items;
    });
  }

  async #orNull<T>(request: () => Promise<T>): Promise<T | null> {
    try {
      return await this.#retry(request);
    } catch (error) {
      if (error instanceof MissingError) return null;
      throw error;
    }
  }

  /** Tries again what may pass, and turns what remains into what the user can do about it. */
  async #retry<T>(request: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await request();
      } catch (error) {
        if (takenCode(error)) throw error;
        const fault = faultOf(error, this.#bucket, this.#endpoint);
        if (fault === 'missing') throw new MissingError();
        if (fault.transient && attempt < ATTEMPTS_MAX) {
          // Random, so that workers stopped by one fault do not come back all at once.
          await sleep(FIRST_DELAY_MS * 2 ** (attempt - 1) * (0.5 + Math.random() / 2));
          continue;
        }
        const message = `Cannot use the store ${this.url}: ${fault.message}`;
        throw fault.full
          ? new StoreFullError(message, error)
          : new StoreUnavailableError(message, fault.transient, error);
      }
    }
  }
}

const BINARY = 'application/octet-stream';
const JSON_TYPE = 'application/json';

/** There is no object of that name. Never leaves this file. */
class MissingError extends Error {}

function createClient(url: string, environment: S3Environment): { client: Client; endpoint: string } {
  const accessKey = environment.AWS_ACCESS_KEY_ID;
  const secretKey = environment.AWS_SECRET_ACCESS_KEY;
  if (!accessKey || !secretKey) {
    const missing = [!accessKey && 'AWS_ACCESS_KEY_ID', !secretKey && 'AWS_SECRET_ACCESS_KEY'].filter(Boolean);
    throw new StoreUnavailableError(
      `Cannot use the store ${url}: ${missing.join(' and ')} must be set in the environment.`,
      false,
    );
  }
  const custom = environment.AWS_ENDPOINT_URL_S3 || environment.AWS_ENDPOINT_URL;
  const endpoint = parseEndpoint(url, custom || 'https://s3.amazonaws.com');
  const region = environment.AWS_REGION || environment.AWS_DEFAULT_REGION;
  const client = new Client({
    endPoint: endpoint.hostname.replace(/^\[|\]$/g, ''),
    port: endpoint.port === '' ? undefined : Number(endpoint.port),
    useSSL: endpoint.protocol === 'https:',
    accessKey,
    secretKey,
    sessionToken: environment.AWS_SESSION_TOKEN || undefined,
    // AWS tells a bucket's region when asked; other servers take any, and this is what they expect by default.
    region: region || (custom ? 'us-east-1' : undefined),
    // Names of custom servers seldom resolve with a bucket in front.
    pathStyle: custom !== undefined,
    partSize: PART_BYTES,
    // Retries are ours: the client's own print to the console and know fewer faults.
    retryOptions: { disableRetry: true },
    transport: { request: requestWithTimeout(endpoint.protocol === 'https:' ? https : http) },
  });
  return { client, endpoint: endpoint.origin };
}

function parseEndpoint(url: string, text: string): URL {
  let endpoint: URL | null = null;
  try {
    endpoint = new URL(text);
  } catch {
    // Told below, together with addresses that parse but cannot be used.
  }
  if (endpoint === null || !/^https?:$/.test(endpoint.protocol) || endpoint.pathname !== '/') {
    throw new StoreUnavailableError(
      `Cannot use the store ${url}: the endpoint "${text}" must look like https://host or http://host:9000. Change AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL.`,
      false,
    );
  }
  return endpoint;
}

/** The client itself would wait for ever on a server that accepts and says nothing. */
function requestWithTimeout(transport: typeof http | typeof https): typeof http.request {
  return ((options: http.RequestOptions, onResponse: (response: http.IncomingMessage) => void) => {
    const request = transport.request({ ...options, timeout: IDLE_TIMEOUT_MS }, onResponse);
    request.on('timeout', () => {
      const error: NodeJS.ErrnoException = new Error(`no answer for ${IDLE_TIMEOUT_MS / 1000} s`);
      error.code = 'ETIMEDOUT';
      request.destroy(error);
    });
    return request;
  }) as typeof http.request;
}
