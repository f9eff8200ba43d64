/** That Worker in workerd, with the R2 that Miniflare has: SQLite and files in a temporary folder. */
import { startWorker } from '../../test/runtimes/workerd.ts'

const miniflare = await startWorker('bench/servers/worker.ts', false)
const { port } = await miniflare.ready
console.log(`listening on 127.0.0.1:${port}`)
process.once('SIGTERM', () => void miniflare.dispose().then(() => process.exit()))
