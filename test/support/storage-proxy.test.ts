import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request as openRequest, type IncomingHttpHeaders } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { azure, type Dialect, gcs, s3 } from './storage-dialects.ts'
import { type Planned, randomFaults } from './storage-faults.ts'
import { startStorageProxy, type StorageProxy } from './storage-proxy.ts'

const MiB = 1024 * 1024

interface Heard {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** Bytes of the body; null where it broke off. */
  body: number | null
  /** Resolves when the connection or the answer has come to its end. */
  readonly over: Promise<unknown>
}

/** A storage that answers what it is told to (null: not at all), and remembers what it heard. */
async function startStorage(t: TestContext, answer: () => string | Buffer | null = () => 'fine') {
  const heard: Heard[] = []
  const server = createServer((req, res) => {
    const entry: Heard = {
      method: req.method ?? '',
      url: req.url ?? '',
      headers: req.headers,
      body: null,
      over: once(res, 'close'),
    }
    heard.push(entry)
    let bytes = 0
    req.on('data', (chunk: Buffer) => (bytes += chunk.length))
    req.on('error', () => undefined)
    req.on('end', () => {
      entry.body = bytes
      const body = answer()
      if (body === null) return
      res.writeHead(200, { 'Content-Type': 'text/plain', ETag: '"a"', 'Content-Length': Buffer.byteLength(body) })
      res.end(req.method === 'HEAD' ? undefined : body)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { heard, port: (server.address() as AddressInfo).port }
}

async function setUp(
  t: TestContext,
  faults: readonly Planned[],
  answer?: () => string | Buffer | null,
  dialect: Dialect = s3,
) {
  const storage = await startStorage(t, answer)
  const proxy = await startStorageProxy(storage.port, { dialect, faults })
  t.after(() => proxy.close())
  return { heard: storage.heard, proxy }
}

const put = (proxy: StorageProxy, bytes = 10) =>
  fetch(`${proxy.origin}/bucket/key`, { method: 'PUT', body: Buffer.alloc(bytes) })

void describe('a storage proxy', () => {
  void test('a request passes with its Host and headers, and its answer comes back', async (t) => {
    const { heard, proxy } = await setUp(t, [])
    const headers = { 'X-Amz-Date': 'now', 'If-None-Match': '*' }
    const answer = await fetch(`${proxy.origin}//bucket/a%2Fb%20c?x=%2B`, { method: 'PUT', headers, body: 'abc' })
    assert.equal(await answer.text(), 'fine')
    assert.equal(answer.headers.get('etag'), '"a"')
    assert.equal(heard.length, 1)
    assert.equal(heard[0]?.url, '//bucket/a%2Fb%20c?x=%2B')
    assert.equal(heard[0].headers.host, `127.0.0.1:${proxy.port}`)
    assert.equal(heard[0].headers['if-none-match'], '*')
    assert.equal(heard[0].headers['x-amz-date'], 'now')
    assert.equal(heard[0].headers['content-length'], '3')
  })

  void test('requests are counted by kind, and bytes each way', async (t) => {
    const { proxy } = await setUp(t, [])
    await put(proxy, 3 * MiB)
    await (await fetch(`${proxy.origin}/bucket/key`)).text()
    await (await fetch(`${proxy.origin}/bucket/key`)).text()
    await fetch(`${proxy.origin}/bucket/key`, { method: 'HEAD' })
    assert.deepEqual(proxy.counts, { PutObject: 1, GetObject: 2, HeadObject: 1 })
    assert.deepEqual(proxy.bytes, { sent: 3 * MiB, received: 12 })
    assert.deepEqual(proxy.requests[0], {
      kind: 'PutObject',
      method: 'PUT',
      target: '/bucket/key',
      status: 200,
      fault: null,
    })
    proxy.reset()
    assert.deepEqual([proxy.counts, proxy.bytes, proxy.requests], [{}, { sent: 0, received: 0 }, []])
  })

  void test('an answer to a request of which the storage reads no body: it comes back, and so does the next', async (t) => {
    const storage = createTcpServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => {
        socket.pause()
        socket.write('HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone')
      })
    }).listen(0, '127.0.0.1')
    await once(storage, 'listening')
    const { port } = storage.address() as AddressInfo
    const proxy = await startStorageProxy(port, { dialect: s3 })
    t.after(async () => {
      await proxy.close()
      storage.close()
    })
    for (let n = 0; n < 3; n++) {
      const answer = await put(proxy, 64 * MiB)
      assert.deepEqual([answer.status, await answer.text()], [404, 'none'])
    }
  })

  void test('a large body in many chunks and a large answer arrive whole', async (t) => {
    const { heard, proxy } = await setUp(t, [], () => Buffer.alloc(20 * MiB, 7))
    let left = 500
    const body = new ReadableStream({
      pull: (controller) => (left-- > 0 ? controller.enqueue(Buffer.alloc(30_000, 1)) : controller.close()),
    })
    const init = { method: 'PUT', body, duplex: 'half' } as const
    const answer = await fetch(`${proxy.origin}/bucket/key`, init)
    assert.equal((await answer.arrayBuffer()).byteLength, 20 * MiB)
    assert.equal(heard[0]?.body, 15_000_000)
    assert.equal(heard[0].headers['transfer-encoding'], 'chunked')
  })

  void test('refuse: the storage never hears of it, and the next request passes', async (t) => {
    const { heard, proxy } = await setUp(t, [{ fault: { is: 'refuse' } }])
    await assert.rejects(put(proxy))
    assert.equal(heard.length, 0)
    assert.equal((await put(proxy)).status, 200)
    assert.deepEqual(
      proxy.requests.map(({ status, fault }) => ({ status, fault })),
      [
        { status: null, fault: 'refuse' },
        { status: 200, fault: null },
      ],
    )
  })

  void test('reset-request: the storage gets the begin of the body and never its end', async (t) => {
    const { heard, proxy } = await setUp(t, [{ fault: { is: 'reset-request', after: 0.5 } }])
    await assert.rejects(put(proxy, 4 * MiB))
    assert.equal(proxy.bytes.sent, 2 * MiB)
    assert.equal(heard[0]?.body, null)
  })

  void test('reset-answer at 0: the storage has done it, the client hears nothing', async (t) => {
    const { heard, proxy } = await setUp(t, [{ fault: { is: 'reset-answer', after: 0 } }])
    await assert.rejects(put(proxy))
    assert.equal(heard[0]?.body, 10)
  })

  void test('reset-answer in the middle: the client gets the begin of the answer and then an error', async (t) => {
    const fault = { is: 'reset-answer', after: 0.5 } as const
    const { proxy } = await setUp(t, [{ fault }], () => Buffer.alloc(MiB, 7))
    const answer = await fetch(`${proxy.origin}/bucket/key`)
    assert.equal(answer.status, 200)
    await assert.rejects(answer.arrayBuffer())
    assert.equal(proxy.bytes.received, MiB / 2)
  })

  void test('reset-answer to HEAD: there is no answer at all', async (t) => {
    const { proxy } = await setUp(t, [{ fault: { is: 'reset-answer', after: 0.5 } }])
    await assert.rejects(fetch(`${proxy.origin}/bucket/key`, { method: 'HEAD' }))
  })

  void test('status: a burst of errors in the words of each storage, then all is well', async (t) => {
    for (const [dialect, type, words] of [
      [s3, 'application/xml', /<Error><Code>SlowDown</],
      [azure, 'application/xml', /<Error><Code>ServerBusy</],
      [gcs, 'application/json', /"code":503,.*"reason":"backendError"/],
    ] as const) {
      const fault = { is: 'status', status: 503, retryAfter: 1 } as const
      const { heard, proxy } = await setUp(t, [{ fault, times: 2 }], undefined, dialect)
      for (let i = 0; i < 2; i++) {
        const answer = await put(proxy, MiB)
        assert.equal(answer.status, 503)
        assert.equal(answer.headers.get('content-type'), type)
        assert.equal(answer.headers.get('retry-after'), '1')
        assert.match(await answer.text(), words)
      }
      assert.equal(heard.length, 0)
      assert.equal((await put(proxy)).status, 200)
    }
  })

  void test('status, applied: an error for what the storage has done', async (t) => {
    const { heard, proxy } = await setUp(t, [{ fault: { is: 'status', status: 500, applied: true } }])
    assert.equal((await put(proxy)).status, 500)
    assert.equal(heard[0]?.body, 10)
  })

  void test('error-in-200: the answer is 200 with an error inside, done or not', async (t) => {
    const on = 'CompleteMultipartUpload'
    const { heard, proxy } = await setUp(t, [
      { on, fault: { is: 'error-in-200' } },
      { on, fault: { is: 'error-in-200', applied: true } },
    ])
    const complete = () => fetch(`${proxy.origin}/bucket/key?uploadId=1`, { method: 'POST', body: '<a/>' })
    assert.equal((await put(proxy)).status, 200)
    heard.length = 0
    for (const asked of [0, 1]) {
      const answer = await complete()
      assert.equal(answer.status, 200)
      assert.match(await answer.text(), /<Error><Code>InternalError</)
      assert.equal(heard.length, asked)
    }
    assert.equal(await (await complete()).text(), 'fine')
  })

  void test('stall: silence before the request, or before the answer', async (t) => {
    for (const before of ['request', 'answer'] as const) {
      const { heard, proxy } = await setUp(t, [{ fault: { is: 'stall', ms: 60_000, before } }])
      const failed = assert.rejects(put(proxy))
      while (proxy.requests.length === 0 || (before === 'answer' && heard[0]?.body !== 10)) {
        await new Promise((resolve) => setImmediate(resolve))
      }
      assert.equal(heard.length, before === 'request' ? 0 : 1)
      await proxy.close()
      await failed
    }
    const { proxy } = await setUp(t, [{ fault: { is: 'stall', ms: 50, before: 'answer' } }])
    const since = performance.now()
    assert.equal((await put(proxy)).status, 200)
    assert.ok(performance.now() - since >= 49)
  })

  void test('cut-listing: a sound answer with half a list', async (t) => {
    const listing = `<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>`
    const { proxy } = await setUp(t, [{ fault: { is: 'cut-listing' } }], () => listing)
    const answer = await fetch(`${proxy.origin}/bucket?list-type=2`)
    assert.equal(answer.status, 200)
    assert.equal(await answer.text(), listing.slice(0, listing.length / 2))
  })

  void test('short-listing: half of the entries, and it says that these are all', async (t) => {
    const entries = (name: string, list: readonly number[]) =>
      list.map((n) => `<${name}><K>${n}</K></${name}>`).join('')
    for (const [dialect, path, before, after] of [
      [
        s3,
        '/bucket?uploads',
        `<L><IsTruncated>true</IsTruncated>${entries('Upload', [1, 2, 3, 4])}<NextKeyMarker>4</NextKeyMarker></L>`,
        `<L><IsTruncated>false</IsTruncated>${entries('Upload', [1, 2])}</L>`,
      ],
      [
        azure,
        '/account/container?restype=container&comp=list',
        `<E><Blobs>${entries('Blob', [1, 2])}</Blobs><NextMarker>m</NextMarker></E>`,
        `<E><Blobs>${entries('Blob', [1])}</Blobs></E>`,
      ],
      [gcs, '/storage/v1/b/bucket/o', '{"kind":"k","items":[1,2],"nextPageToken":"x"}', '{"kind":"k","items":[1]}'],
    ] as const) {
      const { proxy } = await setUp(t, [{ fault: { is: 'short-listing' } }], () => before, dialect)
      assert.equal(await (await fetch(proxy.origin + path)).text(), after)
    }
  })

  void test('slow: bytes take their time', async (t) => {
    const { proxy } = await setUp(t, [{ fault: { is: 'slow', bytesPerSecond: 10 * MiB } }])
    const since = performance.now()
    assert.equal((await put(proxy, MiB)).status, 200)
    assert.ok(performance.now() - since >= 95)
  })

  void test('a fault is for requests of its kind, after as many as were to pass', async (t) => {
    const { proxy } = await setUp(t, [{ on: 'HeadObject', skip: 1, fault: { is: 'refuse' } }])
    const head = () => fetch(`${proxy.origin}/bucket/key`, { method: 'HEAD' })
    assert.equal((await head()).status, 200)
    assert.equal((await put(proxy)).status, 200)
    await assert.rejects(head())
    assert.equal((await head()).status, 200)
  })

  void test('a client that goes away takes its request to the storage along', async (t) => {
    const { heard, proxy } = await setUp(t, [])
    const req = openRequest({
      port: proxy.port,
      method: 'PUT',
      path: '/bucket/key',
      headers: { 'Content-Length': 100 },
    })
    req.on('error', () => undefined)
    req.write('abc')
    while (heard.length === 0) await new Promise((resolve) => setImmediate(resolve))
    req.destroy()
    // A next request shows that the proxy lives on.
    assert.equal((await put(proxy)).status, 200)
    assert.equal(heard[0]?.body, null)
  })

  void test('a client that goes away while it waits for the answer: the storage is not left waiting', async (t) => {
    const { heard, proxy } = await setUp(t, [], () => null)
    const leaving = new AbortController()
    const failed = assert.rejects(fetch(`${proxy.origin}/bucket/key`, { signal: leaving.signal }))
    while (heard[0]?.body !== 0) await new Promise((resolve) => setImmediate(resolve))
    leaving.abort()
    await failed
    await heard[0].over
  })

  void test('a storage that is down resets the client, and comes back unnoticed', async (t) => {
    const { port } = await startStorage(t)
    const down = createServer().listen(0, '127.0.0.1')
    await once(down, 'listening')
    const { port: free } = down.address() as AddressInfo
    down.close()
    await once(down, 'close')
    const proxy = await startStorageProxy(free, { dialect: s3 })
    t.after(() => proxy.close())
    await assert.rejects(put(proxy))
    const other = await startStorageProxy(`http://127.0.0.1:${port}/account`, { dialect: s3 })
    t.after(() => other.close())
    assert.equal((await put(other)).status, 200)
  })

  void test('faults by chance: the same for the same seed, at about the rate, until the total', () => {
    const draw = (seed: number, total?: number) => {
      const next = randomFaults(s3, { seed, rate: 0.2, burst: 1, ...(total === undefined ? {} : { total }) })
      return Array.from({ length: 1000 }, () => JSON.stringify(next('UploadPart', true)))
    }
    assert.deepEqual(draw(1), draw(1))
    assert.notDeepEqual(draw(1), draw(2))
    const count = (faults: readonly string[]) => faults.filter((fault) => fault !== 'null').length
    assert.ok(count(draw(1)) > 150 && count(draw(1)) < 250, `${count(draw(1))} of 1000`)
    assert.equal(count(draw(1, 7)), 7)
    // An UploadPart has no listing to cut and no early 200.
    assert.ok(!draw(1).some((fault) => fault.includes('listing') || fault.includes('in-200')))
  })

  void test('under faults by chance every request ends, well or not', async (t) => {
    const { proxy } = await setUp(t, [])
    proxy.planRandom({ seed: 5, rate: 0.5, stallMs: 5 })
    const ends = await Promise.allSettled(Array.from({ length: 200 }, () => put(proxy, 50_000).then((a) => a.text())))
    assert.equal(proxy.requests.length, 200)
    assert.ok(ends.some(({ status }) => status === 'rejected') && ends.some(({ status }) => status === 'fulfilled'))
    proxy.planRandom(null)
    assert.equal((await put(proxy)).status, 200)
  })
})

void describe('what a request to a storage is', () => {
  const tell = (dialect: Dialect, line: string, headers: Record<string, string> = {}) => {
    const [method = '', target = ''] = line.split(' ')
    return dialect.classify({ method, url: new URL(`http://storage${target}`), headers })
  }
  const copy = { 'x-amz-copy-source': '/b/k', 'x-ms-copy-source': 'http://b/k' }

  void test('S3', () => {
    const kinds: readonly (readonly [string, string, Record<string, string>?])[] = [
      ['GET /b/k', 'GetObject'],
      ['HEAD /b/k', 'HeadObject'],
      ['PUT /b/k', 'PutObject'],
      ['PUT /b/k', 'CopyObject', copy],
      ['DELETE /b/k', 'DeleteObject'],
      ['GET /b?list-type=2&prefix=x', 'ListObjects'],
      ['GET /b/?list-type=2', 'ListObjects'],
      ['GET /b?uploads', 'ListMultipartUploads'],
      ['GET /b/?uploads=&prefix=x', 'ListMultipartUploads'],
      ['POST /b/k?uploads', 'CreateMultipartUpload'],
      ['PUT /b/k?partNumber=1&uploadId=u', 'UploadPart'],
      ['PUT /b/k?partNumber=1&uploadId=u', 'UploadPartCopy', copy],
      ['GET /b/k?uploadId=u', 'ListParts'],
      ['POST /b/k?uploadId=u', 'CompleteMultipartUpload'],
      ['DELETE /b/k?uploadId=u', 'AbortMultipartUpload'],
      ['POST /b?delete', 'DeleteObjects'],
      ['HEAD /b', 'HeadBucket'],
      ['PUT /b', 'CreateBucket'],
    ]
    for (const [line, kind, headers] of kinds) assert.equal(tell(s3, line, headers), kind, line)
  })

  void test('Azure', () => {
    const kinds: readonly (readonly [string, string, Record<string, string>?])[] = [
      ['GET /a/c/k', 'GetBlob'],
      ['HEAD /a/c/k', 'GetBlobProperties'],
      ['PUT /a/c/k', 'PutBlob'],
      ['PUT /a/c/k', 'CopyBlob', copy],
      ['PUT /a/c/k?comp=block&blockid=x', 'PutBlock'],
      ['PUT /a/c/k?comp=block&blockid=x', 'PutBlockFromURL', copy],
      ['PUT /a/c/k?comp=blocklist', 'PutBlockList'],
      ['GET /a/c/k?comp=blocklist&blocklisttype=all', 'GetBlockList'],
      ['PUT /a/c/k?comp=properties', 'SetBlobProperties'],
      ['DELETE /a/c/k', 'DeleteBlob'],
      ['GET /a/c?restype=container&comp=list', 'ListBlobs'],
      ['PUT /a/c?restype=container', 'CreateContainer'],
      ['HEAD /a/c?restype=container', 'GetContainerProperties'],
    ]
    for (const [line, kind, headers] of kinds) assert.equal(tell(azure, line, headers), kind, line)
  })

  void test('Google Cloud Storage', () => {
    const kinds: readonly (readonly [string, string])[] = [
      ['GET /storage/v1/b/b/o/a%2Fk?alt=media', 'GetObject'],
      ['GET /download/storage/v1/b/b/o/k?alt=media', 'GetObject'],
      ['GET /storage/v1/b/b/o/k', 'GetMetadata'],
      ['GET /storage/v1/b/b/o?prefix=x', 'ListObjects'],
      ['GET /storage/v1/b/b', 'GetBucket'],
      ['POST /storage/v1/b?project=p', 'CreateBucket'],
      ['POST /upload/storage/v1/b/b/o?uploadType=multipart', 'InsertObject'],
      ['POST /upload/storage/v1/b/b/o?uploadType=resumable', 'StartResumable'],
      ['PUT /upload/storage/v1/b/b/o?uploadType=resumable&upload_id=1', 'UploadChunk'],
      ['POST /storage/v1/b/b/o/k/compose', 'ComposeObject'],
      ['POST /storage/v1/b/b/o/k/rewriteTo/b/b/o/l', 'RewriteObject'],
      ['PATCH /storage/v1/b/b/o/k', 'UpdateMetadata'],
      ['DELETE /storage/v1/b/b/o/k', 'DeleteObject'],
    ]
    for (const [line, kind] of kinds) assert.equal(tell(gcs, line), kind, line)
  })
})
