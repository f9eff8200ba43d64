/** A program on Node: type-checked where the types of Node are and no storage's client is, and run with that of S3. */
import { createServer } from 'node:http'
import { createTusHandler } from 'fileloft'
import { fsLocker } from 'fileloft/lockers/fs'
import { storageFetch, toNodeListener } from 'fileloft/node'
import { fileStore } from 'fileloft/stores/fs'
import { s3Store } from 'fileloft/stores/s3'

const store = fileStore({ directory: 'uploads', sync: 'always' })
export const server = createServer(
  toNodeListener(
    createTusHandler({ path: '/files', store, locker: fsLocker({ directory: 'uploads/.locks' }), downloads: true }),
  ),
)
export const inBucket = () =>
  s3Store({ bucket: 'b', region: 'r', credentials: { accessKeyId: 'a', secretAccessKey: 'b' }, fetch: storageFetch() })

server.listen(0, '127.0.0.1', () => console.log('listening on', server.address()))
