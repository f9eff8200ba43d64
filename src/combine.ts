import { TusError } from './errors.ts'
import type { Creation, Reply, UploadEvent, UploadHooks } from './hooks.ts'
import { formatMetadata } from './metadata.ts'

/**
 * Several sets of hooks as one: an application's own beside those of a library, say. They run one after the other, in
 * this order. Before something happens, the first that throws ends it; afterwards all of them run. Objects that their
 * `onRequest` return become one `context`, changes and replies are added up; what comes later wins. The least limit counts.
 *
 * @example createTusHandler({ path: '/files', store, ...combineHooks([authorization, { onFinish: resize }]) })
 */
export function combineHooks<C extends object = object>(sets: readonly UploadHooks<C>[]): UploadHooks<C> {
  const all = <K extends keyof UploadHooks<C>>(name: K): NonNullable<UploadHooks<C>[K]>[] =>
    sets.flatMap((set) => {
      const hook = set[name]
      return hook === undefined ? [] : [hook]
    })
  const combined: { -readonly [K in keyof UploadHooks<C>]: UploadHooks<C>[K] } = {}

  const onRequest = all('onRequest')
  const [only, ...others] = onRequest
  if (only !== undefined && others.length === 0) combined.onRequest = only
  else if (onRequest.length > 0) {
    combined.onRequest = async (event) => {
      let context = { ...event.context } as C
      for (const hook of onRequest) context = { ...context, ...(await hook({ ...event, context })) }
      return context
    }
  }
  const onAccess = all('onAccess')
  if (onAccess.length > 0) {
    combined.onAccess = async (event) => {
      for (const hook of onAccess) await hook(event)
    }
  }
  const onLimit = all('onLimit')
  if (onLimit.length > 0) {
    combined.onLimit = async (event) => {
      let least: number | undefined
      for (const hook of onLimit) {
        const limit = await hook(event)
        if (limit !== undefined) least = Math.min(limit, least ?? Infinity)
      }
      return least
    }
  }
  const onCreate = all('onCreate')
  if (onCreate.length > 0) {
    combined.onCreate = async (event) => {
      let [upload, creation] = [event.upload, {} as Creation]
      for (const hook of onCreate) {
        const change = (await hook({ ...event, upload })) ?? {}
        const { id = upload.id, metadata, attributes, query, reply } = change
        upload = {
          ...upload,
          id,
          metadata: metadata === undefined ? upload.metadata : formatMetadata(metadata),
          attributes: { ...upload.attributes, ...attributes },
        }
        const replies = [creation.reply, reply]
        creation = {
          ...creation,
          ...change,
          attributes: upload.attributes,
          query: { ...creation.query, ...query },
          ...withReply(mergeReplies(replies)),
        }
      }
      return creation
    }
  }
  for (const name of ['onFinish', 'onPartialFinish'] as const) {
    const hooks = all(name)
    if (hooks.length === 0) continue
    combined[name] = async (event) => {
      const replies: (Reply | void)[] = []
      for (const hook of hooks) replies.push(await hook(event))
      return mergeReplies(replies)
    }
  }
  for (const name of ['onTerminate', 'onExpire'] as const) {
    const hooks = all(name)
    if (hooks.length === 0) continue
    combined[name] = async (event) => {
      for (const hook of hooks) await hook(event)
    }
  }
  const onProgress = all('onProgress')
  if (onProgress.length > 0) combined.onProgress = (event) => runAll(onProgress, event)
  for (const name of ['onCreated', 'onFinished', 'onPartialFinished', 'onTerminated'] as const) {
    const hooks = all(name)
    if (hooks.length > 0) combined[name] = (event) => runAll(hooks, event)
  }
  return combined
}

/** One that fails keeps no other from hearing of what has happened. */
async function runAll<E extends UploadEvent>(hooks: readonly ((event: E) => unknown)[], event: E): Promise<void> {
  const failures: unknown[] = []
  for (const hook of hooks) {
    try {
      await hook(event)
    } catch (error) {
      failures.push(error)
    }
  }
  // It is for the client, where there is one: `onProgress` stops an upload by it.
  const refusal = failures.find((failure) => failure instanceof TusError)
  if (refusal !== undefined) throw refusal
  if (failures.length === 1) throw failures[0]
  if (failures.length > 1) throw new AggregateError(failures, 'Several hooks failed')
}

function mergeReplies(replies: readonly (Reply | void)[]): Reply | undefined {
  const said = replies.filter((reply) => reply !== undefined)
  if (said.length === 0) return undefined
  const headers = Object.assign({}, ...said.map((reply) => reply.headers ?? {})) as Record<string, string>
  return Object.assign({}, ...said, { headers }) as Reply
}

function withReply(reply: Reply | undefined): Pick<Creation, 'reply'> {
  return reply === undefined ? {} : { reply }
}
