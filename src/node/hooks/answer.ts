/** What a receiver may answer, in tusd's format, and what it means to us. */
import * as v from 'valibot'
import { TusError } from '../../errors.ts'
import type { Creation, Reply } from '../../hooks.ts'
import { HookError } from './failure.ts'

// Go takes null for a field that is not there, and knows no other fields than these.
const optional = <T>(schema: v.GenericSchema<unknown, T>) => v.nullish(schema)
/** To Go a null among texts is the empty one. */
const texts = v.record(
  v.string(),
  v.pipe(
    optional(v.string()),
    v.transform((text) => text ?? ''),
  ),
)
const answerSchema = v.object({
  HTTPResponse: optional(
    v.object({
      StatusCode: optional(v.pipe(v.number(), v.integer())),
      Body: optional(v.string()),
      Header: optional(texts),
    }),
  ),
  RejectUpload: optional(v.boolean()),
  RejectTermination: optional(v.boolean()),
  ChangeFileInfo: optional(v.object({ ID: optional(v.string()), MetaData: optional(texts), Storage: optional(texts) })),
  StopUpload: optional(v.boolean()),
})

export type Answer = v.InferOutput<typeof answerSchema>

/**
 * Reads an answer; nothing at all means: go on, and so does null.
 * @throws HookError when it makes no sense.
 */
export function readAnswer(text: string): Answer {
  if (text.trim() === '') return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new HookError(`its answer is not JSON: ${excerpt(text)}`, { cause: error })
  }
  if (value === null) return {}
  if (Array.isArray(value)) throw new HookError('its answer makes no sense: it is a list')
  const result = v.safeParse(answerSchema, spelled(value))
  if (result.success) return result.output
  const [issue] = result.issues
  throw new HookError(`its answer makes no sense: ${v.getDotPath(issue) ?? 'it'}: ${issue.message}`)
}

/** What pre-create decided. @throws TusError when it is against the upload; HookError for what cannot be done. */
export function toCreation(answer: Answer): Creation {
  const { RejectUpload, ChangeFileInfo } = answer
  if (RejectUpload === true) throw refusal(answer, 'The upload was rejected')
  const { ID, MetaData } = ChangeFileInfo ?? {}
  const reply = toReply(answer)
  return {
    ...(typeof ID === 'string' && ID !== '' && { id: ID }),
    ...(MetaData !== undefined && MetaData !== null && { metadata: MetaData }),
    ...(reply !== undefined && { reply }),
  }
}

/**
 * What goes into the answer to the client.
 * @throws TusError when it is a failure that the client is to see; HookError when no such answer can be sent.
 */
export function toReply(answer: Answer): Reply | undefined {
  const { StatusCode, Body, Header } = answer.HTTPResponse ?? {}
  const status = statusOf(StatusCode)
  if (status !== undefined && status >= 400 && status <= 599) throw refusal(answer, 'The request was rejected')
  if (status !== undefined && (status < 200 || status > 399)) {
    throw new HookError(`it answered StatusCode ${status}, which no upload can be answered with`)
  }
  const bodyless = status === 204 || status === 205 || status === 304
  const reply: Reply = {
    ...(status !== undefined && { status }),
    ...(Header !== undefined && Header !== null && { headers: Header }),
    ...(typeof Body === 'string' && Body !== '' && !bodyless && { body: Body }),
  }
  return Object.keys(reply).length === 0 ? undefined : reply
}

/** The failure that a client is told of. tusd answers 400 where the hook does not say. */
export function refusal({ HTTPResponse }: Answer, message: string): TusError {
  const { StatusCode, Body, Header } = HTTPResponse ?? {}
  const status = statusOf(StatusCode)
  return new TusError('rejected', message, {
    status: status !== undefined && status >= 400 && status <= 599 ? status : 400,
    ...(Header !== undefined && Header !== null && { headers: sendable(Header) }),
    ...(typeof Body === 'string' && Body !== '' && { body: Body }),
  })
}

/** Go's zero is no status. */
function statusOf(code: number | null | undefined): number | undefined {
  return code === null || code === 0 ? undefined : code
}

function sendable(headers: Record<string, string>): Record<string, string> {
  try {
    return Object.fromEntries(new Headers(headers))
  } catch (error) {
    throw new HookError('it answered a header that cannot be sent', { cause: error })
  }
}

const names = [
  'HTTPResponse',
  'StatusCode',
  'Body',
  'Header',
  'RejectUpload',
  'RejectTermination',
  'ChangeFileInfo',
  'ID',
  'MetaData',
  'Storage',
  'StopUpload',
]

/** Go does not mind how names are spelled: `statusCode`, `rejectupload`. Keys of headers and metadata stay. */
function spelled(value: unknown, depth = 0): unknown {
  if (depth > 1 || typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).map(([key, inner]): [string, unknown] => {
    const name = names.find((each) => each.toLowerCase() === key.toLowerCase()) ?? key
    return [name, spelled(inner, depth + 1)]
  })
  return Object.fromEntries(entries)
}

function excerpt(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text)
}
