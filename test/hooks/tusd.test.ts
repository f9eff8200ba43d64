/** tusd itself and this server tell the same receiver of the same requests: what it is sent, and what its answers do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startProgram } from '../servers/program.ts'
import { findProgram } from '../servers/versions.ts'
import { startServer } from '../support/server.ts'
import { temporaryDirectory } from '../cli-support.ts'
import { all, idOf, metadata, octets, patch, post, remove, trickle } from './client.ts'
import { type Hook, type Receiver, type Say, startReceiver } from './receiver.ts'

/** Ids come from the receiver, so that they are the same for both. What it answers to an upload, its metadata say. */
function answers(): (hook: Hook) => Say {
  let count = 0
  return ({ Type, Event }) => {
    const { MetaData } = Event.Upload
    const has = (name: string) => MetaData[name] !== undefined
    const ready = { StatusCode: 200, Body: 'ready', Header: { 'X-Job': '7', 'X-Both': 'finish' } }
    if (Type === 'pre-create' && has('no')) {
      return { RejectUpload: true, HTTPResponse: { StatusCode: 418, Body: 'not this', Header: { 'X-Why': 'no' } } }
    }
    if (Type === 'pre-create' && has('no-words')) return { RejectUpload: true }
    if (Type === 'pre-create') {
      const made = {
        StatusCode: 202,
        Body: 'made',
        Header: { 'X-Made': '1', 'X-Both': 'create', 'Content-Type': 'a/b' },
      }
      return {
        ChangeFileInfo: { ID: `id${++count}`, MetaData: { ...MetaData, by: 'hook' } },
        ...(has('made') && { HTTPResponse: made }),
        ...(has('redirect') && { HTTPResponse: { StatusCode: 303, Body: 'see there' } }),
      }
    }
    if (Type === 'pre-finish' && has('headers')) return { HTTPResponse: { Header: { 'X-Both': 'finish' } } }
    if (Type === 'pre-finish' && has('redirect')) {
      return { HTTPResponse: { StatusCode: 302, Body: 'done', Header: { Location: 'https://example.com/done' } } }
    }
    if (Type === 'pre-finish') return { HTTPResponse: ready }
    if (Type === 'pre-terminate' && has('keep')) {
      return { RejectTermination: true, HTTPResponse: { StatusCode: 403, Body: 'stays', Header: { 'X-Why': 'keep' } } }
    }
    if (Type === 'pre-terminate' && has('keep-no-words')) return { RejectTermination: true }
    if (Type === 'post-receive' && has('stop')) {
      return { StopUpload: true, HTTPResponse: { StatusCode: 410, Body: 'enough', Header: { 'X-Why': 'stop' } } }
    }
    if (Type === 'post-receive' && has('stop-no-words')) return { StopUpload: true }
    return {}
  }
}

/** Length of the uploads whose bytes take their time. */
const slowSize = 2000

interface Step {
  readonly what: string
  readonly status: number
  readonly body: string
  readonly headers: Record<string, string>
}

/** What hooks say in these answers, beside the type of what they say. */
const told = ['x-job', 'x-why', 'x-made', 'x-both', 'upload-offset', 'location']

/** What a client does; what it was answered. */
async function act(base: string, receiver: Receiver): Promise<Step[]> {
  const steps: Step[] = []
  const note = async (what: string, answer: Response): Promise<string> => {
    const { status, headers } = answer
    const text = await answer.text()
    const words = status === 400 || status === 404 ? '(words of its own)' : text
    const names = text.startsWith('made') ? [...told, 'content-type'] : told
    const found = names.flatMap((name) => (headers.has(name) ? [[name, headers.get(name)!.replace(base, '')]] : []))
    steps.push({ what, status, body: words, headers: Object.fromEntries(found) as Record<string, string> })
    return headers.get('location') ?? ''
  }
  const came = (type: string, count: number) => receiver.until(() => receiver.of(type).length >= count)
  const received = (id: string, count: number) =>
    receiver.until(() => receiver.of('post-receive').filter(({ hook }) => hook.Event.Upload.ID === id).length >= count)
  const meta = (...names: string[]) => ({
    'Upload-Metadata': metadata(Object.fromEntries(names.map((name) => [name.replaceAll(' ', '-'), 'höhe.txt']))),
    'X-Tenant': 'a',
  })
  const five = { 'Upload-Length': '5' }

  const plain = await note('create', await post(base, { 'Upload-Length': '11', ...meta('filename', 'keep') }))
  await note('some', await patch(plain, 0, 'hello '))
  await note('the rest', await patch(plain, 6, 'world'))
  await came('post-finish', 1)
  await note('termination rejected', await remove(plain))

  await note('rejected', await post(base, { ...five, ...meta('no') }))
  await note('rejected with its bytes', await post(base, { ...five, ...octets, ...meta('no') }, 'hello'))
  await note('rejected without words', await post(base, { ...five, ...meta('no words') }))

  const deferred = await note('deferred', await post(base, { 'Upload-Defer-Length': '1', ...meta('keep no words') }))
  await note('its length', await patch(deferred, 0, 'hello', five))
  await came('post-finish', 2)
  await note('termination rejected without words', await remove(deferred))

  const gone = await note('to be removed', await post(base, five))
  await note('removed', await remove(gone))
  await came('post-terminate', 1)

  const partials: string[] = []
  for (const text of ['hello', 'world']) {
    const partial = await note('partial', await post(base, { ...five, 'Upload-Concat': 'partial' }))
    await note('partial, its bytes', await patch(partial, 0, text))
    partials.push(partial)
  }
  await came('post-finish', 4)
  const final = { 'Upload-Concat': `final;${partials.join(' ')}` }
  await note('final, rejected', await post(base, { ...final, ...meta('no') }))
  await note('final', await post(base, { ...final, ...meta('both', 'made') }))
  await came('post-finish', 5)

  const made = await note('made', await post(base, { ...five, ...meta('made', 'headers') }))
  await note('headers only', await patch(made, 0, 'hello'))
  await note('both hooks', await post(base, { ...five, ...octets, ...meta('made') }, 'hello'))
  await note('both, one of headers', await post(base, { ...five, ...octets, ...meta('made', 'headers') }, 'hello'))
  await note('the first of two', await post(base, { ...five, ...octets, ...meta('made') }, 'he'))
  const redirected = await note('redirect', await post(base, { ...five, ...meta('redirect') }))
  await note('redirect to elsewhere', await patch(redirected, 0, 'hello'))
  await note('empty', await post(base, { 'Upload-Length': '0', ...meta('made') }))
  await came('post-finish', 10)

  for (const name of ['slow', 'stop', 'stop no words']) {
    const slow = await note(name, await post(base, { 'Upload-Length': String(slowSize), ...meta(name) }))
    await came('post-create', receiver.of('pre-create').length - 4)
    using sending = trickle(slow, slowSize)
    if (name === 'slow') {
      await received(idOf(slow), 2)
      sending.finish()
    }
    await note(`${name}: answered`, await sending.answer)
    if (name !== 'slow') await note(`${name}: gone`, await patch(slow, 0, 'x'))
  }
  using sending = trickle(base, slowSize, meta('stop'))
  await note('stop: creation', await sending.answer)
  await came('post-finish', 11)
  await came('post-terminate', 4)
  return steps
}

/**
 * What came, without what differs between two runs of one server. Of progress that depends on time: what is sent
 * first for uploads that are slow enough for some.
 */
function comparable(receiver: Receiver, base: string, directory: string): unknown[] {
  const text = JSON.stringify(receiver.deliveries.map(({ hook: { Type, Event } }) => ({ Type, Event })))
    .replaceAll(directory, 'DIRECTORY')
    .replaceAll(base, 'BASE')
    .replaceAll(new URL(base).host, 'HOST')
    .replace(/"RemoteAddr":"127\.0\.0\.1:\d+"/g, '"RemoteAddr":"127.0.0.1"')
  const seen = new Set<string>()
  const isFirst = ({ Type, Event }: Hook) => {
    const { ID, Size } = Event.Upload
    if (Type !== 'post-receive') return true
    return Size === slowSize && !seen.has(ID) && seen.add(ID)
  }
  const hooks = (JSON.parse(text) as Hook[]).filter(isFirst).map(({ Type, Event }) => {
    const { Upload } = Event
    const Offset = Upload.Size === slowSize && !Type.endsWith('finish') ? 'some' : Upload.Offset
    return { Type, Event: { ...Event, Upload: { ...Upload, Offset } } }
  })
  // Those before an id is known come in the order of the requests.
  const key = ({ Type, Event }: (typeof hooks)[number]) => `${Event.Upload.ID} ${Type}`
  return hooks.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0))
}

/** Bytes of each upload that was slow, as progress told them. */
function progress(receiver: Receiver): number[][] {
  const found = new Map<string, number[]>()
  for (const { hook } of receiver.of('post-receive')) {
    const { ID, Size, Offset } = hook.Event.Upload
    if (Size === slowSize) found.set(ID, [...(found.get(ID) ?? []), Offset])
  }
  return [...found.values()]
}

test('the same requests to tusd and to this server: the same hooks, the same answers to the client', async (t) => {
  const program = findProgram('tusd')
  if (program === null) return t.skip('tusd is not installed')
  using theirFolder = temporaryDirectory()
  await using theirReceiver = await startReceiver(answers())
  await using theirs = await startProgram({
    name: 'tusd',
    command: program,
    args: ({ port }) => [
      `-host=127.0.0.1`,
      `-port=${port}`,
      `-upload-dir=${theirFolder.path}`,
      `-hooks-http=${theirReceiver.url}`,
      `-hooks-enabled-events=${all}`,
      // Ours cannot be set: at once, and then each second.
      `-progress-hooks-interval=100ms`,
    ],
    ready: { path: '/metrics' },
  })
  await using ourReceiver = await startReceiver(answers())
  await using ours = await startServer({
    env: {
      FILELOFT_HOOKS_URL: ourReceiver.url,
      FILELOFT_HOOKS_EVENTS: all,
      FILELOFT_ENABLE_CONCATENATION: 'true',
    },
  })
  const theirBase = `http://127.0.0.1:${theirs.port}/files/`
  const ourBase = `${ours.url}/`
  const expected = await act(theirBase, theirReceiver)
  assert.deepEqual(await act(ourBase, ourReceiver), expected)
  const types = new Set(theirReceiver.deliveries.map(({ hook }) => hook.Type))
  assert.deepEqual([...types].sort(), all.split(',').sort())
  const wanted = comparable(theirReceiver, theirBase, theirFolder.path)
  assert.ok(wanted.length > 50, String(wanted.length))
  assert.deepEqual(comparable(ourReceiver, ourBase, ours.dataDir), wanted)
  for (const receiver of [theirReceiver, ourReceiver]) {
    const told = progress(receiver)
    assert.equal(told.length, 4)
    for (const offsets of told) {
      assert.deepEqual(
        offsets,
        [...offsets].sort((a, b) => a - b),
      )
      assert.ok(offsets[0]! > 0 && offsets[0]! < slowSize, String(offsets))
    }
  }
})
