/** fileloft's handler on its filesystem store, without a sync: what the difference to a durable answer costs. */
import { createServer } from 'node:http'
import { join } from 'node:path'
import { createTusHandler } from '../../src/handler.ts'
import { fsLocker } from '../../src/lockers/fs.ts'
import { toNodeListener } from '../../src/node/listener.ts'
import { fileStore } from '../../src/stores/fs.ts'

const directory = process.argv[2] ?? './files'
const handler = createTusHandler({
  path: '/files',
  store: fileStore({ directory, sync: 'never' }),
  locker: fsLocker({ directory: join(directory, '.locks') }),
})
const server = createServer({ requestTimeout: 0, noDelay: true }, toNodeListener(handler))
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') console.log(`listening on 127.0.0.1:${address.port}`)
})
process.once('SIGTERM', () => process.exit())
