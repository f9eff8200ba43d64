import { azureBucket, type AzureBucketOptions } from '../buckets/azure.ts'
import { objectStore, type ObjectStoreOptions } from '../objects/store.ts'
import type { ObjectUpload } from '../objects/record.ts'
import type { Store } from '../store.ts'

export type { BufferMemory, StorageCall, StorageObserver } from '../objects/observer.ts'
export type { ObjectHeaders } from '../objects/bucket.ts'
export type { RetryOptions } from '../objects/retry.ts'
export type { ObjectStoreOptions }

export type { AzureToken, AzureTokenCredential } from '../buckets/azure-client.ts'

/** What `azureStore` takes: where the container is, and how uploads are kept in it. */
export interface AzureStoreOptions extends AzureBucketOptions, ObjectStoreOptions {}

/**
 * Keeps uploads in a container of Azure Blob Storage. Needs the package `@azure/storage-blob`, and for credentials other
 * than keys `@azure/identity`.
 *
 * ```ts
 * azureStore({ container: 'uploads', account: 'example', credential: new DefaultAzureCredential() })
 * ```
 *
 * What it writes, all below `prefix`: `<id>` (the finished object, a block blob), `<id>.info` (the record, with bytes too
 * few for a part), `.finals/` (which final uploads wait for which partial ones), and while `check` runs
 * `.probe-<random>`. Unfinished uploads are uncommitted blocks at `<id>`. In names, a dot at the end of a segment is
 * written `%2E` and a backslash `%5C`, because Azure would drop the one and turn the other around.
 *
 * Permissions: the role Storage Blob Data Contributor on the container; or of a role of your own, on blobs, the data
 * actions `read`, `write` and `delete`; or a SAS for the container with `rcwdl`. Joining uploads on the side of the
 * storage needs the account key, an identity or a SAS, one of which there always is, unless a container client of your
 * own has neither; then the bytes pass through this process.
 *
 * Limits: 50,000 parts of up to 4,000 MiB, 190.7 TiB an upload. Azure drops uncommitted blocks when a week has passed
 * without a further one: uploads that are continued later than that have to start over. Immutability policies and
 * leases on blobs make writes fail. In accounts with a hierarchical namespace an id cannot be another one's folder
 * (`a` and `a/b`). Azure keeps snapshots, versions and deleted blobs as the account is set up to: that of a record's
 * every version costs space.
 *
 * @throws TypeError when an option is not usable. Nothing is read or written before the first use.
 */
export function azureStore(options: AzureStoreOptions): Required<Store<ObjectUpload>> {
  return objectStore(azureBucket(options), options)
}
