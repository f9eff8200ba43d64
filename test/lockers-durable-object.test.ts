/** What only `durableObjectLocker` does; what every locker does is in lockers.test.ts. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { StoreError } from '../src/errors.ts'
import {
  durableObjectLocker,
  type LockAnswer,
  type LockEvent,
  type LockNamespace,
  type LockSocket,
} from '../src/lockers/durable-object.ts'
import { never, soon } from './files/support.ts'
import { rawClient } from './node-support.ts'
import { startWorker } from './runtimes/workerd.ts'
import { until, within } from './suites/support.ts'

const tus = { 'Tus-Resumable': '1.0.0' }
const octets = { ...tus, 'Content-Type': 'application/offset+octet-stream' }

void describe('two isolates', async () => {
  const miniflare = await startWorker('test/runtimes/isolate.ts', false, ['other'])
  after(() => miniflare.dispose())
  const namespace = (await miniflare.getDurableObjectNamespace('LOCKS')) as unknown as LockNamespace
  const [main, other] = [await miniflare.unsafeGetDirectURL('main'), await miniflare.unsafeGetDirectURL('other')]
  const locker = durableObjectLocker(namespace)

  void test('HEAD at one, a PATCH stands still at the other: it stores what came and gives way', async () => {
    const created = await fetch(new URL('/files', main), {
      method: 'POST',
      headers: { ...tus, 'Upload-Length': '100' },
    })
    const { pathname } = new URL(created.headers.get('Location') ?? '')
    using client = await rawClient(Number(main.port))
    let answer = ''
    client.socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
    client.socket.write(
      `PATCH ${pathname} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
        `Content-Type: application/offset+octet-stream\r\nContent-Length: 100\r\n\r\n${'a'.repeat(60)}`,
    )
    await until(async () => (await (await fetch(new URL('/taken', main))).text()) === '60', '60 bytes are taken')
    assert.equal(await (await fetch(new URL('/taken', other))).text(), '0', 'the other isolate is not this one')
    const started = performance.now()
    const head = await fetch(new URL(pathname, other), { method: 'HEAD', headers: tus })
    assert.equal(head.headers.get('Upload-Offset'), '60')
    assert.ok(performance.now() - started < 3000, 'long before the body would have been idle for too long')
    await until(() => answer !== '', 'the holder is answered')
    assert.match(answer, /^HTTP\/1\.1 423 [\s\S]*Another request for this upload took over/)
    const headers = { ...octets, 'Upload-Offset': '60' }
    const patch = await fetch(new URL(pathname, other), { method: 'PATCH', headers, body: 'b'.repeat(40) })
    assert.deepEqual([patch.status, patch.headers.get('Upload-Offset')], [204, '100'])
  })

  void test('the process of the isolate that has a lock is killed: it is free long before its lease is over', async () => {
    const dying = await startWorker('test/runtimes/isolate.ts', false)
    const { origin } = await dying.ready
    const held = fetch(`${origin}/hold?${new URLSearchParams({ id: 'dying', at: main.origin }).toString()}`)
    await until(async () => !(await locker.isFree('dying')), 'the lock is held')
    const next = locker.acquire('dying', { signal: soon(10_000) })
    await Promise.all([assert.rejects(held), dying.dispose()])
    await (await within(next, 'the lock', 5000)).release()
  })

  void test('a holder is heard no more, its connection stands: the lock is had once its lease is over', async () => {
    const silent = await namespace.get(namespace.idFromName('silent')).fetch('https://lock/wait?lease=400', {
      headers: { Upgrade: 'websocket' },
    })
    let told = ''
    const socket = silent.webSocket ?? assert.fail('no connection')
    socket.addEventListener('message', ({ data }) => (told += String(data)))
    const closed = new Promise((resolve) => socket.addEventListener('close', resolve))
    const started = performance.now()
    socket.accept()
    const lock = await locker.acquire('silent', { signal: soon(10_000) })
    const took = performance.now() - started
    assert.ok(took > 300 && took < 3000, `${took} ms`)
    assert.equal(told, 'yoursasked')
    await closed
    await lock.release()
  })

  void test('a holder works on for several leases: it keeps the lock, whoever waits', async () => {
    const short = durableObjectLocker(namespace, { leaseMs: 200 })
    const lock = await short.acquire('long', { signal: never() })
    await assert.rejects(short.acquire('long', { signal: soon(700) }), { name: 'TimeoutError' })
    await lock.guard?.()
    await lock.release()
  })

  void test('binding of another object, or none: 503 from the locker, and TypeError when it is made', async () => {
    const fails = (fetch: () => Promise<LockAnswer>) =>
      durableObjectLocker({ idFromName: (name) => name, get: () => ({ fetch }) })
    const unavailable = (error: unknown): boolean => error instanceof StoreError && error.code === 'unavailable'
    for (const broken of [
      fails(() => Promise.reject(new Error('overloaded'))),
      fails(() => Promise.resolve({ status: 500 })),
    ]) {
      await assert.rejects(broken.acquire('a', { signal: never() }), unavailable)
      await assert.rejects(broken.tryAcquire('a'), unavailable)
      await assert.rejects(async () => broken.isFree('a'), unavailable)
    }
    assert.throws(() => durableObjectLocker(undefined as unknown as LockNamespace), TypeError)
  })

  // A timer over the last one would fire at once: the object would take the lock from whoever has just got it.
  for (const leaseMs of [0, 99, 2 ** 31, Infinity, Number.NaN, '15000' as unknown as number]) {
    void test(`leaseMs ${typeof leaseMs} ${leaseMs}: TypeError that says what may be`, () => {
      const message = /leaseMs must be from 100 to 2147483647/
      assert.throws(() => durableObjectLocker(namespace, { leaseMs }), { name: 'TypeError', message })
    })
  }

  void test('leaseMs of 100 and of the longest time that timers know: fine', () => {
    for (const leaseMs of [100, 2 ** 31 - 1]) durableObjectLocker(namespace, { leaseMs })
  })
})

void describe('the connection to the object', () => {
  test('it brings no answers any more: the holder is asked to end, and guard tells the loss within the lease', async () => {
    const line = fakeLine()
    let asked = 0
    const waiting = line.locker.acquire('a', { signal: never(), onContention: () => asked++ })
    await line.say('message', 'yours')
    const lock = await waiting
    await lock.guard?.()
    await line.say('message', String(Date.now()))
    await lock.guard?.()
    await until(() => asked > 0, 'the holder is asked')
    await assert.rejects(async () => lock.guard?.(), { code: 'lock_lost' })
    void lock.release()
    await line.say('close')
    assert.equal(asked, 1)
  })

  test('it breaks off: the holder is asked to end, and guard tells the loss at once', async () => {
    const line = fakeLine()
    let asked = 0
    const waiting = line.locker.acquire('a', { signal: never(), onContention: () => asked++ })
    await line.say('message', 'yours')
    const lock = await waiting
    await line.say('error')
    assert.equal(asked, 1)
    await assert.rejects(async () => lock.guard?.(), { code: 'lock_lost' })
    // An answer that was on its way does not bring the lock back.
    await line.say('message', String(Date.now()))
    await assert.rejects(async () => lock.guard?.(), { code: 'lock_lost' })
    await lock.release()
  })

  test('it breaks off while a lock is waited for: StoreError unavailable', async () => {
    const line = fakeLine()
    const waiting = line.locker.acquire('a', { signal: never() })
    await line.say('close')
    await assert.rejects(waiting, { code: 'unavailable' })
  })
})

/** A locker with a lease of 200 ms whose object says what the test wants. */
function fakeLine() {
  const listeners = new Map<string, (event: LockEvent) => void>()
  const webSocket: LockSocket = {
    accept: () => {},
    send: () => {},
    close: () => {},
    addEventListener: (type, listener) => void listeners.set(type, listener),
  }
  const namespace: LockNamespace = {
    idFromName: (name) => name,
    get: () => ({ fetch: () => Promise.resolve({ status: 101, webSocket }) }),
  }
  return {
    locker: durableObjectLocker(namespace, { leaseMs: 200 }),
    async say(type: 'message' | 'close' | 'error', data?: string) {
      await until(() => listeners.has(type), 'somebody listens')
      listeners.get(type)?.({ type, data })
    },
  }
}
