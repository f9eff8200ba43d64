/** @tus/server on a store of its own, as its README starts it. */
import { type DataStore, Server } from '@tus/server'

export function serveTus(datastore: DataStore): void {
  const server = new Server({ path: '/files', datastore })
  const listening = server.listen({ host: '127.0.0.1', port: 0 }, () => {
    const address = listening.address()
    if (address !== null && typeof address === 'object') console.log(`listening on 127.0.0.1:${address.port}`)
  })
  process.once('SIGTERM', () => process.exit())
}
