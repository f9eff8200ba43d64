/**
 * fileloft on Deno. As `server.ts`: `deno run --allow-net --allow-env --allow-sys --allow-read --allow-write server.ts`,
 * then upload to http://127.0.0.1:8080/files
 */
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

Deno.serve(
  {
    port: Number(Deno.env.get('PORT') ?? 8080),
    hostname: '127.0.0.1',
    onListen: (address) => console.log('listening on', address),
  },
  (request, { remoteAddr: { hostname, port } }) => handler(request, { remoteAddress: hostname, remotePort: port }),
)
