/** Opens the store that HARDCASE_STORE names. */

import { openFolderStore } from './folder-store.ts';
import { openS3Store } from './s3-store.ts';
import { type OpenOptions, type Store, StoreUnavailableError } from './store.ts';

/** `url` is a folder, or `s3://bucket/prefix` with the usual AWS variables in the environment. */
export async function openStore(url: string, options: OpenOptions = {}): Promise<Store> {
  if (url.startsWith('s3://')) return openS3Store(url);
  if (url === '' || /^[a-z][a-z0-9+.-]+:\/\//i.test(url)) {
    throw new StoreUnavailableError(
      `"${url}" is no store. Expected a folder, or s3://bucket/prefix; change HARDCASE_STORE.`,
      false,
    );
  }
  return openFolderStore(url, options);
}
