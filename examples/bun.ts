/** fileloft on Bun. As `server.ts`: `bun server.ts`, then upload to http://127.0.0.1:8080/files */
import { createTusHandler } from 'fileloft'
import { fsLocker } from 'fileloft/lockers/fs'
import { fileStore } from 'fileloft/stores/fs'

const handler = createTusHandler({
  path: '/files',
  store: fileStore({ directory: './fileloft-data' }),
  // Lets any number of processes serve one directory.
  locker: fsLocker({ directory: './fileloft-data/.locks' }),
  onFinish: ({ upload }) => console.log(`${upload.id} is complete: ${upload.offset} bytes`),
})

const server = Bun.serve({
  port: Number(process.env['PORT'] ?? 8080),
  hostname: '127.0.0.1',
  // Bun would end a connection after ten quiet seconds; the handler's own idleTimeoutMs stores what has arrived.
  idleTimeout: 0,
  // Bun would refuse bodies of more than 128 MiB.
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  fetch(request, server) {
    const client = server.requestIP(request)
    return handler(request, client === null ? {} : { remoteAddress: client.address, remotePort: client.port })
  },
})
console.log('listening on', server.url.href)
