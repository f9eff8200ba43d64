/**
 * The suites inside workerd: the cases run in one request (`/run`) and send theirs to the Worker's own socket, so each
 * is a request of its own to the runtime, with all that it may not share with others.
 */
import type { R2Binding } from '../../src/buckets/r2-binding.ts'
import type { Store, TusHandler } from '../../src/index.ts'
import { durableObjectLocker, type LockNamespace } from '../../src/lockers/durable-object.ts'
import { r2Store } from '../../src/stores/r2.ts'
import { s3Store, type S3StoreOptions } from '../../src/stores/s3.ts'
import type { StoreRow } from '../suite-context.ts'
import { runAll, type Selection } from './run.ts'
import { transportOf, type Listen } from './transport.ts'
import { dial } from './wire-workerd.ts'

export { UploadLock } from '../../src/lockers/durable-object.ts'

interface Env {
  readonly BUCKET: R2Binding
  readonly LOCKS: LockNamespace
}

/** What `/run` is told in its body. */
export interface WorkerTask extends Selection {
  readonly port: number
  /** Options of `s3Store`; R2 by its binding without them. */
  readonly s3?: S3StoreOptions
  /** @default in the isolate */
  readonly locks?: 'durable-object'
}

const handlers = new Map<string, TusHandler>()
let count = 0

export default {
  async fetch(request: Request, env: Env, ctx: { waitUntil(promise: Promise<unknown>): void }) {
    const name = request.headers.get('x-test-handler')
    if (name !== null) {
      const handler = handlers.get(name)
      if (handler === undefined) return new Response(`no handler ${name}\n`, { status: 404 })
      return handler(request, { waitUntil: (work) => ctx.waitUntil(work) })
    }
    const task = (await request.json()) as WorkerTask
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    ctx.waitUntil(run(task, env, writable.getWriter()))
    return new Response(readable)
  },
}

async function run(
  task: WorkerTask,
  { BUCKET: bucket, LOCKS }: Env,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  const write = (value: unknown) => writer.write(new TextEncoder().encode(`${JSON.stringify(value)}\n`))
  const open = (): Store => {
    const prefix = `${++count}/`
    return task.s3 === undefined ? r2Store({ bucket, prefix }) : s3Store({ ...task.s3, prefix })
  }
  const locker = task.locks === undefined ? {} : { locker: durableObjectLocker(LOCKS) }
  const row: StoreRow = {
    name: 'workerd',
    make: () => Promise.resolve({ store: open(), ...locker, cleanup: () => Promise.resolve() }),
  }
  const listen: Listen = async (handler) => {
    const name = String(++count)
    handlers.set(name, handler)
    return { port: task.port, headers: { 'X-Test-Handler': name }, close: async () => void handlers.delete(name) }
  }
  const transport = transportOf({
    name: 'workerd',
    capabilities: { trailers: false, answerLength: true },
    listen,
    dial,
  })
  const left = await runAll(transport, row, task, write)
  await write({ left })
  await writer.close()
}
