/** More events than a process keeps in memory: the others wait in the outbox. */
import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import { pino } from 'pino'
import { StoreError } from '../../src/errors.ts'
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
function start(outbox: Outbox, send: (event: StoredEvent) => unknown, store = memoryStore(), room?: number) {
  const courier = createCourier({
    outbox,
    transport: { name: 'test', handles: () => true, send: async (event) => (await send(event as StoredEvent), '') },
    store,
    log,
    timeoutMs: 15_000,
    retries: 3,
    giveUpAfterMs: 86_400_000,
    ...(room !== undefined && { mostWaiting: room }),
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

type Started = Pick<ReturnType<typeof start>, 'courier' | 'takeovers'>

/** @param answer Lets the receiver of the first one answer at last: what it has begun ends with that. */
async function stopBoth(one: Started, two: Started, answer: () => void): Promise<void> {
  const closed = one.courier.close(0)
  answer()
  await closed
  for (const { courier, takeovers } of [one, two]) {
    await takeovers.stop()
    await courier.close(0)
  }
}

test('events of 12,000 uploads for a receiver that is down: 10,000 wait in memory, and all come once, each upload’s in order', async () => {
  const { stored, outboxOf } = shelf()
  const taken = new Map<string, string[]>()
  let isBroken = true
  const { promise: accepted, resolve: begin } = Promise.withResolvers<void>()
  const { courier, takeovers, accept } = start(outboxOf('one'), async ({ uploadId, type }) => {
    await accepted
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
  begin()
  let most = 0
  await pass(40_000, () => ((most = Math.max(most, waiting())), false))
  // One upload has two events.
  assert.ok(most <= mostWaiting + 1, `${most} wait in memory`)
  isBroken = false
  const upAt = Date.now()
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
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
  const one = start(outboxOf('one'), () => answered)
  for (let n = 0; n < uploads; n++) await one.accept('post-create', `u${n}`)
  const taken: string[] = []
  const two = start(outboxOf('two'), ({ uploadId }) => void taken.push(uploadId))
  await pass(60_000, () => stored.size === mostWaiting)
  assert.equal(stored.size, mostWaiting)
  assert.deepEqual(
    taken.sort(),
    Array.from({ length: uploads - mostWaiting }, (_, n) => `u${n + mostWaiting}`),
  )
  await stopBoth(one, two, answer)
})

test('an upload is about to be removed and there is no room for the event: whoever takes it over waits before it looks', async () => {
  const { stored, outboxOf } = shelf()
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
  const one = start(outboxOf('one'), () => answered)
  for (let n = 0; n < mostWaiting; n++) await one.accept('post-create', `u${n}`)
  const store = memoryStore()
  const about = { length: 1, metadata: null, concat: null, attributes: {}, createdAt, expiresAt: null }
  const upload = await store.create({ id: 'gone', ...about })
  await one.accept('post-terminate', 'gone', 'terminate')
  const taken: string[] = []
  const two = start(outboxOf('two'), ({ uploadId }) => void taken.push(uploadId), store)
  await pass(3000, () => false)
  assert.equal([...stored.values()].at(-1)?.event.uploadId, 'gone')
  await store.terminate(upload)
  await pass(30_000, () => stored.size === mostWaiting)
  assert.deepEqual(taken, ['gone'])
  await stopBoth(one, two, answer)
})

test('events wait outside for room, and half of it gets free: they are taken in at once', async () => {
  const { stored, outboxOf } = shelf()
  const { promise: accepted, resolve: begin } = Promise.withResolvers<void>()
  const { courier, takeovers, accept } = start(outboxOf('one'), () => accepted, memoryStore(), 10)
  for (let n = 0; n < 12; n++) await accept('post-create', `u${n}`)
  await pass(2000, () => false)
  assert.equal(stored.size, 12)
  begin()
  // Not only when it is time for the next look.
  await pass(3000, () => stored.size === 0)
  assert.equal(stored.size, 0, 'what waits outside is not taken in')
  await takeovers.stop()
  await courier.close(0)
})

test('events of as many uploads as have room keep failing: those of others are delivered, and they keep their tries', async () => {
  const room = 10
  const { stored, outboxOf } = shelf()
  const tries = new Map<string, number>()
  const taken: string[] = []
  let isBroken = true
  const send = ({ uploadId, type, attempts }: StoredEvent) => {
    const isBad = isBroken && uploadId.startsWith('bad')
    if (!isBad) return taken.push(`${uploadId} ${type}`)
    assert.equal(type, 'post-create', 'nothing overtakes what fails')
    assert.equal(attempts, tries.get(uploadId) ?? 0, 'tries are forgotten')
    tries.set(uploadId, attempts + 1)
    isDown()
  }
  const outbox = outboxOf('one')
  let early = 0
  const replace: Outbox['replace'] = (event, version) => {
    const before = stored.get(nameOf(event))?.event
    if (before?.owner === '' && before.nextAt > Date.now()) early++
    return outbox.replace(event, version)
  }
  const { courier, takeovers, accept } = start({ ...outbox, replace }, send, memoryStore(), room)
  const bad = Array.from({ length: 3 * room }, (_, n) => `bad${n}`)
  for (const type of ['post-create', 'post-finish'] as const) for (const id of bad) await accept(type, id)
  // By then they wait for minutes between two tries.
  await pass(1_800_000, () => false)
  const good = Array.from({ length: room }, (_, n) => [`good${n} post-create`, `good${n} post-finish`])
  for (let n = 0; n < room; n++) {
    await accept('post-create', `good${n}`)
    await accept('post-finish', `good${n}`)
  }
  const inMemory = () => [...stored.keys()].filter((name) => courier.has(name)).length
  let most = 0
  early = 0
  await pass(900_000, () => ((most = Math.max(most, inMemory())), taken.length === 2 * room))
  assert.equal(taken.length, 2 * room, `only ${taken.join(', ')} came`)
  for (const pair of good)
    assert.deepEqual(
      taken.filter((one) => pair.includes(one)),
      pair,
    )
  assert.equal(early, 0, 'what is not due takes room')
  assert.ok(most <= 2 * room, `${most} wait in memory`)
  assert.equal(stored.size, 2 * bad.length)
  for (const id of bad) assert.ok((tries.get(id) ?? 0) > 5, `${id} is not tried`)
  isBroken = false
  await pass(900_000, () => stored.size === 0)
  for (const id of bad) {
    const came = taken.filter((one) => one.startsWith(`${id} `))
    assert.deepEqual(came, [`${id} post-create`, `${id} post-finish`])
  }
  await takeovers.stop()
  await courier.close(0)
})

/** What another process, by now gone, has left: an event of each of these uploads. */
async function leave({ stored, outboxOf }: ReturnType<typeof shelf>, ...ids: string[]): Promise<void> {
  const gone = start(outboxOf('gone'), () => new Promise(() => {}))
  for (const id of ids) await gone.accept('post-create', id)
  void gone.courier.close(0)
  await gone.takeovers.stop()
  assert.equal(stored.size, ids.length)
}

const isGone: Outbox['isGone'] = async (owner) => owner === 'gone'

test('the storage fails as an event that was left is read: it is taken over at a later look', async () => {
  const all = shelf()
  await leave(all, 'a', 'b')
  const outbox = all.outboxOf('one')
  let failures = 1
  const read: Outbox['read'] = (state, name) => {
    if (failures-- > 0) throw new StoreError('unavailable', 'timed out')
    return outbox.read(state, name)
  }
  const taken: string[] = []
  const one = start({ ...outbox, isGone, read }, ({ uploadId }) => void taken.push(uploadId))
  await pass(120_000, () => all.stored.size === 0)
  assert.deepEqual(taken.sort(), ['a', 'b'])
  await one.takeovers.stop()
  await one.courier.close(0)
})

test('a write is done and seems to have failed, as an event is taken over: it is delivered once its claim is over', async () => {
  const all = shelf()
  await leave(all, 'a')
  const outbox = all.outboxOf('one')
  let failures = 1
  const replace: Outbox['replace'] = async (event, version) => {
    const written = await outbox.replace(event, version)
    if (failures-- > 0) throw new StoreError('unavailable', 'its folder cannot be synced')
    return written
  }
  const taken: string[] = []
  const one = start({ ...outbox, isGone, replace }, ({ uploadId }) => void taken.push(uploadId))
  await pass(120_000, () => all.stored.size === 0)
  assert.deepEqual(taken, ['a'])
  await one.takeovers.stop()
  await one.courier.close(0)
})

test('an event that its owner gave back long after it was seen with it: another process takes it', async () => {
  const { stored, outboxOf } = shelf()
  const owner = start(outboxOf('owner'), isDown)
  await owner.accept('post-create', 'a')
  const taken: string[] = []
  const one = start(outboxOf('one'), ({ uploadId }) => void taken.push(uploadId))
  await pass(40_000, () => false)
  // Alive, but it looks for nothing any more.
  void owner.courier.close(0)
  await owner.takeovers.stop()
  for (const { event, version } of stored.values()) {
    await outboxOf('owner').replace({ ...event, owner: '', leaseUntil: 0 }, version)
  }
  await pass(600_000, () => stored.size === 0)
  assert.deepEqual(taken, ['a'])
  await one.takeovers.stop()
  await one.courier.close(0)
})
