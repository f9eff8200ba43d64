/** @tus/server on @tus/file-store, as its README starts it. */
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'

const server = new Server({
  path: '/files',
  datastore: new FileStore({ directory: process.argv[2] ?? './files' }),
})
const listening = server.listen({ host: '127.0.0.1', port: 0 }, () => {
  const address = listening.address()
  if (address !== null && typeof address === 'object') console.log(`listening on 127.0.0.1:${address.port}`)
})
process.once('SIGTERM', () => process.exit())
