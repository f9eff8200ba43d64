/**
 * A client that never gives up, as tus-js-client does it: after anything that went wrong it waits, asks for the offset,
 * and goes on there. It holds the server to what a client may rely on meanwhile.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Answer, type Exchange, type Headers, locationOf, octets, offsetIn, send, type Sending } from './client.ts'
import type { Random } from './random.ts'

/** What a client goes through. */
export interface Trip {
  readonly server: { readonly origin: string; readonly url: string }
  /** When it must be over, on the clock of `performance`. */
  readonly deadline: number
  /** What was asked and answered, for messages. */
  readonly log: string[]
  /** Answers by status, 0 where there was none. */
  readonly statuses: Map<number, number>
}

/** How a client sends an upload. */
export interface Habits {
  /** Most bytes of a request; Infinity = all that is left. */
  readonly chunk: number
  readonly checksum: boolean
  readonly deferred: boolean
  /** Whether the first bytes come with the POST. */
  readonly eager: boolean
  /** Whether bodies are sent without Content-Length. */
  readonly chunked: boolean
  /** After so many bytes the client loses interest. */
  readonly enough: number
  /** Share of the PATCHes that break off, fall silent, or (checksummed) are damaged on the way. */
  readonly rude: number
  /** Further ones of the POST. */
  readonly headers: Headers
}

/** What a storage that fails may make of a request: clients wait and try again after each of these, and after nothing. */
const passing = [423, 503]

/** An upload on its way. */
export interface Uploading {
  /** Known as soon as the upload has been created. */
  readonly path: Promise<string>
  /** Resolves once the server has told that it is complete, or that it has enough. */
  readonly complete: Promise<void>
}

/** Uploads all of it. */
export function upload(trip: Trip, source: Buffer, habits: Habits, random: Random): Uploading {
  const created = create(trip, source, habits, random)
  const complete = created.then((answer) => fill(trip, source, habits, random, answer))
  const path = created.then(({ path }) => path)
  // Whoever awaits them hears of it.
  path.catch(() => undefined)
  complete.catch(() => undefined)
  return { path, complete }
}

async function fill(
  trip: Trip,
  source: Buffer,
  habits: Habits,
  random: Random,
  { path, offset }: Created,
): Promise<void> {
  /** Most bytes that were confirmed; what HEAD tells is never less. */
  let told = offset ?? 0
  /** Bytes sent so far; what HEAD tells is never more. */
  let sent = habits.eager ? source.length : 0
  /** The only offsets that may stand now; null = any. */
  let bounds: readonly number[] | null = null
  let isLengthKnown = !habits.deferred
  let next = offset
  for (;;) {
    if (next === null) {
      const state = await head(trip, path)
      const from = offsetIn(state)
      assert.ok(from >= told, `HEAD ${path} told ${from}, ${told} had been told before`)
      assert.ok(from <= sent, `HEAD ${path} told ${from}, only ${sent} bytes have been sent`)
      assert.ok(bounds?.includes(from) ?? true, `HEAD ${path} told ${from}, not ${bounds?.join(' or ')}`)
      told = next = from
      const length = state.headers['upload-length']
      assert.ok(length === String(source.length) || (length === undefined && habits.deferred), `length ${length}`)
      if (length !== undefined) isLengthKnown = true
      else assert.ok(!isLengthKnown, `${path} has forgotten its length`)
    }
    if (next >= habits.enough || (next === source.length && isLengthKnown)) return

    const from: number = next
    const to = Math.min(from + habits.chunk, source.length)
    const tellsLength = !isLengthKnown && to === source.length && (from === to || random.chance(0.5))
    const body = source.subarray(from, to)
    const isRude = from < to && random.chance(habits.rude)
    const isDamaged = isRude && habits.checksum && random.chance(0.3)
    const headers: Headers = {
      'Content-Type': octets,
      'Upload-Offset': String(from),
      ...(tellsLength && { 'Upload-Length': String(source.length) }),
      ...(habits.checksum && { 'Upload-Checksum': sha1(isDamaged ? body.subarray(1) : body) }),
    }
    sent = Math.max(sent, to)
    bounds = isDamaged ? [from] : habits.checksum ? [from, to] : null
    const sending: Sending = { headers, body, chunked: habits.chunked }
    const what = `PATCH ${path} ${from}-${to}${tellsLength ? ' (length)' : ''}`
    const answer = await (isRude && !isDamaged
      ? breakOff(trip, what, path, sending, random)
      : ask(trip, what, send(trip.server.origin + path, 'PATCH', sending)))
    if (answer?.status === 204) {
      assert.ok(!isDamaged, `${what} was answered 204 although its checksum was wrong`)
      assert.equal(offsetIn(answer), to, `${what} was answered with the offset ${offsetIn(answer)}`)
      told = to
      bounds = null
      isLengthKnown ||= tellsLength
      next = random.chance(0.2) ? null : to
    } else {
      // 409: what somebody did whose connection broke came into effect after the HEAD.
      expect(what, answer, [409, ...passing, ...(isDamaged ? [460] : [])])
      next = null
      await pause(trip, random)
    }
  }
}

/** A final upload of these; resolves to its path, once it is complete. */
export async function concatenate(
  trip: Trip,
  paths: readonly string[],
  random: Random,
  partials: Promise<unknown>,
): Promise<string> {
  const headers = { 'Upload-Concat': `final;${paths.map((path) => trip.server.origin + path).join(' ')}` }
  const answer = await insist(trip, 'POST final', [201], random, () => send(trip.server.url, 'POST', { headers }))
  const path = locationOf(answer)
  await partials
  for (;;) {
    const { headers: state } = await head(trip, path)
    if (state['upload-offset'] !== undefined) {
      assert.equal(state['upload-offset'], state['upload-length'], `HEAD ${path} told a part of a final upload`)
      return path
    }
    await pause(trip, random)
  }
}

/** DELETEs until it is gone. */
export async function terminate(trip: Trip, path: string, random: Random): Promise<void> {
  let attempts = 0
  await insist(trip, `DELETE ${path}`, [204, 404], random, () => {
    attempts++
    return send(trip.server.origin + path, 'DELETE')
  }).then(({ status }) => assert.ok(status === 204 || attempts > 1, `DELETE ${path} found nothing`))
}

interface Created {
  readonly path: string
  /** Null where it has to be asked for. */
  readonly offset: number | null
}

async function create(
  trip: Trip,
  source: Buffer,
  { deferred, eager, checksum, chunked, headers }: Habits,
  random: Random,
): Promise<Created> {
  const all = {
    ...headers,
    ...(deferred ? { 'Upload-Defer-Length': '1' } : { 'Upload-Length': String(source.length) }),
    ...(eager && { 'Content-Type': octets }),
    ...(eager && checksum && { 'Upload-Checksum': sha1(source) }),
  }
  const sending: Sending = { headers: all, ...(eager && { body: source, chunked }) }
  const answer = await insist(trip, `POST ${source.length}`, [201], random, () =>
    send(trip.server.url, 'POST', sending),
  )
  const offset = answer.headers['upload-offset']
  // What came with the body is told, or asked for.
  return { path: locationOf(answer), offset: offset === undefined ? (eager ? null : 0) : Number(offset) }
}

/** The upload's state, as soon as the server can tell it. */
async function head(trip: Trip, path: string): Promise<Answer> {
  return insist(trip, `HEAD ${path}`, [200], null, () => send(trip.server.origin + path, 'HEAD'))
}

/** Asks until the answer has one of these statuses. */
async function insist(
  trip: Trip,
  what: string,
  statuses: readonly number[],
  random: Random | null,
  begin: () => Exchange,
): Promise<Answer> {
  for (;;) {
    const answer = await ask(trip, what, begin())
    if (answer !== null && statuses.includes(answer.status)) return answer
    expect(what, answer, passing)
    await pause(trip, random)
  }
}

/** The client's connection breaks in the middle of the body, or falls silent and is given up. */
async function breakOff(
  trip: Trip,
  what: string,
  path: string,
  sending: Sending,
  random: Random,
): Promise<Answer | null> {
  const at = random.between(0, sending.body?.length ?? 0)
  const isSilent = random.chance(0.3)
  let isCut = false
  const exchange: Exchange = send(trip.server.origin + path, 'PATCH', {
    ...sending,
    ...(isSilent && { stallAfter: at }),
    onSent(bytes) {
      if (isCut || isSilent || bytes < at) return
      isCut = true
      exchange.abort()
    },
  })
  if (isSilent) {
    // The server makes the silent one give way to this.
    void delay(random.between(5, 60)).then(() => ask(trip, `HEAD ${path}`, send(trip.server.origin + path, 'HEAD')))
    const timer = setTimeout(() => exchange.abort(), 5000)
    void exchange.answer.then(() => clearTimeout(timer))
  }
  return ask(trip, `${what} ${isSilent ? 'silent' : 'cut'} after ${at}`, exchange)
}

async function ask(trip: Trip, what: string, { answer }: Exchange): Promise<Answer | null> {
  const since = performance.now()
  assert.ok(since < trip.deadline, `It is not done in time: ${what} would be next`)
  const result = await answer
  const status = result?.status ?? 0
  trip.statuses.set(status, (trip.statuses.get(status) ?? 0) + 1)
  const said = result === null ? 'nothing' : `${status} ${result.headers['upload-offset'] ?? ''}`
  const text = status < 400 ? '' : result?.body.toString().trim()
  trip.log.push(`${since.toFixed(0)} ${what}: ${said} ${text} (${(performance.now() - since).toFixed(0)} ms)`)
  return result
}

function expect(what: string, answer: Answer | null, statuses: readonly number[]): void {
  if (answer === null || statuses.includes(answer.status)) return
  assert.fail(`${what} was answered ${answer.status} ${answer.body.toString().trim()}`)
}

async function pause(trip: Trip, random: Random | null): Promise<void> {
  assert.ok(performance.now() < trip.deadline, 'It is not done in time')
  await delay(random?.between(10, 60) ?? 25)
}

function sha1(bytes: Uint8Array): string {
  return `sha1 ${createHash('sha1').update(bytes).digest('base64')}`
}
