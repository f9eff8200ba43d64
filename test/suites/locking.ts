import { StoreError, type Locker } from '../../src/index.ts'
import { memoryLocker } from '../../src/lockers/memory.ts'
import { bytesOf } from './bodies.ts'
import {
  create,
  createWith,
  cut,
  expectBytes,
  expectOffset,
  head,
  incomplete,
  octets,
  patch,
  post,
  recordOf,
  stalled,
  stored,
  tus,
} from './client.ts'
import { gate, lockerOf, withMethods } from './fakes.ts'
import { equal, expect, fail, ok, until, within, type Case, type Context, type Server, type Suite } from './support.ts'

const bytes = bytesOf(100)

/** What may go wrong with a request that holds a lock, and its status. */
const failures: readonly [string, (server: Server, url: string) => Promise<unknown>][] = [
  ['409', async (server, url) => await expect(await patch(server, url, 3, bytes), 409)],
  ['413', async (server, url) => await expect(await patch(server, url, 0, bytesOf(101)), 413)],
  [
    '460',
    async (server, url) => {
      const headers = { 'Upload-Checksum': 'sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=' }
      await expect(await patch(server, url, 0, bytes, headers), 460)
    },
  ],
  ['400', async (server, url) => await expect(await patch(server, url, 0, bytes, { 'Upload-Length': '100' }), 400)],
  ['a broken connection', async (server, url) => await cut(server, url, 0, new Uint8Array(0))],
]

export const suite: Suite = {
  name: 'locking',
  cases: [
    ...(['HEAD', 'PATCH', 'DELETE'] as const).map((method): Case => ({
      // HEAD under contention may answer 423 only: tus-js-client starts a new upload on any other failure.
      title: `${method} beside a request that does not give way: 423 after lockTimeoutMs`,
      async run(ctx) {
        const { server, url, holder, release } = await busy(ctx)
        const start = Date.now()
        const response = method === 'PATCH' ? patch(server, url, 100) : tus(server, method, url)
        await expect(await within(response, `${method} beside a busy upload`), 423, { 'Upload-Offset': null })
        ok(Date.now() - start >= 30, `answered after ${Date.now() - start} ms`)
        release()
        await expect(await holder, 204)
        await expectOffset(server, url, 100)
      },
    })),
    {
      title: 'HEAD beside a request that ends within lockTimeoutMs: waits for it, 200',
      async run(ctx) {
        const { server, url, holder, release } = await busy(ctx, 10_000)
        const response = head(server, url)
        release()
        await expect(await response, 200, { 'Upload-Offset': '100' })
        await expect(await holder, 204)
      },
    },
    {
      title: 'a 423 after lockTimeoutMs leaves nothing behind: the next one gets the lock',
      async run(ctx) {
        const { server, url, holder, release } = await busy(ctx)
        await Promise.all([1, 2, 3].map(async () => await expect(await head(server, url), 423)))
        release()
        await expect(await holder, 204)
        await within(expectOffset(server, url, 100), 'HEAD after the lock is free')
        await expect(await tus(server, 'DELETE', url), 204)
      },
    },
    ...failures.map(([what, request]): Case => ({
      title: `HEAD after a PATCH that ended in ${what}: the lock is free`,
      async run(ctx) {
        const server = await ctx.serve({ lockTimeoutMs: 1000 })
        const url = await create(server, 100)
        await request(server, url)
        await expectOffset(server, url, 0)
        await expect(await patch(server, url, 0, bytes), 204)
      },
    })),
    ...(['get', 'append', 'update'] as const).map((method): Case => ({
      title: `HEAD after a PATCH in which the store’s ${method} threw: the lock is free`,
      async run(ctx) {
        const inner = await ctx.store()
        let fails = 0
        const broken = (): void => {
          if (fails-- > 0) throw new Error('out')
        }
        const store = withMethods(inner, {
          get: async (id) => (method === 'get' && broken(), await inner.get(id)),
          append: async (upload, body, options) => {
            if (method === 'append') broken()
            return await inner.append(upload, body, options)
          },
          update: async (upload, change) => (method === 'update' && broken(), await inner.update(upload, change)),
        })
        const server = await ctx.serve({ store, lockTimeoutMs: 1000 })
        const url = await create(server, 100)
        fails = 1
        await expect(await patch(server, url, 0, bytes), 500)
        const response = await expect(await head(server, url), 200, { 'Upload-Offset': /^\d+$/ })
        const offset = Number(response.headers.get('Upload-Offset'))
        await expect(await patch(server, url, offset, bytes.subarray(offset)), 204)
        await expectBytes(server, url, bytes)
      },
    })),
    {
      title: 'PATCH whose lock is lost to somebody else: 423, nothing written from then on',
      async run(ctx) {
        const inner = await ctx.store()
        const filled = await ctx.serve({ store: inner })
        const first = await createWith(filled, bytes.subarray(0, 10), {}, 100)
        const guard = (): never => {
          throw new StoreError('lock_lost', 'somebody else has it')
        }
        const server = await ctx.serve({ store: inner, locker: lockerOf({ guard, release: () => Promise.resolve() }) })
        const url = server.url + first.slice(filled.url.length)
        await expect(await patch(server, url, 10, bytes.subarray(10)), 423)
        await expectBytes(server, url, bytes.subarray(0, 10))
      },
    },
    {
      title: 'HEAD, PATCH and DELETE, the locker is out of order: 503 and never 404, nothing changed',
      async run(ctx) {
        const inner = await ctx.store()
        const filled = await ctx.serve({ store: inner })
        const first = await createWith(filled, bytes.subarray(0, 10), {}, 100)
        const out = (): Promise<never> => Promise.reject(new StoreError('unavailable', 'redis: secret'))
        const server = await ctx.serve({ store: inner, locker: { acquire: out, tryAcquire: out } })
        const url = server.url + first.slice(filled.url.length)
        for (const response of [
          await head(server, url),
          await patch(server, url, 10, bytes.subarray(10)),
          await tus(server, 'DELETE', url),
        ]) {
          await expect(response, 503)
          ok(!(await response.text()).includes('secret'), 'the answer tells what the locker said')
        }
        await expectBytes(server, url, bytes.subarray(0, 10))
      },
    },
    {
      title: 'every request: each lock that is taken is released, once or more',
      async run(ctx) {
        let taken = 0
        let released = 0
        const locker: Locker = {
          acquire: () => {
            taken++
            let held = true
            const release = (): Promise<void> => {
              if (held) released++
              held = false
              return Promise.resolve()
            }
            return Promise.resolve({ release })
          },
          tryAcquire: () => Promise.resolve(null),
        }
        const server = await ctx.serve({ locker, onFinish: () => Promise.reject(new Error('out')) })
        const url = await create(server, 100)
        await expect(await patch(server, url, 0, bytesOf(101)), 413)
        await expect(await patch(server, url, 1, bytes), 409)
        await cut(server, url, 0, bytes.subarray(0, 50))
        // This locker makes nobody wait, so the case has to.
        await until(async () => (await recordOf(server, url)).offset === 50, 'the bytes that arrived are stored')
        await expect(await patch(server, url, 50, bytes.subarray(50)), 500)
        await expect(await head(server, url), [423, 500])
        await expect(await tus(server, 'DELETE', url), 204)
        await expect(await post(server, { 'Upload-Length': '100', 'Content-Type': octets }, bytesOf(101)), 413)
        await server.handler.close()
        ok(taken > 0, 'no lock was taken')
        equal(released, taken, 'locks released')
      },
    },
    {
      title: 'HEAD at another handler on the same store and locker: the PATCH that stands still gives way',
      async run(ctx) {
        const store = await ctx.store()
        const locker = memoryLocker()
        const [one, other] = [await ctx.serve({ store, locker }), await ctx.serve({ store, locker })]
        const url = await create(one, 100)
        const moved = other.url + url.slice(one.url.length)
        const holder = await stalled(one, url, 0, bytes.subarray(0, 60))
        await within(expectOffset(other, moved, 60), 'HEAD at the other handler')
        await expect(await within(holder.response, 'the answer to the holder'), 423)
        await expect(await patch(other, moved, 60, bytes.subarray(60)), 204)
        await expectOffset(one, url, 100)
        await expectBytes(one, url, bytes)
      },
    },
    {
      title: 'PATCHes that hop between two handlers on one store: every byte once, in order',
      async run(ctx) {
        const store = await ctx.store()
        const locker = memoryLocker()
        const servers = [await ctx.serve({ store, locker }), await ctx.serve({ store, locker })]
        const id = (await create(servers[0] ?? fail('no server'), 100)).slice(servers[0]?.url.length)
        for (let at = 0; at < 100; at += 5) {
          const server = servers[(at / 5) % 2] ?? fail('no server')
          await expect(await patch(server, server.url + id, at, bytes.subarray(at, at + 5)), 204)
        }
        const server = servers[1] ?? fail('no server')
        await expectBytes(server, server.url + id, bytes)
      },
    },
    {
      title: 'PATCH after a HEAD that gave up waiting: it is not asked to give way for that one',
      async run(ctx) {
        const inner = await ctx.store()
        const entered = gate()
        const { opened, open } = gate()
        const store = withMethods(inner, {
          append: async (upload, body, options) => {
            entered.open()
            await opened
            return await inner.append(upload, body, options)
          },
        })
        const server = await ctx.serve({ store, lockTimeoutMs: 40 })
        const url = await create(server, 100)
        const first = patch(server, url, 0, bytes)
        await entered.opened
        await expect(await head(server, url), 423)
        open()
        await expect(await first, [204, 423])
        const offset = Number((await head(server, url)).headers.get('Upload-Offset'))
        const second = await stalled(server, url, offset, bytes.subarray(offset, offset + 1))
        second.write(bytes.subarray(offset + 1))
        second.end()
        await expect(await second.response, 204, { 'Upload-Offset': '100' })
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'PATCHes on ten uploads at a time: each gets its own bytes',
      async run(ctx) {
        const server = await ctx.serve()
        const urls = await Promise.all(Array.from({ length: 10 }, async () => await create(server, 5000)))
        await Promise.all(urls.map(async (url, i) => await expect(await patch(server, url, 0, bytesOf(5000, i)), 204)))
        for (const [i, url] of urls.entries()) await expectBytes(server, url, bytesOf(5000, i))
        for (const upload of await incomplete(server.store))
          equal((await stored(server.store, upload)).length, 0, 'left')
      },
    },
  ],
}

/** An upload whose PATCH hangs in onFinish until `release` is called. */
async function busy(
  ctx: Context,
  lockTimeoutMs = 40,
): Promise<{ server: Server; url: string; holder: Promise<Response>; release: () => void }> {
  const entered = gate()
  const { opened, open } = gate()
  const server = await ctx.serve({
    lockTimeoutMs,
    onFinish: async () => {
      entered.open()
      await opened
    },
  })
  const url = await create(server, 100)
  const holder = patch(server, url, 0, bytes)
  await entered.opened
  return { server, url, holder, release: open }
}
