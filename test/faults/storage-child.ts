/** Our handler on a bucket, in a process of its own that can be killed. Its parent tells it what to do over IPC. */
import { createServer } from 'node:http'
import { flushCompileCache } from 'node:module'
import type { AddressInfo } from 'node:net'
import { createTusHandler, type Store, type SweepResult, type TusHandler } from '../../src/index.ts'
import { memoryLocker } from '../../src/lockers/memory.ts'
import { toNodeListener } from '../../src/node/listener.ts'
import { storageFetch } from '../../src/node/storage-fetch.ts'
import type { ObjectStoreOptions } from '../../src/objects/store.ts'

/** Where the bucket is. */
export type Place =
  | {
      readonly is: 's3'
      readonly bucket: string
      readonly endpoint: string
      readonly region: string
      readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
    }
  | { readonly is: 'azure'; readonly container: string; readonly connectionString: string }
  | { readonly is: 'gcs'; readonly bucket: string; readonly endpoint: string }

export type Order =
  | { readonly do: 'listen'; readonly place: Place; readonly port: number }
  /** From now on serve what lies below this prefix, with a store of these options. */
  | { readonly do: 'open'; readonly prefix: string; readonly options: ObjectStoreOptions }
  | { readonly do: 'sweep' }

export type News =
  | { readonly is: 'started' }
  | { readonly is: 'listening'; readonly port: number }
  | { readonly is: 'opened' }
  | { readonly is: 'swept'; readonly result: SweepResult | null; readonly error: string }
  /** What `onError` was told. */
  | { readonly is: 'failure'; readonly text: string }

/** Outlives the stores: a lock that is left would be found by the next one's requests. */
const locker = memoryLocker()
let place: Place | null = null
let handler: TusHandler | null = null

const server = createServer({ requestTimeout: 0 }, (req, res) => {
  if (handler === null) res.writeHead(503).end()
  else toNodeListener(handler)(req, res)
})

function tell(news: News): void {
  // Without a parent there is nobody to tell.
  if (process.connected) process.send?.(news)
}

async function openStore(at: Place, prefix: string, options: ObjectStoreOptions): Promise<Store> {
  switch (at.is) {
    case 's3': {
      const { s3Store } = await import('../../src/stores/s3.ts')
      // The global fetch and, as the command does, one that sends parts while they are filled: half of the runs each.
      const fetch = /[02468]\/$/.test(prefix) ? storageFetch() : globalThis.fetch
      return s3Store({ ...options, ...at, prefix, fetch, forcePathStyle: true })
    }
    case 'azure': {
      const { azureStore } = await import('../../src/stores/azure.ts')
      const { connectionString, container } = at
      return azureStore({ ...options, connectionString, container, prefix })
    }
    case 'gcs': {
      const { gcsStore } = await import('../../src/stores/gcs.ts')
      return gcsStore({ ...options, ...at, prefix })
    }
  }
}

async function obey(order: Order): Promise<void> {
  switch (order.do) {
    case 'listen':
      ;({ place } = order)
      server.listen(order.port, '127.0.0.1', () => {
        tell({ is: 'listening', port: (server.address() as AddressInfo).port })
      })
      return
    case 'open': {
      if (place === null) throw new TypeError('open comes after listen')
      handler = createTusHandler({
        path: '/files',
        locker,
        store: await openStore(place, order.prefix, order.options),
        onError: (error, request) => {
          const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
          tell({ is: 'failure', text: `${request?.method ?? 'sweep'} ${text}` })
        },
      })
      // Written at an orderly end otherwise, which this process will not have.
      flushCompileCache()
      return tell({ is: 'opened' })
    }
    case 'sweep':
      try {
        tell({ is: 'swept', result: (await handler?.sweep()) ?? null, error: '' })
      } catch (error) {
        tell({ is: 'swept', result: null, error: String(error) })
      }
  }
}

process.on('message', (order: Order) => void obey(order))
// Its parent has gone, however that came about.
process.on('disconnect', () => process.exit())
tell({ is: 'started' })
