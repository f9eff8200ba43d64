import { Worker, type WorkerOptions } from 'node:worker_threads'

/** Starts a thread that runs worker.ts. In a file of its own, for a single executable has it elsewhere. */
export function newWorker(options: WorkerOptions): Worker {
  // The same code runs from its TypeScript and built.
  return new Worker(new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url), options)
}
