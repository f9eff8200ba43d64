/**
 * @tus/server on @tus/gcs-store. Its packages are this folder's own, and mostly not installed: see package.json. It
 * writes numbers as values of metadata, which Google takes and the emulator does not, so they become text here.
 */
import type { DataStore } from '@tus/server'
import { serveTus } from '../serve-tus.ts'

interface Bucket {
  file(name: string): File
}

interface File {
  createWriteStream: (options: Metadata) => unknown
  setMetadata: (metadata: Metadata) => unknown
}

interface Metadata {
  readonly metadata: Readonly<Record<string, unknown>>
}

const { GCS_BUCKET = '', GCS_ENDPOINT = '' } = process.env
const [storageName, storeName] = ['@google-cloud/storage', '@tus/gcs-store']

const { Storage } = (await import(storageName)) as {
  Storage: new (options: { apiEndpoint: string; projectId: string }) => { bucket(name: string): Bucket }
}
const { GCSStore } = (await import(storeName)) as { GCSStore: new (options: { bucket: Bucket }) => DataStore }

const bucket = new Storage({ apiEndpoint: GCS_ENDPOINT, projectId: 'test' }).bucket(GCS_BUCKET)
const open = bucket.file.bind(bucket)
bucket.file = (name) => {
  const file = open(name)
  const createWriteStream = file.createWriteStream.bind(file)
  const setMetadata = file.setMetadata.bind(file)
  file.createWriteStream = (options) => createWriteStream(withText(options))
  file.setMetadata = (metadata) => setMetadata(withText(metadata))
  return file
}

serveTus(new GCSStore({ bucket }))

function withText(given: Metadata): Metadata {
  return JSON.parse(JSON.stringify(given), (_, value: unknown) =>
    typeof value === 'number' ? String(value) : value,
  ) as Metadata
}
