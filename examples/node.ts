/** fileloft in Node's own http server. As `server.mts`: `node server.mts`, then upload to http://127.0.0.1:8080/files */
import { createServer } from 'node:http'
import { createTusHandler } from 'fileloft'
import { fsLocker } from 'fileloft/lockers/fs'
import { toNodeListener } from 'fileloft/node'
import { fileStore } from 'fileloft/stores/fs'

const handler = createTusHandler({
  path: '/files',
  store: fileStore({ directory: './fileloft-data' }),
  // Lets any number of processes serve one directory.
  locker: fsLocker({ directory: './fileloft-data/.locks' }),
  maxSize: 10 * 1024 ** 3,
  onFinish: ({ upload }) => console.log(`${upload.id} is complete: ${upload.offset} bytes`),
})

// Node would end every request after five minutes; uploads take longer.
const server = createServer({ requestTimeout: 0 }, toNodeListener(handler))
server.listen(Number(process.env['PORT'] ?? 8080), '127.0.0.1', () => console.log('listening on', server.address()))
