/** The S3 driver where a service answers in its own way, or not as it should. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { answer, type Asked, bytes, multipart, refuse, scripted, stored } from './s3-scripted.ts'
import { collect, failure, options } from './suite-support.ts'

suite('S3, complete', () => {
  const parts = [
    { partNumber: 1, etag: '"a&b"', size: 5 },
    { partNumber: 3, etag: 'c<d', size: 5 },
  ]
  const complete = (body: string | Response) => {
    const { bucket, asked } = scripted(() => (typeof body === 'string' ? answer(200, body) : body))
    return { outcome: bucket.complete(multipart, parts, {}, options), asked }
  }

  test('200 with the result, after white space that kept the connection alive: completed', async () => {
    const { outcome, asked } = complete(
      '  \n\n <?xml version="1.0"?><CompleteMultipartUploadResult><ETag/></CompleteMultipartUploadResult>',
    )
    assert.equal(await outcome, 'completed')
    assert.equal(asked[0]?.url, 'http://s3.test/box/p/key?uploadId=m1')
    assert.match(
      asked[0]?.body,
      /<Part><PartNumber>1<\/PartNumber><ETag>"a&amp;b"<\/ETag><\/Part><Part><PartNumber>3<\/PartNumber><ETag>c&lt;d</,
    )
  })

  test('200 with SlowDown inside: transient failure', async () => {
    const error = await failure(complete('\n<Error><Code>SlowDown</Code></Error>').outcome)
    assert.equal(`${error.code} ${error.transient}`, 'unavailable true')
  })

  test('InternalError: missing where there is no such multipart (Ceph), else a transient failure', async () => {
    const outcome = (look: () => Response, failed = refuse(500, 'InternalError')) => {
      const { bucket, asked } = scripted(({ method }) => (method === 'GET' ? look() : failed))
      return { of: bucket.complete(multipart, parts, {}, options), asked }
    }
    const { of, asked } = outcome(() => refuse(404, 'NoSuchUpload'))
    assert.equal(await of, 'missing')
    assert.equal(asked[1]?.url, 'http://s3.test/box/p/key?uploadId=m1&max-parts=1')
    assert.equal(await outcome(() => refuse(404, 'NoSuchKey')).of, 'missing')
    const found: Response[] = []
    const there = () => {
      found.push(answer(200, '<ListPartsResult/>'))
      return found.at(-1) as Response
    }
    const broken = () => {
      throw new TypeError('fetch failed')
    }
    for (const look of [there, () => refuse(403, 'AccessDenied'), () => refuse(501, 'NotImplemented'), broken]) {
      for (const failed of [refuse(500, 'InternalError'), answer(200, '<Error><Code>InternalError</Code></Error>')]) {
        const error = await failure(outcome(look, failed).of)
        assert.match(`${error.transient} ${error.message}`, /^true .*CompleteMultipartUpload .*InternalError/)
      }
    }
    assert.deepEqual(
      found.map(({ bodyUsed }) => bodyUsed),
      [true, true],
    )
  })

  test('200 with AccessDenied inside: failure that is not transient', async () => {
    const error = await failure(complete('<Error><Code>AccessDenied</Code></Error>').outcome)
    assert.equal(`${error.code} ${error.transient}`, 'unavailable false')
  })

  test('200 with NoSuchUpload or InvalidPart inside: missing, invalid', async () => {
    assert.equal(await complete('<Error><Code>NoSuchUpload</Code></Error>').outcome, 'missing')
    assert.equal(await complete('<Error><Code>InvalidPart</Code></Error>').outcome, 'invalid')
  })

  test('200 with nothing or half a document inside: transient failure, as nothing is known', async () => {
    for (const body of ['', '   ', '<html>', '<CompleteMult']) {
      const error = await failure(complete(body).outcome)
      assert.equal(`${error.code} ${error.transient}`, 'unavailable true', body)
    }
  })

  test('404 NoSuchUpload, or NoSuchKey in its place: missing; 404 NoSuchBucket or a page: failure', async () => {
    assert.equal(await complete(refuse(404, 'NoSuchUpload')).outcome, 'missing')
    assert.equal(await complete(refuse(404, 'NoSuchKey')).outcome, 'missing')
    assert.match((await failure(complete(refuse(404, 'NoSuchBucket')).outcome)).message, /create the bucket box/)
    assert.match((await failure(complete(answer(404, '<html>nginx</html>')).outcome)).message, /check the endpoint/)
  })
})

suite('S3, objects', () => {
  test('404 without a code, to any call: a failure, never a missing object', async () => {
    const { bucket } = scripted(() => answer(404, '<html>nothing here</html>'))
    const calls = [
      bucket.get('key', null, options),
      bucket.head('key', options),
      collect(bucket.read('key', { start: 0, end: 1 }, options)),
      bucket.delete('key', options),
      bucket.put('key', bytes, { ifMatch: '"1"' }, options),
      bucket.putPart(multipart, 1, bytes, options),
      bucket.abort(multipart, options),
    ]
    for (const error of await Promise.all(calls.map(failure))) assert.equal(error.code, 'unavailable')
  })

  test('403 to get: a failure that names both permissions', async () => {
    const { bucket } = scripted(() => refuse(403, 'AccessDenied'))
    const error = await failure(bucket.get('key', null, options))
    assert.match(
      error.message,
      /^s3:\/\/box\/p\/: GetObject .* allow s3:GetObject below s3:\/\/box\/p\/, and s3:ListBucket/,
    )
    assert.equal(error.transient, false)
  })

  test('409 ConditionalRequestConflict to a put: transient', async () => {
    const { bucket } = scripted(() => refuse(409, 'ConditionalRequestConflict'))
    assert.equal((await failure(bucket.put('key', bytes, { ifNoneMatch: '*' }, options))).transient, true)
  })

  test('a put on a condition: the ETag as it was given', async () => {
    const { bucket, asked } = scripted(() => stored('"two"'))
    assert.equal(await bucket.put('key', bytes, { ifMatch: '"one"' }, options), '"two"')
    assert.equal(asked[0]?.headers.get('if-match'), '"one"')
    assert.equal(asked[0]?.headers.get('if-none-match'), null)
  })

  test('If-Match taken without quotes only (Ceph): found out once, then sent so', async () => {
    let etag = '"one"'
    const { bucket, asked } = scripted(({ method, headers }) => {
      if (method === 'GET') return answer(206, 'x', { etag, 'content-range': 'bytes 0-0/5' })
      if (headers.get('if-match') !== etag.replaceAll('"', '')) return refuse(412, 'PreconditionFailed')
      etag = '"two"'
      return stored(etag)
    })
    assert.equal(await bucket.put('key', bytes, { ifMatch: '"one"' }, options), '"two"')
    assert.deepEqual(
      asked.map(({ method }) => method),
      ['PUT', 'GET', 'PUT'],
    )
    assert.equal(await bucket.put('key', bytes, { ifMatch: '"one"' }, options), null)
    assert.equal(asked.length, 4)
  })

  test('If-Match refused for its quotes after another put has found that out (Ceph): sent again without', async () => {
    const first = Promise.withResolvers<string | null>()
    const { bucket, asked } = scripted(async ({ method, url, headers }) => {
      const isFirst = url.endsWith('/first')
      const etag = isFirst ? '"1"' : '"2"'
      if (method === 'GET') return answer(206, 'x', { etag, 'content-range': 'bytes 0-0/5' })
      if (headers.get('if-match') === etag.replaceAll('"', '')) return stored('"new"')
      if (!isFirst) await first.promise
      return refuse(412, 'PreconditionFailed')
    })
    const second = bucket.put('second', bytes, { ifMatch: '"2"' }, options)
    first.resolve(bucket.put('first', bytes, { ifMatch: '"1"' }, options))
    assert.deepEqual(await Promise.all([first.promise, second]), ['"new"', '"new"'])
    assert.equal(asked.filter(({ method }) => method === 'PUT').length, 4)
  })

  test('If-Match refused without quotes after another put has found that they are wanted: sent again with them', async () => {
    const first = Promise.withResolvers<void>()
    let count = 0
    const { bucket, asked } = scripted(async ({ method, url, headers }) => {
      const isFirst = url.endsWith('/first')
      if (method === 'GET') return answer(206, 'x', { etag: '"2"', 'content-range': 'bytes 0-0/5' })
      // The first one is answered when the second one, refused in passing, is sent without them.
      if (isFirst) await first.promise
      else if (++count === 2) {
        first.resolve()
        await one
      }
      const isTaken = isFirst || count === 3
      return isTaken && headers.get('if-match')?.startsWith('"') ? stored('"new"') : refuse(412, 'PreconditionFailed')
    })
    const one = bucket.put('first', bytes, { ifMatch: '"1"' }, options)
    const second = bucket.put('second', bytes, { ifMatch: '"2"' }, options)
    assert.deepEqual(await Promise.all([one, second]), ['"new"', '"new"'])
    assert.deepEqual(
      asked
        .filter(({ method, url }) => method === 'PUT' && url.endsWith('/second'))
        .map((put) => put.headers.get('if-match')),
      ['"2"', '2', '"2"'],
    )
  })

  test('If-Match refused for another version, nothing known yet: null, nothing written', async () => {
    const { bucket, asked } = scripted(({ method }) =>
      method === 'GET' ? answer(206, 'x', { etag: '"new"', 'content-range': 'bytes 0-0/5' }) : refuse(412, 'X'),
    )
    assert.equal(await bucket.put('key', bytes, { ifMatch: '"one"' }, options), null)
    assert.deepEqual(
      asked.map(({ method }) => method),
      ['PUT', 'GET'],
    )
  })

  test('fewer bytes than announced: transient failure, from get and from read', async () => {
    const { bucket } = scripted(() => answer(206, 'abc', { etag: '"1"', 'content-range': 'bytes 0-9/100' }))
    assert.equal((await failure(bucket.get('key', { start: 0, end: 10 }, options))).transient, true)
    assert.equal((await failure(collect(bucket.read('key', { start: 0, end: 10 }, options)))).transient, true)
  })

  test('a body that breaks: transient failure, from get and from read', async () => {
    const { bucket } = scripted(() => {
      const body = new ReadableStream({ pull: (controller) => controller.error(new TypeError('terminated')) })
      return new Response(body, { status: 206, headers: { etag: '"1"', 'content-range': 'bytes 0-9/100' } })
    })
    assert.equal((await failure(bucket.get('key', { start: 0, end: 10 }, options))).transient, true)
    assert.equal((await failure(collect(bucket.read('key', { start: 0, end: 10 }, options)))).transient, true)
  })

  test('a read that is left early: its transfer is ended', async () => {
    let cancelled = 0
    const { bucket } = scripted(() => {
      const body = new ReadableStream({
        pull: (controller) => controller.enqueue(bytes),
        cancel: () => void cancelled++,
      })
      return new Response(body, { status: 206, headers: { etag: '"1"', 'content-range': 'bytes 0-99/100' } })
    })
    for await (const piece of bucket.read('key', { start: 0, end: 100 }, options)) {
      assert.deepEqual(piece, bytes)
      break
    }
    assert.equal(cancelled, 1)
  })

  test('the whole instead of a range: failure that says so', async () => {
    const { bucket } = scripted(() => answer(200, 'abcdef', { etag: '"1"', 'content-length': '6' }))
    assert.match((await failure(bucket.get('key', { start: 1, end: 3 }, options))).message, /does not honour ranges/)
  })

  test('the storage is full: full', async () => {
    for (const refusal of [refuse(507, 'XMinioStorageFull'), refuse(403, 'QuotaExceeded')]) {
      const { bucket } = scripted(() => refusal)
      assert.equal((await failure(bucket.putPart(multipart, 1, bytes, options))).code, 'full')
    }
  })

  test('statuses and codes in passing: transient; others: not', async () => {
    const transient = async (response: Response) => {
      const { bucket } = scripted(() => response)
      return (await failure(bucket.putPart(multipart, 1, bytes, options))).transient
    }
    for (const status of [408, 429, 500, 502, 503, 504])
      assert.equal(await transient(answer(status)), true, `${status}`)
    for (const code of ['RequestTimeout', 'IncompleteBody'])
      assert.equal(await transient(refuse(400, code)), true, code)
    for (const status of [400, 401, 403, 405, 411, 501])
      assert.equal(await transient(answer(status)), false, `${status}`)
  })

  test('a certificate that is not trusted: not transient; a connection that is refused: transient', async () => {
    for (const [code, transient] of [
      ['DEPTH_ZERO_SELF_SIGNED_CERT', false],
      ['ECONNREFUSED', true],
    ] as const) {
      const { bucket } = scripted(() => {
        throw new TypeError('fetch failed', { cause: Object.assign(new Error('why'), { code }) })
      })
      const error = await failure(bucket.delete('key', options))
      assert.equal(error.transient, transient)
      assert.ok(error.message.includes(code), error.message)
    }
  })
})

/** What was asked for, as if it was there. */
const listing = (url: string) =>
  `<Contents><Key>${new URL(url).searchParams.get('prefix')}</Key><Size>5</Size></Contents>`

suite('S3, services without conditional writes', () => {
  /** An object and what a service makes of conditions. */
  function service(conditions: 'refused' | 'ignored', listed = listing) {
    let object: { readonly etag: string; readonly body: string } | null = null
    let count = 0
    return ({ method, url, headers, body }: Asked): Response => {
      if (url.includes('?')) {
        if (url.includes('list-type')) return answer(200, `<ListBucketResult>${listed(url)}</ListBucketResult>`)
        if (url.includes('max-uploads')) return answer(200, '<ListMultipartUploadsResult/>')
        if (method === 'DELETE') return answer(204)
        return answer(200, '<InitiateMultipartUploadResult><UploadId>m</UploadId></InitiateMultipartUploadResult>')
      }
      if (method === 'PUT') {
        const conditional = headers.has('if-match') || headers.has('if-none-match')
        if (conditional && conditions === 'refused') return refuse(501, 'NotImplemented')
        object = { etag: `"${++count}"`, body }
        return stored(object.etag)
      }
      if (method === 'DELETE') {
        object = null
        return answer(204)
      }
      if (object === null || url.endsWith('-none')) return refuse(404, 'NoSuchKey')
      const { etag } = object
      if (!headers.has('range')) return answer(200, object.body, { etag, 'content-length': `${object.body.length}` })
      return answer(206, object.body.slice(0, 1), { etag, 'content-range': `bytes 0-0/${object.body.length}` })
    }
  }

  test('an object that is not listed under its key: check fails, says why, and leaves nothing', async () => {
    const { bucket, asked } = scripted(
      service('ignored', (url) => listing(url).replace('p/', 'p')),
      { allowUnfenced: true },
    )
    const error = await failure(bucket.check(options))
    assert.match(error.message, /\.probe-.* was written, but is not listed under that name: choose a prefix/)
    assert.equal(error.transient, false)
    assert.equal(asked.at(-1)?.method, 'DELETE')
  })

  test('an object that is listed a little later: check passes', async () => {
    let looks = 0
    const { bucket } = scripted(
      service('ignored', (url) => (++looks < 3 ? '' : listing(url))),
      { allowUnfenced: true },
    )
    await bucket.check(options)
    assert.equal(looks, 3)
  })

  for (const conditions of ['refused', 'ignored'] as const) {
    test(`conditions ${conditions}: check fails, says why, and leaves nothing`, async () => {
      const { bucket, asked } = scripted(service(conditions))
      const error = await failure(bucket.check(options))
      assert.match(error.message, /conditional writes.*allowUnfenced/)
      assert.equal(error.transient, false)
      assert.equal(asked.at(-1)?.method, conditions === 'refused' ? 'PUT' : 'DELETE')
    })

    test(`conditions ${conditions}, allowUnfenced: check passes, conditions are looked up`, async () => {
      const { bucket } = scripted(service(conditions), { allowUnfenced: true })
      await bucket.check(options)
      const first = await bucket.put('key', bytes, { ifNoneMatch: '*' }, options)
      assert.ok(first !== null)
      assert.equal(await bucket.put('key', bytes, { ifNoneMatch: '*' }, options), null)
      const second = await bucket.put('key', bytes, { ifMatch: first }, options)
      assert.ok(second !== null)
      assert.equal(await bucket.put('key', bytes, { ifMatch: first }, options), null)
      await bucket.delete('key', options)
      assert.equal(await bucket.put('key', bytes, { ifMatch: second }, options), null)
    })
  }

  test('conditions refused, allowUnfenced, no check before: put finds it out', async () => {
    const { bucket } = scripted(service('refused'), { allowUnfenced: true })
    assert.ok((await bucket.put('key', bytes, { ifNoneMatch: '*' }, options)) !== null)
    assert.equal(await bucket.put('key', bytes, { ifNoneMatch: '*' }, options), null)
  })
})
