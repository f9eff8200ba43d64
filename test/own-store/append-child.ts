/** Appends 3 MiB to an upload of the example store, tells each new offset, and then waits for more that never comes. */
import './from-source.ts'

const { sqliteStore } = await import('../../examples/store/sqlite.ts')
const [path, atomic] = process.argv.slice(2) as [string, string]
const store = sqliteStore(path)
const upload = await store.get('x')
if (upload === null) throw new Error('no upload x')

async function* body(): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < 12; n++) yield Buffer.alloc(256 * 1024, 'n')
  process.send?.('taken')
  await new Promise((resolve) => process.once('disconnect', resolve))
}

await store.append(upload, body(), { atomic: atomic === 'atomic', onProgress: (offset) => process.send?.(offset) })
