/** Events that are kept: none is lost by a crash, each upload's come in order, and servers share the work. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { nameOf, type StoredEvent } from '../../src/node/hooks/outbox.ts'
import { runCli } from '../cli-support.ts'
import { patchHead, rawClient } from '../node-support.ts'
import { startServer } from '../support/server.ts'
import { all, create, head, idOf, metadata, patch, remove, upload } from './client.ts'
import { eventIds, histories, type Say, startReceiver } from './receiver.ts'

const kept = 'post-create,post-finish,post-terminate'

test('200 parallel uploads: each event once, with an id of its own, in order for each upload', async () => {
  await using receiver = await startReceiver(({ Type }) => (Type !== 'post-receive' && Math.random() < 0.05 ? 503 : {}))
  await using server = await startServer({ env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: all } })
  const ids = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const location = await create(server.url, 10, { 'Upload-Metadata': metadata({ index: String(index) }) })
      assert.equal((await patch(location, 0, 'hello')).status, 204)
      assert.equal((await patch(location, 5, 'world')).status, 204)
      if (index % 2 === 0) assert.equal((await remove(location)).status, 204)
      return idOf(location)
    }),
  )
  const mine = () => receiver.taken.filter(({ hook }) => kept.includes(hook.Type))
  await receiver.until(() => mine().length === 500)
  assert.equal(new Set(eventIds(receiver)).size, receiver.taken.length, 'an event came twice')
  const seen = histories(receiver.taken.filter(({ hook }) => hook.Type !== 'pre-create'))
  for (const [index, id] of ids.entries()) {
    const types = seen.get(id)?.filter((type) => type !== 'post-receive')
    const ending = index % 2 === 0 ? ['pre-terminate', 'post-terminate'] : []
    // The two that decide do not wait for those that only tell.
    const told = types?.filter((type) => type.startsWith('post-'))
    assert.deepEqual(told, ['post-create', 'post-finish', ...(index % 2 === 0 ? ['post-terminate'] : [])])
    assert.equal(types?.length, 3 + ending.length)
    const whole = seen.get(id) ?? []
    const lastProgress = whole.lastIndexOf('post-receive')
    assert.ok(lastProgress < whole.indexOf('pre-finish'), `progress after the end: ${whole.join()}`)
  }
  assert.equal(receiver.of('pre-create').filter(({ hook }) => hook.Event.Upload.ID === '').length >= 200, true)
})

test('kill -9 after the answer and before the delivery: the next start delivers, with the same ids', async () => {
  let answer: Say = 'nothing'
  await using receiver = await startReceiver(() => answer)
  const concatenation = { FILELOFT_ENABLE_CONCATENATION: 'true' }
  await using server = await startServer({
    env: { ...concatenation, FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: kept },
  })
  const partial = { 'Upload-Concat': 'partial' }
  const locations = await Promise.all(
    Array.from({ length: 20 }, (_, index) => upload(server.url, 'hello', index % 2 === 0 ? {} : partial)),
  )
  const gone = locations[0] ?? ''
  assert.equal((await remove(gone)).status, 204)
  await receiver.until(() => receiver.deliveries.length > 0)
  const first = receiver.deliveries[0]!.hook.EventID
  await server.stop('SIGKILL')
  // They hold what clients have sent: for nobody else to read.
  const folder = join(server.dataDir, '.hooks')
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  const [file = ''] = readdirSync(join(folder, 'waiting'))
  assert.equal(statSync(join(folder, 'waiting', file)).mode & 0o777, 0o600)

  answer = {}
  await server.restart()
  await receiver.until(() => receiver.taken.length === 41)
  const seen = histories(receiver.taken)
  for (const location of locations) {
    const ending = location === gone ? ['post-terminate'] : []
    assert.deepEqual(seen.get(idOf(location)), ['post-create', 'post-finish', ...ending])
  }
  assert.ok(eventIds(receiver).includes(first))
})

for (const [kind, headers] of [
  ['an upload', {}],
  ['a partial upload', { 'Upload-Concat': 'partial' }],
] as const) {
  test(`${kind} whose completion cannot be recorded: post-finish is sent once it could, after a kill -9 all the same`, async () => {
    let spoil = ''
    await using receiver = await startReceiver(({ Type }) => {
      // The last moment before: what can be told is not yet on record.
      if (Type === 'pre-finish' && spoil !== '') {
        renameSync(spoil, `${spoil}.away`)
        mkdirSync(spoil)
      }
      return {}
    })
    const env = {
      FILELOFT_ENABLE_CONCATENATION: 'true',
      FILELOFT_HOOKS_URL: receiver.url,
      FILELOFT_HOOKS_EVENTS: 'pre-finish,post-finish',
    }
    await using server = await startServer({ env })
    const location = await create(server.url, 5, headers)
    spoil = join(server.dataDir, `${idOf(location)}.info`)
    assert.ok((await patch(location, 0, 'hello')).status >= 500)
    rmdirSync(spoil)
    renameSync(`${spoil}.away`, spoil)
    spoil = ''
    await server.restart({ signal: 'SIGKILL' })
    assert.equal((await head(location)).status, 200)
    await receiver.until(() => receiver.of('post-finish').length > 0)
    assert.deepEqual(
      receiver.taken.map(({ hook }) => hook.Type),
      ['pre-finish', 'pre-finish', 'post-finish'],
    )
  })
}

test('what two servers on one directory have to tell of an upload arrives in order', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'fileloft-'))
  let refusals = 1
  await using receiver = await startReceiver(({ Type }) => (Type === 'post-create' && refusals-- > 0 ? 503 : {}))
  try {
    const options = { dataDir, env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: kept } }
    await using one = await startServer(options)
    await using two = await startServer(options)
    const location = await create(one.url, 5)
    await receiver.until(() => receiver.deliveries.length === 1)
    const at = new URL(location)
    assert.equal((await patch(new URL(at.pathname, two.url).href, 0, 'hello')).status, 204)
    await receiver.until(() => receiver.taken.length === 2)
    assert.deepEqual(histories(receiver.taken).get(idOf(location)), ['post-create', 'post-finish'])
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('two threads: what they have to tell of an upload comes once and in order, whichever of them served it', async () => {
  await using receiver = await startReceiver(({ Type }) => (Type !== 'pre-create' && Math.random() < 0.1 ? 503 : {}))
  const env = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: kept, FILELOFT_WORKERS: '2' }
  await using server = await startServer({ env })
  // A connection for each request, which the system gives to one thread or the other.
  const close = { Connection: 'close' }
  await receiver.down()
  const locations = await Promise.all(Array.from({ length: 40 }, () => create(server.url, 10, close)))
  const folder = join(server.dataDir, '.hooks', 'waiting')
  const owners = readdirSync(folder).map(
    (name) => (JSON.parse(readFileSync(join(folder, name), 'utf8')) as StoredEvent).owner,
  )
  assert.deepEqual([owners.length, new Set(owners).size], [40, 2])
  await receiver.up()
  await Promise.all(
    locations.map(async (location) => {
      assert.equal((await patch(location, 0, 'hello', close)).status, 204)
      assert.equal((await patch(location, 5, 'world', close)).status, 204)
      const answer = await fetch(location, { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0', ...close } })
      assert.equal(answer.status, 204)
    }),
  )
  await receiver.until(() => receiver.taken.length >= 120, 60_000)
  assert.equal((await server.stop()).code, 0)
  assert.equal(receiver.taken.length, 120)
  assert.equal(new Set(eventIds(receiver)).size, 120)
  for (const location of locations) {
    assert.deepEqual(histories(receiver.taken).get(idOf(location)), ['post-create', 'post-finish', 'post-terminate'])
  }
  assert.deepEqual(readdirSync(folder), [])
})

test('progress in one server while another one has not told of the creation yet: told after that only', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'fileloft-'))
  let isUp = false
  await using receiver = await startReceiver(({ Type }) => (Type === 'post-create' && !isUp ? 503 : {}))
  try {
    const events = 'post-create,post-receive'
    const options = { dataDir, env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: events } }
    await using one = await startServer(options)
    await using two = await startServer(options)
    const location = await create(one.url, 1_000_000)
    await receiver.until(() => receiver.deliveries.length === 1)
    using client = await rawClient(two.port)
    client.socket.write(patchHead(location, 1_000_000))
    const timer = setInterval(() => client.socket.write('x'.repeat(100)), 50)
    try {
      // Tried again some seconds later: progress enough, had it been told.
      await receiver.until(() => receiver.of('post-create').length === 3)
      isUp = true
      await receiver.until(() => receiver.of('post-receive').length > 0)
    } finally {
      clearInterval(timer)
    }
    assert.deepEqual(
      receiver.taken.slice(0, 2).map(({ hook }) => hook.Type),
      ['post-create', 'post-receive'],
    )
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('uploads that go on right after a crash and a restart: their events arrive in order', async () => {
  await using receiver = await startReceiver()
  const env = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: kept }
  await using server = await startServer({ env })
  await receiver.down()
  const locations = await Promise.all(Array.from({ length: 60 }, () => create(server.url, 5)))
  await server.restart({ signal: 'SIGKILL' })
  await receiver.up()
  await Promise.all(
    locations.map(async (location) => {
      const answer = await patch(new URL(new URL(location).pathname, server.url).href, 0, 'hello')
      assert.equal(answer.status, 204)
    }),
  )
  await receiver.until(() => receiver.taken.length >= 120, 45_000)
  for (const location of locations) {
    assert.deepEqual([...new Set(histories(receiver.taken).get(idOf(location)))], ['post-create', 'post-finish'])
  }
})

test('a server that starts leaves alone what another one is just sending', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'fileloft-'))
  await using receiver = await startReceiver(() => 'nothing')
  try {
    const env = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: kept, FILELOFT_LOG: 'debug' }
    await using one = await startServer({ dataDir, env })
    await upload(one.url, 'hello')
    await receiver.until(() => receiver.deliveries.length === 1)
    await using two = await startServer({ dataDir, env })
    await two.logged(({ msg, events }) => msg === 'outbox of hooks looked at' && events === 2)
    // What it would have taken over, it would have begun to send before this.
    await upload(two.url, 'hello')
    await receiver.until(() => receiver.deliveries.length === 2)
    assert.equal(new Set(receiver.deliveries.map(({ hook }) => hook.EventID)).size, 2)
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('an event that a crash has left before what it tells of happened is sent only if it did', async () => {
  await using receiver = await startReceiver()
  await using server = await startServer()
  const done = await upload(server.url, 'hello')
  const half = await create(server.url, 5)
  const stays = await create(server.url, 5)
  await server.stop('SIGKILL')
  const leave = (type: StoredEvent['type'], pending: StoredEvent['pending'], id: string, createdAt: number) => {
    const eventId = `${type}_${id}`
    const event: StoredEvent = {
      fileloft: 1,
      eventId,
      type,
      uploadId: id,
      createdAt,
      at: Date.now(),
      pending,
      owner: crypto.randomUUID(),
      leaseUntil: Date.now() + 60_000,
      attempts: 0,
      nextAt: Date.now() + 30_000,
      error: null,
      headers: {},
      body: JSON.stringify({ Type: type, EventID: eventId, Event: { Upload: { ID: id } } }),
    }
    mkdirSync(join(server.dataDir, '.hooks/waiting'), { recursive: true })
    writeFileSync(join(server.dataDir, '.hooks/waiting', nameOf(event)), JSON.stringify(event))
  }
  const createdAt = (location: string) =>
    (JSON.parse(readFileSync(join(server.dataDir, `${idOf(location)}.info`), 'utf8')) as { createdAt: number })
      .createdAt
  leave('post-finish', 'finish', idOf(done), createdAt(done))
  leave('post-finish', 'finish', idOf(half), createdAt(half))
  leave('post-terminate', 'terminate', idOf(stays), createdAt(stays))
  leave('post-terminate', 'terminate', 'gone', 1)
  await server.restart({ env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_LOG: 'debug' } })
  await receiver.until(() => receiver.taken.length === 2)
  assert.deepEqual(eventIds(receiver).sort(), [`post-finish_${idOf(done)}`, 'post-terminate_gone'].sort())
  // What did not happen is forgotten; what still may is kept.
  const left = () => readdirSync(join(server.dataDir, '.hooks/waiting'))
  while (left().length > 1) await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(left()[0]?.startsWith(idOf(half)))
  assert.equal((await head(stays)).status, 200)
})

test('what a sweep removes is told as terminated, also by the command', async () => {
  await using receiver = await startReceiver()
  await using server = await startServer({
    env: {
      FILELOFT_HOOKS_URL: receiver.url,
      FILELOFT_ENABLE_EXPIRATION: 'true',
      FILELOFT_EXPIRATION_TTL: '1',
    },
  })
  const location = await create(server.url, 5)
  await receiver.until(() => receiver.of('post-create').length === 1)
  await server.stop()
  const env = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_DATA_DIR: server.dataDir }
  const expiring = { ...env, FILELOFT_ENABLE_EXPIRATION: 'true', FILELOFT_EXPIRATION_TTL: '1' }
  let stdout = ''
  while (!stdout.startsWith('removed 1')) ({ stdout } = await runCli(['sweep'], expiring))
  await server.restart()
  await receiver.until(() => receiver.of('post-terminate').length === 1)
  const { Upload, HTTPRequest } = receiver.of('post-terminate')[0]!.hook.Event
  assert.deepEqual([Upload.ID, HTTPRequest.Method], [idOf(location), ''])
})
