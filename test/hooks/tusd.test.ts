/** tusd itself and this server tell the same receiver of the same requests: what it is sent, and what its answers do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startProgram } from '../servers/program.ts'
import { findProgram } from '../servers/versions.ts'
import { startServer } from '../support/server.ts'
import { temporaryDirectory } from '../cli-support.ts'
import { all, metadata, patch, post, remove } from './client.ts'
import { type Hook, type Receiver, type Say, startReceiver } from './receiver.ts'

/** Ids come from the receiver, so that they are the same for both. */
function answers(): (hook: Hook) => Say {
  let count = 0
  return ({ Type, Event }) => {
    const { MetaData } = Event.Upload
    const reply = { StatusCode: 200, Body: 'ready', Header: { 'X-Job': '7' } }
    if (Type === 'pre-create' && MetaData['no'] !== undefined) {
      return { RejectUpload: true, HTTPResponse: { StatusCode: 418, Body: 'not this', Header: { 'X-Why': 'no' } } }
    }
    if (Type === 'pre-create') return { ChangeFileInfo: { ID: `id${++count}`, MetaData: { ...MetaData, by: 'hook' } } }
    if (Type === 'pre-finish') return { HTTPResponse: reply }
    if (Type === 'pre-terminate' && MetaData['keep'] !== undefined) {
      return { RejectTermination: true, HTTPResponse: { StatusCode: 403, Body: 'stays' } }
    }
    return {}
  }
}

interface Step {
  readonly status: number
  readonly body: string
  readonly job: string | null
}

/** What a client does; what it was answered. */
async function act(base: string, receiver: Receiver): Promise<Step[]> {
  const steps: Step[] = []
  const note = async (answer: Response): Promise<string> => {
    const { status, headers } = answer
    steps.push({
      status,
      body: status < 400 ? await answer.text() : '',
      job: headers.get('x-job') ?? headers.get('x-why'),
    })
    return headers.get('location') ?? ''
  }
  const told = (type: string, count: number) => receiver.until(() => receiver.of(type).length === count)
  const meta = (pairs: Record<string, string>) => ({ 'Upload-Metadata': metadata(pairs), 'X-Tenant': 'a' })

  const plain = await note(await post(base, { 'Upload-Length': '11', ...meta({ filename: 'höhe.txt', keep: '' }) }))
  await note(await patch(plain, 0, 'hello '))
  await note(await patch(plain, 6, 'world'))
  await told('post-finish', 1)
  await note(await remove(plain))

  await note(await post(base, { 'Upload-Length': '11', ...meta({ no: '' }) }))

  const deferred = await note(await post(base, { 'Upload-Defer-Length': '1' }))
  await note(await patch(deferred, 0, 'hello', { 'Upload-Length': '5' }))
  await told('post-finish', 2)
  await note(await remove(deferred))
  await told('post-terminate', 1)

  const partials: string[] = []
  for (const text of ['hello', 'world']) {
    const partial = await note(await post(base, { 'Upload-Length': '5', 'Upload-Concat': 'partial' }))
    await note(await patch(partial, 0, text))
    partials.push(partial)
  }
  await told('post-finish', 4)
  await note(await post(base, { 'Upload-Concat': `final;${partials.join(' ')}`, ...meta({ filename: 'both' }) }))
  await told('post-finish', 5)
  return steps
}

/** What came, without what differs between two runs of one server. */
function comparable(receiver: Receiver, base: string, directory: string): unknown[] {
  const text = JSON.stringify(receiver.deliveries.map(({ hook: { Type, Event } }) => ({ Type, Event })))
    .replaceAll(directory, 'DIRECTORY')
    .replaceAll(base, 'BASE')
    .replaceAll(new URL(base).host, 'HOST')
    .replace(/"RemoteAddr":"127\.0\.0\.1:\d+"/g, '"RemoteAddr":"127.0.0.1"')
  const hooks = (JSON.parse(text) as Hook[]).filter(({ Type }) => Type !== 'post-receive')
  const key = ({ Type, Event }: Hook) => `${Event.Upload.ID} ${Event.Upload.MetaData['filename'] ?? ''} ${Type}`
  return hooks.sort((a, b) => (key(a) < key(b) ? -1 : 1))
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
  const wanted = comparable(theirReceiver, theirBase, theirFolder.path)
  assert.ok(wanted.length > 20)
  assert.deepEqual(comparable(ourReceiver, ourBase, ours.dataDir), wanted)
})
