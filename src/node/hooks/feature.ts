import { randomUUID } from 'node:crypto'
import { TusError } from '../../errors.ts'
import type { CreateEvent, ProgressEvent, UploadEvent, UploadHooks } from '../../hooks.ts'
import type { Config } from '../config.ts'
import type { Feature, RequestContext } from '../features.ts'
import type { Loggers } from '../loggers.ts'
import { type HookMetrics, noHookMetrics } from '../metrics/hook-metrics.ts'
import type { Storage } from '../storage.ts'
import { type Answer, refusal, toCreation, toReply } from './answer.ts'
import { ask } from './ask.ts'
import { createCourier } from './courier.ts'
import { writeMessage } from './message.ts'
import { meteredTransport } from './metered.ts'
import type { StoredEvent } from './outbox.ts'
import { openOutbox, openTransport } from './open.ts'
import { acceptPlace, placesOf } from './place.ts'
import { startTakeovers } from './takeover.ts'
import type { Message, Transport } from './transport.ts'
import type { BlockingType, HookType, KeptType } from './types.ts'

/** What runs during an upload must not hold its end up for long. */
const progressTimeoutMs = 5_000

/**
 * Webhooks or command hooks, as configured; null for none.
 * @throws Error that says in one line why they cannot be used.
 */
export function openHooks(
  config: Config,
  logs: Loggers,
  storage: Storage,
  metrics: HookMetrics = noHookMetrics,
): Feature | null {
  const transport = openTransport(config)
  return transport === null ? null : createFeature(config, logs, storage, meteredTransport(transport, metrics), metrics)
}

function createFeature(
  config: Config,
  logs: Loggers,
  storage: Storage,
  transport: Transport,
  metrics: HookMetrics,
): Feature {
  const { hooksEvents, hooksRetries: retries, hooksForwardHeaders: forwarded = [] } = config
  const log = logs.hooks
  const timeoutMs = config.hooksTimeout * 1000
  const place = placesOf(config, storage)
  const outbox = openOutbox(storage)
  const giveUpAfterMs = config.hooksGiveUpAfter * 1000
  const courier = createCourier({
    outbox,
    transport,
    store: storage.store,
    log,
    timeoutMs,
    retries,
    giveUpAfterMs,
    onRoom: () => takeovers.look(),
    onDead: (type) => metrics.delivered(type, 'dead', null),
  })
  const takeovers = startTakeovers(outbox, courier, log)

  const sends = (type: HookType) => hooksEvents.has(type) && transport.handles(type)
  const message = (type: HookType, event: UploadEvent<RequestContext>): Message =>
    writeMessage(type, eventIdOf(type, event), event, place, forwarded)

  /** What the answer means; undefined where nobody is to be asked. */
  async function decide<T>(
    type: BlockingType,
    event: UploadEvent<RequestContext>,
    read: (answer: Answer) => T,
  ): Promise<T | undefined> {
    return sends(type) ? ask(transport, message(type, event), { timeoutMs, retries }, read) : undefined
  }

  async function keep(
    type: KeptType,
    event: UploadEvent<RequestContext>,
    pending: StoredEvent['pending'] = null,
  ): Promise<void> {
    if (sends(type)) await courier.accept(message(type, event), event.upload, pending)
  }

  function confirm(type: KeptType, { upload: { id, createdAt } }: UploadEvent): boolean {
    return courier.confirm({ type, createdAt, uploadId: id })
  }

  /** Requests of whose uploads everything was told that came before. */
  const told = new WeakSet<Request>()

  /** No progress before an upload's creation is told, which may be up to another thread; there will be more progress. */
  async function isUntold({ upload: { id, createdAt }, request }: ProgressEvent<RequestContext>): Promise<boolean> {
    if (request !== null && told.has(request)) return false
    const isBusy = await courier.isBusy({ type: 'post-receive', createdAt, uploadId: id })
    if (!isBusy && request !== null) told.add(request)
    return isBusy
  }

  async function finish(event: UploadEvent<RequestContext>) {
    const reply = await decide('pre-finish', event, toReply)
    await keep('post-finish', event, 'finish')
    return reply
  }

  function finished(event: UploadEvent<RequestContext>): void {
    confirm('post-finish', event)
  }

  const hooks: UploadHooks<RequestContext> = {
    async onCreate(event: CreateEvent<RequestContext>) {
      const type = 'pre-create'
      if (!sends(type)) return
      await refuseUsed(event, storage)
      const asked = writeMessage(type, `${type}_${randomUUID()}`, event, null, forwarded)
      return ask(transport, asked, { timeoutMs, retries }, (answer) => {
        const creation = toCreation(answer)
        acceptPlace(answer.ChangeFileInfo?.Storage, creation.id ?? event.upload.id, place, log)
        return creation
      })
    },

    onCreated: (event) => keep('post-create', event),

    async onProgress(event: ProgressEvent<RequestContext>) {
      if (!sends('post-receive') || (await isUntold(event))) return
      const patience = { timeoutMs: Math.min(timeoutMs, progressTimeoutMs), retries: 0 }
      await ask(transport, message('post-receive', event), patience, (answer) => {
        if (answer.StopUpload === true) event.stop(refusal(answer, 'The upload was stopped'), { terminate: true })
      })
    },

    onFinish: finish,
    onPartialFinish: finish,
    onFinished: finished,
    onPartialFinished: finished,

    async onTerminate(event) {
      await decide('pre-terminate', event, (answer) => {
        if (answer.RejectTermination === true) throw refusal(answer, 'The termination was rejected')
      })
      await keep('post-terminate', event, 'terminate')
    },

    async onTerminated(event) {
      if (!confirm('post-terminate', event)) await keep('post-terminate', event)
    },

    onExpire: (event) => keep('post-terminate', event, 'terminate'),
  }

  const { onProgress, ...others } = hooks
  return {
    // Nobody has to be asked from time to time where nobody wants to hear of it.
    hooks: hooksEvents.has('post-receive') && onProgress !== undefined ? { ...others, onProgress } : others,
    async close() {
      await takeovers.stop()
      await courier.close((config.shutdownTimeout * 1000) / 2)
      await outbox.close()
    },
  }
}

/**
 * A signed URL names the upload that it creates. Where that is there already, nobody is asked about another one, which
 * cannot be made.
 * @throws TusError as the store would.
 */
async function refuseUsed({ upload, context }: CreateEvent<RequestContext>, { store }: Storage): Promise<void> {
  if (context?.grant === undefined || (await store.get(upload.id)) === null) return
  throw new TusError('rejected', 'An upload with this id exists already', { status: 409 })
}

/** Of what happened, and of whom it is told: `post-finish_...`. */
function eventIdOf(type: HookType, { eventId }: UploadEvent): string {
  return eventId.replace(/^[a-z]+/, type)
}
