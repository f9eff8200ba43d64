/** Appends to an upload until it is killed: one chunk per message, telling when it has been handed over. */
import { fileStore } from '../../src/stores/fs.ts'

const [directory, id, atomic] = process.argv.slice(2) as [string, string, string]
const store = fileStore({ directory })
const upload = await store.get(id)
if (upload === null) throw new Error(`no upload ${id}`)

async function* body(): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < 40; n++) yield Buffer.alloc(256 * 1024, 'n')
  process.send!('written')
  await new Promise(() => setInterval(() => undefined, 1000))
}

await store.append(upload, body(), { atomic: atomic === 'atomic' })
