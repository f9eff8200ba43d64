/** The storages as they are, looked at without any code of ours in between, and how ours reaches them by a proxy. */
import { BlobServiceClient } from '@azure/storage-blob'
import { Storage } from '@google-cloud/storage'
import { AwsClient } from 'aws4fetch'
import type { AzureServer } from '../servers/azurite.ts'
import type { RunningServer } from '../servers/program.ts'
import type { S3Server } from '../servers/s3.ts'
import { azure, type Dialect, gcs, s3 } from '../support/storage-dialects.ts'
import type { GcsServer } from '../servers/fake-gcs.ts'
import type { Place } from './storage-child.ts'

/** A bucket on a server, for one run of the tests. */
export interface View {
  readonly dialect: Dialect
  /** The storage's server, which the proxies stand before. */
  readonly endpoint: string
  /** Where ours finds the bucket, by way of the proxy with this origin. */
  place(origin: string): Place
  /** An object's bytes, or null where there is none. */
  read(key: string): Promise<Buffer | null>
  /** Keys of the objects below a prefix, parts and the like left out. */
  list(prefix: string): Promise<string[]>
  /** Multiparts that were begun and neither completed nor aborted; those the storage shows to nobody left out. */
  multiparts(prefix: string): Promise<Begun[]>
}

export interface Begun {
  readonly key: string
  readonly multipartId: string
}

export async function s3View(server: S3Server): Promise<View> {
  const { endpoint, region, accessKeyId, secretAccessKey } = server
  const bucket = await server.newBucket()
  const client = new AwsClient({ accessKeyId, secretAccessKey, region, service: 's3', retries: 0 })
  const get = (pathAndQuery: string) => client.fetch(`${endpoint}/${bucket}${pathAndQuery}`)
  const listed = async (query: string) => {
    const answer = await get(query)
    const text = await answer.text()
    if (!answer.ok || text.includes('<IsTruncated>true')) throw new Error(`${query}: ${answer.status} ${text}`)
    return text
  }
  return {
    dialect: s3,
    endpoint,
    place: (origin) => ({ is: 's3', bucket, endpoint: origin, region, credentials: { accessKeyId, secretAccessKey } }),
    read: async (key) => bytesOf(await get(`/${key}`)),
    list: async (prefix) => elements(await listed(`?list-type=2&prefix=${encodeURIComponent(prefix)}`), 'Key'),
    async multiparts(prefix) {
      // Not by prefix, which MinIO takes for a whole key.
      const uploads = elements(await listed('?uploads='), 'Upload').map((upload) => ({
        key: elements(upload, 'Key')[0] ?? '',
        multipartId: elements(upload, 'UploadId')[0] ?? '',
      }))
      return uploads.filter(({ key }) => key.startsWith(prefix))
    },
  }
}

export async function azureView(server: AzureServer): Promise<View> {
  const name = await server.newContainer()
  const container = BlobServiceClient.fromConnectionString(server.connectionString).getContainerClient(name)
  const blobs = async (prefix: string, includeUncommitedBlobs: boolean) => {
    const found: string[] = []
    for await (const blob of container.listBlobsFlat({ prefix, includeUncommitedBlobs })) found.push(blob.name)
    return found
  }
  return {
    dialect: azure,
    endpoint: new URL(server.endpoint).origin,
    place: (origin) => ({ is: 'azure', container: name, connectionString: server.connectionStringVia(origin) }),
    async read(key) {
      const blob = container.getBlobClient(key)
      return (await blob.exists()) ? blob.downloadToBuffer() : null
    },
    list: (prefix) => blobs(prefix, false),
    async multiparts(prefix) {
      const committed = new Set(await blobs(prefix, false))
      const found: Begun[] = []
      // Blocks beside a blob are shown by no listing.
      for (const key of (await blobs(prefix, true)).filter((key) => !committed.has(key))) {
        const { uncommittedBlocks = [] } = await container.getBlockBlobClient(key).getBlockList('uncommitted')
        // Digits of when it began, and twelve random ones.
        const ids = uncommittedBlocks.map((block) => Buffer.from(block.name, 'base64').toString().slice(0, 21))
        for (const multipartId of new Set(ids)) found.push({ key, multipartId })
      }
      return found
    },
  }
}

export async function gcsView(server: GcsServer): Promise<View> {
  const { endpoint } = server
  const name = await server.newBucket()
  const bucket = new Storage({ apiEndpoint: endpoint, projectId: 'test' }).bucket(name)
  const list = async (prefix: string) => (await bucket.getFiles({ prefix }))[0].map((file) => file.name)
  return {
    dialect: gcs,
    endpoint,
    place: (origin) => ({ is: 'gcs', bucket: name, endpoint: origin }),
    read: async (key) =>
      bytesOf(await fetch(`${endpoint}/storage/v1/b/${name}/o/${encodeURIComponent(key)}?alt=media`)),
    list: async (prefix) => (await list(prefix)).filter((key) => !key.startsWith(`${prefix}.parts/`)),
    async multiparts(prefix) {
      // `.parts/<key>/<multipart>/<part>`
      const folders = (await list(`${prefix}.parts/`)).map((key) => key.slice(prefix.length).split('/').slice(1, -1))
      return [...new Set(folders.map((folder) => folder.join('/')))].map((folder) => ({
        key: prefix + folder.slice(0, folder.lastIndexOf('/')),
        multipartId: folder.slice(folder.lastIndexOf('/') + 1),
      }))
    },
  }
}

/** What a started server is looked at with. */
export type Open<S extends RunningServer> = (server: S) => Promise<View>

async function bytesOf(answer: Response): Promise<Buffer | null> {
  const bytes = Buffer.from(await answer.arrayBuffer())
  if (answer.status === 404) return null
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status} ${bytes.toString().slice(0, 200)}`)
  return bytes
}

/** The contents of all elements of this name; there is nothing to unescape in what we write. */
function elements(xml: string, name: string): string[] {
  return Array.from(xml.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, 'gs')), ([, content = '']) => content)
}
