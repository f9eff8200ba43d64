/** `fileloft upload`: servers, and proxies before them, that answer as tus does not have it. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { listen } from '../node-support.ts'
import { layTable, type Table } from './support.ts'

let table: Table
before(async () => {
  table = await layTable()
})
after(() => table[Symbol.asyncDispose]())

type Answer = (request: IncomingMessage, response: ServerResponse) => void

const tus = { 'Tus-Resumable': '1.0.0', 'Tus-Version': '1.0.0', 'Tus-Extension': 'creation,creation-defer-length' }

/** A server that takes everything, but for what a test has it do otherwise. */
async function strangeServer(over: Readonly<Record<string, Answer>>) {
  const counts = new Map<string, number>()
  const usual: Readonly<Record<string, Answer>> = {
    OPTIONS: (_, response) => response.writeHead(204, tus).end(),
    POST: (_, response) => response.writeHead(201, { ...tus, Location: '/files/a' }).end(),
    HEAD: (_, response) => response.writeHead(200, { ...tus, 'Upload-Offset': '0', 'Upload-Length': '100001' }).end(),
    PATCH: (_, response) => response.writeHead(204, { ...tus, 'Upload-Offset': '100001' }).end(),
  }
  const server = createServer((request, response) => {
    const { method = '' } = request
    counts.set(method, (counts.get(method) ?? 0) + 1)
    request.resume().on('end', () => (over[method] ?? usual[method])?.(request, response))
  })
  const port = await listen(server)
  return {
    url: `http://127.0.0.1:${port}/files`,
    count: (method: string) => counts.get(method) ?? 0,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

const breakOff = (status: number, headers: Record<string, string>): Answer => {
  return (_, response) => {
    response.writeHead(status, { ...tus, ...headers, 'Content-Length': '100' })
    response.write('x', () => response.destroy())
  }
}

describe('answers that end it: said in words, exit code 1', () => {
  for (const [title, over, expected] of [
    ['the first answer breaks off', { OPTIONS: breakOff(200, {}) }, /cannot be reached: the connection broke\n$/],
    [
      'a URL of the upload that is none',
      { POST: (_, response) => response.writeHead(201, { ...tus, Location: 'http://[' }).end() },
      /not uploaded: the server names a URL that cannot be used: Invalid URL\n$/,
    ],
    [
      'a URL of the upload with another protocol',
      { POST: (_, response) => response.writeHead(201, { ...tus, Location: 'ftp://a.example/b' }).end() },
      /not uploaded: the server names a URL that cannot be used: Protocol "ftp:" not supported/,
    ],
    [
      'an offset beyond the file',
      { PATCH: (_, response) => response.writeHead(204, { ...tus, 'Upload-Offset': '100002' }).end() },
      /not uploaded: the server says that it has 100002 bytes, which cannot be\n$/,
    ],
    [
      'an offset below zero',
      { PATCH: (_, response) => response.writeHead(204, { ...tus, 'Upload-Offset': '-1' }).end() },
      /not uploaded: the server says that it has -1 bytes, which cannot be\n$/,
    ],
  ] satisfies [string, Record<string, Answer>, RegExp][]) {
    test(title, async () => {
      await using server = await strangeServer(over)
      const { code, stderr, urls } = await table.run(table.small.path, '--to', server.url)
      assert.deepEqual([code, urls], [1, []], stderr)
      assert.match(stderr, expected)
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
    })
  }
})

test('an answer that breaks off in mid-upload, then a whole one: uploaded', async () => {
  let isBroken = true
  const answer: Answer = (request, response) => {
    const whole: Answer = (_, to) => to.writeHead(204, { ...tus, 'Upload-Offset': '100001' }).end()
    const how = isBroken ? breakOff(500, {}) : whole
    isBroken = false
    how(request, response)
  }
  await using server = await strangeServer({ PATCH: answer })
  const { code, stderr, urls } = await table.run(table.small.path, '--to', server.url)
  assert.deepEqual([code, urls.length], [0, 1], stderr)
  assert.equal(server.count('PATCH'), 2)
})

for (const name of ['a file', 'standard input']) {
  test(`a server that takes nothing of ${name} and says that all is well: tried again with pauses, not at once`, async () => {
    const answer: Answer = (request, response) => {
      response.writeHead(204, { ...tus, 'Upload-Offset': String(request.headers['upload-offset']) }).end()
    }
    await using server = await strangeServer({ PATCH: answer })
    const { child, ended } = table.start(name === 'a file' ? table.small.path : '-', '--to', server.url)
    let stderr = ''
    child.stderr.on('data', (chunk: Buffer) => void (stderr += chunk.toString()))
    child.stdin.end('x'.repeat(1000))
    // The first attempt is repeated at once, the second one after a second.
    const { promise, resolve } = Promise.withResolvers<void>()
    child.stderr.on('data', () => stderr.includes('trying again') && resolve())
    await promise
    assert.match(stderr, /: the server takes nothing of what it is sent; trying again\n$/)
    assert.ok(server.count('PATCH') <= 2, `${server.count('PATCH')} requests`)
    child.kill('SIGINT')
    assert.equal((await ended).code, 130)
  })
}

test('an empty standard input: uploaded, though its last request has no bytes', async () => {
  const answer: Answer = (_, response) => response.writeHead(204, { ...tus, 'Upload-Offset': '0' }).end()
  await using server = await strangeServer({ PATCH: answer })
  const { child, ended } = table.start('-', '--to', server.url)
  child.stdin.end()
  const { code, stderr } = await ended
  assert.equal(code, 0, stderr)
})

test('a file that is removed when all of it is sent: uploaded', async () => {
  const path = join(table.folder, 'moved')
  await writeFile(path, 'x'.repeat(100_001))
  const answer: Answer = (_, response) => {
    rmSync(path)
    response.writeHead(204, { ...tus, 'Upload-Offset': '100001' }).end()
  }
  await using server = await strangeServer({ PATCH: answer })
  const { code, stderr, urls } = await table.run('moved', '--to', server.url)
  assert.deepEqual([code, urls.length], [0, 1], stderr)
})
