import { StoreError, type Store, type StoreErrorCode } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import { createWith, expectBytes, expectOffset, head, patch, tus } from './client.ts'
import { withMethods } from './fakes.ts'
import { equal, expect, ok, type Case, type Context, type Server, type Suite } from './support.ts'

const statuses: readonly [StoreErrorCode, number][] = [
  ['unavailable', 503],
  ['full', 507],
  ['corrupt', 500],
  ['lock_lost', 423],
]

const secret = 'EACCES: /var/lib/secret'

export const suite: Suite = {
  name: 'failures of the store',
  cases: [
    ...(['HEAD', 'PATCH', 'DELETE', 'GET'] as const).map((method): Case => ({
      // A storage outage is a 5xx that clients retry, never a 404 (they would start over) and never a success.
      title: `${method}, the store is out: 503 without details, then as before`,
      async run(ctx) {
        const { server, url, breakWith } = await breakable(ctx, 'get')
        breakWith(new StoreError('unavailable', secret))
        const request = async (): Promise<Response> =>
          method === 'PATCH' ? await patch(server, url, 5, bytesOf(5, 2)) : await tus(server, method, url)
        const response = await expect(await request(), 503, { 'Upload-Offset': null, Location: null })
        ok(!(await response.text()).includes('secret'), 'the answer tells what the store said')
        breakWith(null)
        await expectOffset(server, url, 5)
        await expect(await request(), { HEAD: 200, PATCH: 204, DELETE: 204, GET: 404 }[method])
      },
    })),
    ...statuses.map(([code, status]): Case => ({
      title: `HEAD, the store says ${code}: ${status}`,
      async run(ctx) {
        const { server, url, breakWith } = await breakable(ctx, 'get')
        breakWith(new StoreError(code, secret))
        await expect(await head(server, url), status, { 'Upload-Offset': null })
      },
    })),
    ...statuses.map(([code, status]): Case => ({
      title: `PATCH, the store cannot append (${code}): ${status} without details, what was there stays`,
      async run(ctx) {
        const { server, url, breakWith, errors } = await breakable(ctx, 'append')
        const failure = new StoreError(code, secret)
        breakWith(failure)
        const response = await expect(await patch(server, url, 5, bytesOf(5, 2)), status)
        ok(!(await response.text()).includes('secret'), 'the answer tells what the store said')
        ok(status < 500 || errors.includes(failure), 'onError did not hear of it')
        breakWith(null)
        await expectOffset(server, url, 5)
        await expectBytes(server, url, bytesOf(5))
        await expect(await patch(server, url, 5, bytesOf(5, 2)), 204)
      },
    })),
    ...[new Error(secret), new TypeError(secret), secret, null, undefined, { status: 200, message: secret }].map(
      (thrown): Case => ({
        title: `PATCH, the store throws ${describe(thrown)}: 500 "Internal error", onError hears of it`,
        async run(ctx) {
          const { server, url, breakWith, errors } = await breakable(ctx, 'append')
          breakWith({ thrown })
          const response = await expect(await patch(server, url, 5, bytesOf(5)), 500, {
            'Content-Type': /^text\/plain/,
          })
          equal((await response.text()).trim(), 'Internal error', 'body')
          ok(errors.length === 1 && errors[0] === thrown, 'onError did not hear of that once')
          breakWith(null)
          await expectOffset(server, url, 5)
        },
      }),
    ),
    {
      title: 'PATCH, the store fills up half-way: 507, what it kept counts, the rest follows when there is room',
      async run(ctx) {
        const inner = await ctx.store()
        let room = 30
        const store = withMethods(inner, {
          append: async (upload, body, options) => {
            const fitting = async function* (): AsyncGenerator<Uint8Array> {
              let left = room - upload.offset
              for await (const chunk of body) {
                if (left <= 0) return
                yield chunk.subarray(0, left)
                left -= chunk.byteLength
              }
            }
            const after = await inner.append(upload, fitting(), options)
            if (after.offset >= room) throw new StoreError('full', 'ENOSPC')
            return after
          },
        })
        const server = await ctx.serve({ store })
        const bytes = bytesOf(100)
        const url = await createWith(server, bytes.subarray(0, 10), {}, 100)
        await expect(await patch(server, url, 10, bytes.subarray(10)), 507)
        await expectOffset(server, url, 30)
        room = 1000
        await expect(await patch(server, url, 30, bytes.subarray(30)), 204, { 'Upload-Offset': '100' })
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'HEAD, the store fails with any error: 500 and no body',
      async run(ctx) {
        const { server, url, breakWith } = await breakable(ctx, 'get')
        breakWith(new Error(secret))
        equal(await (await expect(await head(server, url), 500)).text(), '', 'body')
      },
    },
    {
      title: 'GET, the store fails in the middle of the bytes: the body breaks, it does not just end',
      async run(ctx) {
        const inner = await ctx.store()
        const store = withMethods(inner, {
          async *read() {
            yield await Promise.resolve(bytesOf(100))
            throw new StoreError('unavailable', secret)
          },
        })
        const server = await ctx.serve({ store, downloads: true })
        const url = await createWith(server, bytesOf(1000))
        const outcome = await server
          .fetch(url)
          .then(
            async (response) => await response.arrayBuffer().then((body) => `${body.byteLength} bytes`),
            () => 'broken',
          )
          .catch(() => 'broken')
        equal(outcome, 'broken', 'how the body ended')
      },
    },
  ],
}

/** A server with an upload of 5 of 10 bytes, and a store of which one method can be broken. */
async function breakable(
  ctx: Context,
  method: 'get' | 'append',
): Promise<{
  server: Server
  url: string
  errors: unknown[]
  breakWith: (failure: Error | { thrown: unknown } | null) => void
}> {
  const inner = await ctx.store()
  let failure: Error | { thrown: unknown } | null = null
  const errors: unknown[] = []
  const broken = (): Promise<never> | null => {
    if (failure === null) return null
    // Stores are other people's code; they may throw anything.
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors
    return Promise.reject(failure instanceof Error ? failure : failure.thrown)
  }
  const methods: Partial<Store> =
    method === 'get'
      ? { get: (id) => broken() ?? inner.get(id) }
      : { append: (upload, body, options) => broken() ?? inner.append(upload, body, options) }
  const onError = (error: unknown): void => void errors.push(error)
  const server = await ctx.serve({ store: withMethods(inner, methods), downloads: true, onError })
  const url = await createWith(server, bytesOf(5), {}, 10)
  return { server, url, errors, breakWith: (next) => (failure = next) }
}

function describe(thrown: unknown): string {
  return thrown instanceof Error ? thrown.name : typeof thrown === 'object' ? JSON.stringify(thrown) : typeof thrown
}
