/** Answers as Go reads them: null is the value that a field has when it is not there. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../support/server.ts'
import { all, head, metadata, octets, patch, post, remove } from './client.ts'
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
  assert.deepEqual(
    receiver.deliveries.map(({ hook }) => hook.Type).filter((type) => type !== 'post-receive'),
    ['pre-create', 'post-create', 'pre-finish', 'post-finish', 'pre-terminate', 'post-terminate'],
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
