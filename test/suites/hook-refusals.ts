/** The one rule for what hooks throw that run before something: a TusError is the answer, anything else a 500. */
import { TusError, type UploadHooks } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import {
  create,
  createWith,
  expectBytes,
  incomplete,
  locationOf,
  octets,
  patch,
  post,
  recordOf,
  tus,
} from './client.ts'
import { equal, expect, ok, type Case, type Context, type Server, type Suite } from './support.ts'

const bytes = bytesOf(10)
const refusal = () =>
  new TusError('rejected', 'Not today', { status: 451, headers: { 'X-Why': 'law' }, body: '{"no":1}' })

type Name = keyof UploadHooks

/** What a hook keeps from happening: the request that is refused, and how to see that nothing has happened. */
interface Refused {
  readonly name: Name
  readonly what: string
  /** Makes what the request is about, while no hook throws. */
  readonly prepare?: (server: Server) => Promise<string>
  readonly ask: (server: Server, url: string) => Promise<Response>
  readonly check: (server: Server, url: string) => Promise<void>
}

const nothingCreated = async ({ store }: Server) => equal((await incomplete(store)).length, 0, 'uploads in the store')
const started = (server: Server) => create(server, 10)
const createIt = (server: Server) => post(server, { 'Upload-Length': '10' })
const finishIt = (server: Server, url: string) => patch(server, url, 0, bytes)
const partial = async (server: Server) =>
  await locationOf(server, await post(server, { 'Upload-Length': '10', 'Upload-Concat': 'partial' }))
const isUnfinished = async (server: Server, url: string) => {
  const { offset, completed } = await recordOf(server, url)
  equal(`${offset} ${completed}`, '10 false', 'offset and completed in the record')
}

const refused: readonly Refused[] = [
  { name: 'onRequest', what: 'POST', ask: createIt, check: nothingCreated },
  {
    name: 'onAccess',
    what: 'PATCH',
    prepare: started,
    ask: finishIt,
    check: async (server, url) => equal((await recordOf(server, url)).offset, 0, 'offset in the record'),
  },
  { name: 'onLimit', what: 'POST', ask: createIt, check: nothingCreated },
  { name: 'onCreate', what: 'POST', ask: createIt, check: nothingCreated },
  {
    name: 'onCreate',
    what: 'POST with bytes',
    ask: (server) => post(server, { 'Upload-Length': '10', 'Content-Type': octets }, bytes),
    check: nothingCreated,
  },
  { name: 'onFinish', what: 'PATCH with the last bytes', prepare: started, ask: finishIt, check: isUnfinished },
  { name: 'onPartialFinish', what: 'PATCH with the last bytes', prepare: partial, ask: finishIt, check: isUnfinished },
  {
    name: 'onTerminate',
    what: 'DELETE',
    prepare: (server) => createWith(server, bytes),
    ask: (server, url) => tus(server, 'DELETE', url),
    check: (server, url) => expectBytes(server, url, bytes),
  },
]

export const suite: Suite = {
  name: 'hook refusals',
  cases: refused.flatMap(({ name, what, prepare, ask, check }): Case[] => {
    const run = async (ctx: Context, thrown: () => Error) => {
      const errors: unknown[] = []
      let isOn = false
      const throws = () => {
        if (isOn) throw thrown()
        return undefined
      }
      const server = await ctx.serve({ [name]: throws, onError: (error) => void errors.push(error) })
      const url = (await prepare?.(server)) ?? ''
      isOn = true
      const answer = await ask(server, url)
      await check(server, url)
      return { answer, errors }
    }
    return [
      {
        title: `${what}, ${name} throws a TusError: its status, headers and body, and it has not happened`,
        async run(ctx) {
          const { answer, errors } = await run(ctx, refusal)
          await expect(answer, 451, { 'X-Why': 'law', 'Tus-Resumable': '1.0.0' })
          equal(await answer.text(), '{"no":1}', 'body')
          equal(errors.length, 0, 'failures that onError heard of')
        },
      },
      {
        title: `${what}, ${name} throws anything else: 500 without details, told to onError, and it has not happened`,
        async run(ctx) {
          const { answer, errors } = await run(ctx, () => new Error('a secret'))
          await expect(answer, 500, { 'Tus-Resumable': '1.0.0' })
          equal(await answer.text(), 'Internal error\n', 'body')
          ok(errors[0] instanceof Error && errors[0].message === 'a secret', 'onError heard of something else')
        },
      },
    ]
  }),
}
