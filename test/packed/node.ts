/** A program on Node, type-checked in a project that has the package and the types of Node, and no storage's client. */
import { createServer } from 'node:http'
import { createTusHandler } from 'fileloft'
import { fsLocker } from 'fileloft/lockers/fs'
import { storageFetch, toNodeListener } from 'fileloft/node'
import { fileStore } from 'fileloft/stores/fs'
import { s3Store } from 'fileloft/stores/s3'

const store = fileStore({ directory: 'uploads', sync: 'always' })
export const server = createServer(
  toNodeListener(createTusHandler({ path: '/files', store, locker: fsLocker({ directory: 'uploads' }) })),
)
export const inBucket = () =>
  s3Store({ bucket: 'b', region: 'r', credentials: { accessKeyId: 'a', secretAccessKey: 'b' }, fetch: storageFetch() })
