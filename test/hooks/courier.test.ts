/** More events than a process keeps in memory: the others wait in the outbox. */
import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import { pino } from 'pino'
import { createCourier } from '../../src/node/hooks/courier.ts'
import { HookError } from '../../src/node/hooks/failure.ts'
import { nameOf, type Outbox, type StoredEvent } from '../../src/node/hooks/outbox.ts'
import { startTakeovers } from '../../src/node/hooks/takeover.ts'
import type { KeptType } from '../../src/node/hooks/types.ts'
import { memoryStore } from '../../src/stores/memory.ts'

const log = pino({ enabled: false })
const createdAt = 1_700_000_000_000
const uploads = 12_000
const mostWaiting = 10_000

/** Processes that share this. */
function shelf() {
  const stored = new Map<string, { readonly event: StoredEvent; readonly version: string }>()
  let count = 0
  const write = (event: StoredEvent) => {
    const version = String(++count)
    stored.set(nameOf(event), { event, version })
    return version
  }
  const outboxOf = (self: string): Outbox => ({
    self,
    put: async (state, event) => (state === 'waiting' ? write(event) : assert.fail('given up')),
    replace: async (event, version) => (stored.get(nameOf(event))?.version === version ? write(event) : null),
    read: async (_, name) => stored.get(name) ?? null,
    remove: async (_, name) => void stored.delete(name),
    list: async () => [...stored.keys()],
    isGone: async () => false,
    close: async () => {},
  })
  return { stored, outboxOf }
}

function isDown(): never {
  throw new HookError('down', { transient: true })
}

/** A process that delivers events. */
function start(outbox: Outbox, send: (event: StoredEvent) => void, store = memoryStore()) {
  const courier = createCourier({
    outbox,
    transport: { name: 'test', handles: () => true, send: async (event) => (send(event as StoredEvent), '') },
    store,
    log,
    timeoutMs: 15_000,
    retries: 3,
    giveUpAfterMs: 86_400_000,
    onRoom: () => takeovers.look(),
  })
  const takeovers = startTakeovers(outbox, courier, log)
  const accept = (type: KeptType, id: string, pending: StoredEvent['pending'] = null) =>
    courier.accept({ type, eventId: `${type}_${id}`, headers: {}, body: 'x' }, { id, createdAt }, pending)
  return { courier, takeovers, accept }
}

async function pass(ms: number, until: () => boolean): Promise<void> {
  for (let left = ms; left > 0 && !until(); left -= 500) {
    mock.timers.tick(500)
    for (let n = 0; n < 3; n++) await new Promise(setImmediate)
  }
}

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: createdAt })
})

test('events of 12,000 uploads for a receiver that is down: 10,000 wait in memory, and all come once, each upload’s in order', async () => {
  const { stored, outboxOf } = shelf()
  const taken = new Map<string, string[]>()
  let isBroken = true
  const { courier, takeovers, accept } = start(outboxOf('one'), ({ uploadId, type }) => {
    if (isBroken) isDown()
    taken.set(uploadId, [...(taken.get(uploadId) ?? []), type])
  })
  for (let n = 0; n < uploads; n++) await accept('post-create', `u${n}`)
  // Of one that is in memory, and of one that is not.
  for (const n of [0, 11_000]) await accept('post-finish', `u${n}`)
  await accept('post-terminate', 'u11001', 'terminate')
  assert.equal(courier.confirm({ type: 'post-terminate', createdAt, uploadId: 'u11001' }), false)
  const waiting = () => [...stored.keys()].filter((name) => courier.has(name)).length
  assert.equal(waiting(), mostWaiting + 1)
  await pass(40_000, () => false)
  assert.equal(waiting(), mostWaiting + 1)
  isBroken = false
  const upAt = Date.now()
  await pass(400_000, () => waiting() <= mostWaiting / 2)
  // Not only when it is time for the next look.
  const last = nameOf({ type: 'post-create', createdAt, uploadId: `u${uploads - 1}` })
  await pass(2000, () => false)
  assert.ok(taken.has(`u${uploads - 1}`) || courier.has(last), 'what waits outside is not taken in')
  await pass(400_000, () => stored.size === 0)
  assert.equal(stored.size, 0, `${stored.size} events are left`)
  assert.equal(taken.size, uploads)
  assert.ok(Date.now() - upAt < 330_000, 'no longer than the longest wait between two tries')
  for (const [id, types] of taken) {
    const more = { u0: ['post-finish'], u11000: ['post-finish'], u11001: ['post-terminate'] }[id] ?? []
    assert.deepEqual(types, ['post-create', ...more], id)
  }
  await takeovers.stop()
  await courier.close(0)
})

test('a process whose memory for events is full: another one delivers what comes on top, and leaves what it has', async () => {
  const { stored, outboxOf } = shelf()
  const one = start(outboxOf('one'), isDown)
  for (let n = 0; n < uploads; n++) await one.accept('post-create', `u${n}`)
  const taken: string[] = []
  const two = start(outboxOf('two'), ({ uploadId }) => void taken.push(uploadId))
  await pass(60_000, () => stored.size === mostWaiting)
  assert.equal(stored.size, mostWaiting)
  assert.deepEqual(
    taken.sort(),
    Array.from({ length: uploads - mostWaiting }, (_, n) => `u${n + mostWaiting}`),
  )
  for (const { courier, takeovers } of [one, two]) {
    await takeovers.stop()
    await courier.close(0)
  }
})

test('an upload is about to be removed and there is no room for the event: whoever takes it over waits before it looks', async () => {
  const { stored, outboxOf } = shelf()
  const one = start(outboxOf('one'), isDown)
  for (let n = 0; n < mostWaiting; n++) await one.accept('post-create', `u${n}`)
  const store = memoryStore()
  const about = { length: 1, metadata: null, concat: null, attributes: {}, createdAt, expiresAt: null }
  const upload = await store.create({ id: 'gone', ...about })
  await one.accept('post-terminate', 'gone', 'terminate')
  const taken: string[] = []
  const two = start(outboxOf('two'), ({ uploadId }) => void taken.push(uploadId), store)
  await pass(3000, () => false)
  assert.equal(two.courier.has([...stored.keys()].at(-1) ?? ''), true)
  await store.terminate(upload)
  await pass(30_000, () => stored.size === mostWaiting)
  assert.deepEqual(taken, ['gone'])
  for (const { courier, takeovers } of [one, two]) {
    await takeovers.stop()
    await courier.close(0)
  }
})
