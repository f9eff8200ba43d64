/** Mounts the library and uploads in process: `upload.mjs DIRECTORY`, on Node, Bun and Deno. */
import { createTusHandler } from 'fileloft'
import { tus } from 'fileloft/hono'
import { fsLocker } from 'fileloft/lockers/fs'
import { memoryLocker } from 'fileloft/lockers/memory'
import { toNodeListener } from 'fileloft/node'
import { signedUrlHooks } from 'fileloft/signed-urls'
import { fileStore } from 'fileloft/stores/fs'
import { memoryStore } from 'fileloft/stores/memory'
import { r2Store } from 'fileloft/stores/r2'

const directory = process.argv[2]
const mounted = [
  createTusHandler({
    path: '/files',
    store: fileStore({ directory }),
    locker: fsLocker({ directory }),
    downloads: true,
  }),
  createTusHandler({ path: '/files', store: memoryStore(), locker: memoryLocker(), downloads: true }),
]
for (const handler of mounted) {
  const headers = { 'Tus-Resumable': '1.0.0', 'Content-Type': 'application/offset+octet-stream' }
  const ask = (url, init) => handler(new Request(url, { ...init, headers: { ...headers, ...init.headers } }))
  const created = await ask('http://localhost/files', {
    method: 'POST',
    headers: { 'Upload-Length': '11' },
    body: 'hello',
  })
  const url = created.headers.get('Location')
  const patched = await ask(url, { method: 'PATCH', headers: { 'Upload-Offset': '5' }, body: ' world' })
  const got = await ask(url, { method: 'GET' })
  console.log(created.status, patched.status, got.status, await got.text())
  toNodeListener(handler)
  tus(handler)
}
console.log(typeof signedUrlHooks, typeof r2Store)
