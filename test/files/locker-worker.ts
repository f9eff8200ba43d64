/** A thread that takes the lock `a` in the folder it is told, says so, and lives on until it is terminated. */
import { parentPort, workerData } from 'node:worker_threads'
import { fsLocker } from '../../src/lockers/fs.ts'
import { never } from './support.ts'

await fsLocker({ directory: String(workerData) }).acquire('a', { signal: never() })
// Listening keeps the thread.
parentPort?.on('message', () => undefined)
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port knows no origins
parentPort?.postMessage('held')
