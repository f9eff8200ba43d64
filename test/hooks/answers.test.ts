/** Answers as Go reads them, null among them, and places that are asked for. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startAzurite } from '../servers/azurite.ts'
import { startServer } from '../support/server.ts'
import { all, head, idOf, metadata, octets, patch, post, remove } from './client.ts'
import { type Say, startReceiver } from './receiver.ts'

test('every hook answers null: the upload goes on to its end', async () => {
  await using receiver = await startReceiver(() => ({ raw: ' null\n', type: 'application/json' }))
  await using server = await startServer({ env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: all } })
  const headers = { ...octets, 'Upload-Length': '10' }
  const answer = await post(server.url, headers, 'hello')
  const location = answer.headers.get('location') ?? ''
  assert.deepEqual([answer.status, answer.headers.get('upload-offset')], [201, '5'])
  assert.equal((await patch(location, 5, 'world')).status, 204)
  assert.equal((await remove(location)).status, 204)
  await receiver.until(() => receiver.of('post-terminate').length === 1)
  // What is kept is delivered beside what is asked, each in its own order.
  const types = receiver.deliveries.map(({ hook }) => hook.Type)
  assert.deepEqual(
    types.filter((type) => type.startsWith('pre-')),
    ['pre-create', 'pre-finish', 'pre-terminate'],
  )
  assert.deepEqual(
    types.filter((type) => type.startsWith('post-') && type !== 'post-receive'),
    ['post-create', 'post-finish', 'post-terminate'],
  )
})

test('fields that are null are as none, and among metadata and headers the empty text', async () => {
  const nothing = { HTTPResponse: null, RejectUpload: null, RejectTermination: null, ChangeFileInfo: null }
  const answers: Say[] = [
    { ...nothing, StopUpload: null },
    {
      ChangeFileInfo: { ID: null, MetaData: { a: null, b: 'c' }, Storage: null },
      HTTPResponse: { StatusCode: null, Body: null, Header: { 'X-Empty': null } },
    },
    { ChangeFileInfo: { MetaData: null }, HTTPResponse: { Header: null } },
  ]
  await using receiver = await startReceiver(() => answers.shift() ?? {})
  await using server = await startServer({
    env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: 'pre-create' },
  })
  const sent = { 'Upload-Length': '5', 'Upload-Metadata': metadata({ own: 'x' }) }
  const seen: unknown[] = []
  for (let i = 0; i < 3; i++) {
    const answer = await post(server.url, sent)
    const shown = await head(answer.headers.get('location') ?? '')
    seen.push([answer.status, answer.headers.get('x-empty'), shown.headers.get('upload-metadata')])
  }
  assert.deepEqual(seen, [
    [201, null, sent['Upload-Metadata']],
    [201, '', `a,${metadata({ b: 'c' })}`],
    [201, null, sent['Upload-Metadata']],
  ])
})

test('files, ChangeFileInfo.Storage: the path of the id is taken, any other one is a 500, said in the log', async () => {
  let place: Record<string, string> = {}
  await using receiver = await startReceiver(({ Type }) =>
    Type === 'pre-create' ? { ChangeFileInfo: { ID: `team/${place['id']}`, Storage: { ...place, id: '' } } } : {},
  )
  await using server = await startServer({ env: { FILELOFT_HOOKS_URL: receiver.url } })
  const create = async (next: typeof place) => {
    place = next
    return (await post(server.url, { 'Upload-Length': '5' })).status
  }
  const absolute = join(server.dataDir, 'team/c')
  assert.equal(await create({ id: 'a', Path: 'team/a' }), 201)
  assert.equal(await create({ id: 'b', Path: './team/x/../b' }), 201)
  assert.equal(await create({ id: 'c', Path: absolute }), 201)
  assert.equal(await create({ id: 'd', Type: 'filestore', InfoPath: '/elsewhere' }), 201, 'tusd heeds Path alone')
  for (const id of ['a', 'b', 'c', 'd']) assert.ok(existsSync(join(server.dataDir, 'team', id)), id)
  for (const Path of ['elsewhere', 'team/e.bin', '../team/e', '/tmp/e']) {
    assert.equal(await create({ id: 'e', Path }), 500, Path)
    await server.logged(({ err }) => /ChangeFileInfo\.Storage\.Path, which is always/.test(JSON.stringify(err ?? '')))
  }
  assert.equal(existsSync(join(server.dataDir, 'team', 'e')), false)
})

test('object storage, ChangeFileInfo: the segments of the id are a prefix; Storage is passed over with a warning, as tusd does', async (t) => {
  await using azurite = await startAzurite()
  if (azurite === null) return t.skip('Azurite is not installed')
  const Storage = { Bucket: 'other', Key: 'elsewhere' }
  await using receiver = await startReceiver(({ Type }) =>
    Type === 'pre-create' ? { ChangeFileInfo: { ID: 'team/blue/a', Storage } } : {},
  )
  await using server = await startServer({
    env: {
      FILELOFT_HOOKS_URL: receiver.url,
      FILELOFT_AZURE_CONTAINER: await azurite.newContainer(),
      FILELOFT_AZURE_CONNECTION_STRING: azurite.connectionString,
      FILELOFT_DATA_DIR: '',
    },
  })
  const answer = await post(server.url, { 'Upload-Length': '5' })
  assert.equal(answer.status, 201)
  const { storage } = await server.logged(({ msg }) => String(msg).startsWith('ChangeFileInfo.Storage is passed over'))
  assert.deepEqual(storage, Storage)
  await receiver.until(() => receiver.of('post-create').length === 1)
  assert.equal(idOf(answer.headers.get('location') ?? ''), 'team/blue/a')
  const { Key = '' } = receiver.of('post-create')[0]!.hook.Event.Upload.Storage ?? {}
  assert.equal(Key, 'team/blue/a')
})
