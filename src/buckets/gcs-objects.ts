import type { IncomingMessage } from 'node:http'
import type { ByteRange, CallOptions, ListedObject, ObjectHeaders, ObjectInfo } from '../objects/bucket.ts'
import type { GcsBody, GcsClient } from './gcs-client.ts'
import { removeObject, removeObjects } from './gcs-delete.ts'
import { isMissingObject, statusOf } from './gcs-errors.ts'

/** The calls of the service, with keys below a prefix. */
export interface GcsObjects {
  /** The answer with the bytes to come, or `none` where the range holds none (an empty object), or null. */
  readonly open: (key: string, range: ByteRange | null, o: CallOptions) => Promise<IncomingMessage | 'none' | null>
  readonly head: (key: string, o: CallOptions) => Promise<ObjectInfo | null>
  /** @param generation What has to be replaced: `0` for nothing. */
  readonly insert: (
    key: string,
    body: GcsBody,
    headers: ObjectHeaders,
    o: CallOptions,
    generation?: string,
  ) => Promise<ObjectInfo>
  /** Joins objects, at most 32, at this key. */
  readonly compose: (
    key: string,
    sources: readonly string[],
    headers: ObjectHeaders,
    o: CallOptions,
  ) => Promise<ObjectInfo>
  readonly remove: (keys: readonly string[], o: CallOptions) => Promise<void>
  /** Removes the object if it still is this one. */
  readonly removeVersion: (key: string, version: string, o: CallOptions) => Promise<void>
  /** In order. @param fields Which ones the answer has to hold: `name`, `size`, `timeCreated`. */
  readonly list: (start: string, fields: string, o: CallOptions) => AsyncGenerator<GcsListed, void>
}

export interface GcsListed extends ListedObject {
  readonly createdAt: number
}

const octets = 'application/octet-stream'

export function gcsObjects(client: GcsClient, bucket: string, prefix: string): GcsObjects {
  const objects = `/storage/v1/b/${encodeURIComponent(bucket)}/o`
  const pathOf = (key: string) => `${objects}/${encodeURIComponent(prefix + key)}`

  return {
    async open(key, range, options) {
      if (range !== null && range.end <= range.start) return 'none'
      const headers = range === null ? {} : { range: `bytes=${range.start}-${range.end - 1}` }
      try {
        return await client.send({ method: 'GET', path: pathOf(key), query: { alt: 'media' }, headers }, options)
      } catch (error) {
        if (isMissingObject(error)) return null
        if (statusOf(error) === 416) return 'none'
        throw error
      }
    },

    async head(key, options) {
      try {
        return info(await client.json<Metadata>({ method: 'GET', path: pathOf(key), query: infoFields }, options))
      } catch (error) {
        if (isMissingObject(error)) return null
        throw error
      }
    },

    async insert(key, body, { contentType = octets, contentDisposition }, options, ifGenerationMatch) {
      const path = `/upload${objects}`
      const query = { ...infoFields, ifGenerationMatch }
      if (contentDisposition === undefined || 'stream' in body) {
        const headers = { 'content-type': contentType }
        const media = { ...query, uploadType: 'media', name: prefix + key }
        return info(await client.json<Metadata>({ method: 'POST', path, query: media, headers, body }, options))
      }
      const boundary = `part-${crypto.randomUUID()}`
      const metadata = JSON.stringify({ name: prefix + key, contentType, contentDisposition })
      const first = `--${boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n${metadata}\r\n`
      const second = `--${boundary}\r\nContent-Type: ${contentType}\r\n\r\n`
      const request = {
        method: 'POST',
        path,
        query: { ...query, uploadType: 'multipart' },
        headers: { 'content-type': `multipart/related; boundary=${boundary}` },
        body: [Buffer.from(first + second), ...body, Buffer.from(`\r\n--${boundary}--\r\n`)],
      } as const
      return info(await client.json<Metadata>(request, options))
    },

    async compose(key, sources, { contentType = octets, contentDisposition }, options) {
      const order = {
        sourceObjects: sources.map((source) => ({ name: prefix + source })),
        destination: { contentType, ...(contentDisposition !== undefined && { contentDisposition }) },
      }
      const request = {
        method: 'POST',
        path: `${pathOf(key)}/compose`,
        query: infoFields,
        headers: { 'content-type': 'application/json' },
        body: [Buffer.from(JSON.stringify(order))],
      } as const
      return info(await client.json<Metadata>(request, options))
    },

    remove: (keys, options) => removeObjects(client, keys.map(pathOf), options),

    removeVersion: (key, version, options) => removeObject(client, `${pathOf(key)}?generation=${version}`, options),

    async *list(start, fields, options) {
      let pageToken: string | undefined
      do {
        const query = {
          prefix: prefix + start,
          fields: `items(${fields}),nextPageToken`,
          maxResults: '1000',
          pageToken,
        }
        const page = await client.json<Page>({ method: 'GET', path: objects, query }, options)
        for (const { name = '', size, timeCreated = '' } of page.items ?? []) {
          yield { key: name.slice(prefix.length), size: Number(size ?? 0), createdAt: Date.parse(timeCreated) }
        }
        pageToken = page.nextPageToken
      } while (pageToken !== undefined && pageToken !== '')
    },
  }
}

const infoFields = { fields: 'size,generation' }

interface Metadata {
  readonly name: string
  /** Numbers are strings in the API. */
  readonly size: string
  readonly generation: string
  readonly timeCreated: string
}

interface Page {
  readonly items: readonly Partial<Metadata>[]
  readonly nextPageToken: string
}

/** A size of 0 is left out by some emulators. */
function info({ size = '0', generation }: Partial<Metadata>): ObjectInfo {
  if (generation === undefined) throw new Error('the answer has no generation')
  return { size: Number(size), version: generation }
}
