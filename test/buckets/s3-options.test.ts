/** What the S3 driver sends, and where to; its lists, page by page. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { s3Bucket } from '../../src/buckets/s3.ts'
import type { S3Credentials, S3Options } from '../../src/stores/s3.ts'
import { answer, type Asked, bytes, keys, multipart, refuse, scripted, stored } from './s3-scripted.ts'
import { failure, gather, listing, options } from './suite-support.ts'

suite('S3, where the bucket is', () => {
  test('a redirect or a refusal that names another region: failure that names it', async () => {
    const answers = [
      refuse(301, 'PermanentRedirect', '', { 'x-amz-bucket-region': 'eu-west-1' }),
      refuse(307, 'TemporaryRedirect', '', { 'x-amz-bucket-region': 'eu-west-1' }),
      refuse(400, 'AuthorizationHeaderMalformed', '<Region>eu-west-1</Region>'),
      answer(301, null, { 'x-amz-bucket-region': 'eu-west-1' }),
    ]
    for (const response of answers) {
      const { bucket } = scripted(() => response)
      const error = await failure(bucket.check(options))
      assert.match(error.message, /the bucket box is in the region eu-west-1, not us-east-1: set that region/)
      assert.equal(error.transient, false)
    }
  })

  const places: readonly (readonly [given: Partial<S3Options>, url: string, region: string])[] = [
    [{}, 'https://box.s3.us-east-1.amazonaws.com/p/k', 'us-east-1'],
    [{ region: 'eu-west-1' }, 'https://box.s3.eu-west-1.amazonaws.com/p/k', 'eu-west-1'],
    [{ region: 'cn-north-1' }, 'https://box.s3.cn-north-1.amazonaws.com.cn/p/k', 'cn-north-1'],
    [{ bucket: 'my.box' }, 'https://s3.us-east-1.amazonaws.com/my.box/p/k', 'us-east-1'],
    [{ forcePathStyle: true }, 'https://s3.us-east-1.amazonaws.com/box/p/k', 'us-east-1'],
    [{ endpoint: 'https://s3.eu-west-2.amazonaws.com' }, 'https://box.s3.eu-west-2.amazonaws.com/p/k', 'eu-west-2'],
    [{ endpoint: 'https://box.s3.eu-west-2.amazonaws.com' }, 'https://box.s3.eu-west-2.amazonaws.com/p/k', 'eu-west-2'],
    [{ endpoint: 'http://127.0.0.1:9000/' }, 'http://127.0.0.1:9000/box/p/k', 'us-east-1'],
    [{ endpoint: 'http://[::1]:9000' }, 'http://[::1]:9000/box/p/k', 'us-east-1'],
    [{ endpoint: 'https://s3.example.com', forcePathStyle: false }, 'https://box.s3.example.com/p/k', 'us-east-1'],
    [{ endpoint: 'https://example.com/s3/' }, 'https://example.com/s3/box/p/k', 'us-east-1'],
    [{ endpoint: 'https://a.r2.cloudflarestorage.com' }, 'https://a.r2.cloudflarestorage.com/box/p/k', 'auto'],
    [{ endpoint: 'https://a.r2.cloudflarestorage.com/box' }, 'https://a.r2.cloudflarestorage.com/box/p/k', 'auto'],
    [
      { endpoint: 'https://s3.us-west-004.backblazeb2.com' },
      'https://s3.us-west-004.backblazeb2.com/box/p/k',
      'us-west-004',
    ],
    [
      { endpoint: 'https://oss-eu-central-1.aliyuncs.com' },
      'https://box.oss-eu-central-1.aliyuncs.com/p/k',
      'us-east-1',
    ],
  ]
  for (const [given, url, region] of places) {
    test(`${JSON.stringify(given)}: ${url}, ${region}`, async () => {
      const { bucket, asked } = scripted(() => answer(204), { endpoint: undefined, ...given } as Partial<S3Options>)
      await bucket.delete('k', options)
      assert.equal(asked[0]?.url, url)
      assert.match(asked[0]?.headers.get('authorization') ?? '', new RegExp(`/${region}/s3/aws4_request`))
    })
  }

  test('limits: parts of one size on R2, more on AWS', () => {
    const limits = (given: Partial<S3Options>) => s3Bucket({ bucket: 'box', credentials: keys, ...given }).limits
    assert.equal(limits({}).uniformParts, false)
    assert.equal(limits({ endpoint: 'https://a.r2.cloudflarestorage.com' }).uniformParts, true)
    assert.equal(limits({ endpoint: 'https://a.r2.cloudflarestorage.com', uniformParts: false }).uniformParts, false)
    assert.equal(limits({ uniformParts: true }).uniformParts, true)
    assert.ok(limits({}).maxObjectBytes > limits({ endpoint: 'http://127.0.0.1' }).maxObjectBytes)
  })

  test('options that are not usable: TypeError without the secret', () => {
    const wrong: readonly Partial<S3Options>[] = [
      { bucket: '' },
      { bucket: 'a/b' },
      { endpoint: 'minio:9000' },
      { endpoint: 'http://user:hidden@host' },
      { endpoint: 'ftp://host' },
      { region: 'eu west' },
      { prefix: '/p' },
      { prefix: 'a/../b/' },
      { prefix: './' },
      { prefix: 'a\nb' },
    ]
    for (const given of wrong) {
      assert.throws(
        () => s3Bucket({ bucket: 'box', credentials: keys, ...given }),
        (error) => error instanceof TypeError && error.message.startsWith('s3: ') && !error.message.includes('hidden'),
        JSON.stringify(given),
      )
    }
  })
})

suite('S3, lists and copies', () => {
  test('a list in pages, with a token, without one, and with keys of others: all of ours', async () => {
    const entry = (key: string) => `<Contents><Key>${key}</Key><ETag>&quot;1&quot;</ETag><Size>3</Size></Contents>`
    const pages = [
      `<IsTruncated>true</IsTruncated><NextContinuationToken>t+/=</NextContinuationToken>${entry('p/a&amp;b')}`,
      `<IsTruncated>true</IsTruncated>${entry('p/ &#39;c&#x27; ')}${entry('p/007')}`,
      `<IsTruncated>false</IsTruncated>${entry('q/d')}${entry('p/&amp;lt;')}`,
    ]
    const { bucket, asked } = scripted((_, n) =>
      answer(200, `<ListBucketResult xmlns="x">${pages[n - 1]}</ListBucketResult>`),
    )
    assert.equal(await listing(bucket, ''), " 'c'  3,&lt; 3,007 3,a&b 3")
    assert.match(asked[0]?.url ?? '', /\?list-type=2&max-keys=1000&prefix=p%2F$/)
    assert.match(asked[1]?.url ?? '', /&continuation-token=t%2B%2F%3D$/)
    assert.match(asked[2]?.url ?? '', /&start-after=p%2F007$/)
  })

  test('a list that is cut off: transient failure', async () => {
    const { bucket } = scripted(() => answer(200, '<ListBucketResult><Contents><Key>p/a</Key><Si'))
    assert.equal((await failure(listing(bucket, ''))).transient, true)
  })

  test('multiparts in pages: all of them', async () => {
    const entry = (id: string) =>
      `<Upload><Key>p/k</Key><UploadId>${id}</UploadId><Initiated>2026-01-02T03:04:05.000Z</Initiated></Upload>`
    const pages = [
      `<IsTruncated>true</IsTruncated><NextKeyMarker>p/k</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>${entry('1')}`,
      `<IsTruncated>false</IsTruncated>${entry('2')}`,
    ]
    const { bucket, asked } = scripted((_, n) =>
      answer(200, `<ListMultipartUploadsResult>${pages[n - 1]}</ListMultipartUploadsResult>`),
    )
    const createdAt = Date.UTC(2026, 0, 2, 3, 4, 5)
    assert.deepEqual(await gather(bucket.multiparts('', options)), [
      { key: 'k', multipartId: '1', createdAt },
      { key: 'k', multipartId: '2', createdAt },
    ])
    assert.match(asked[1]?.url ?? '', /&key-marker=p%2Fk&upload-id-marker=1$/)
  })

  test('parts in pages: all of them', async () => {
    const entry = (number: number) =>
      `<Part><PartNumber>${number}</PartNumber><ETag>&quot;e${number}&quot;</ETag><Size>${number * 10}</Size></Part>`
    const pages = [
      `<IsTruncated>true</IsTruncated><NextPartNumberMarker>7</NextPartNumberMarker>${entry(3)}${entry(7)}`,
      `<IsTruncated>false</IsTruncated>${entry(9)}`,
    ]
    const { bucket, asked } = scripted((_, count) =>
      answer(200, `<ListPartsResult>${pages[count - 1]}</ListPartsResult>`),
    )
    assert.deepEqual(
      await bucket.parts?.(multipart, options),
      [3, 7, 9].map((partNumber) => ({ partNumber, etag: `"e${partNumber}"`, size: partNumber * 10 })),
    )
    assert.deepEqual(
      asked.map(({ url }) => new URL(url).search),
      ['?uploadId=m1&max-parts=1000', '?uploadId=m1&max-parts=1000&part-number-marker=7'],
    )
  })

  test('parts refused: null where there is no such multipart, else the failure', async () => {
    const refused = (code: string) => scripted(() => refuse(404, code)).bucket.parts?.(multipart, options)
    assert.equal(await refused('NoSuchUpload'), null)
    await assert.rejects(async () => refused('AccessDenied'), /ListParts was answered with 404 AccessDenied/)
  })

  test('copyPart refused for the range of a small object: its bytes are read and sent', async () => {
    const { bucket, asked } = scripted(({ method, headers }) => {
      if (headers.has('x-amz-copy-source')) return refuse(400, 'InvalidRequest')
      return method === 'GET' ? answer(206, 'ell', { etag: '"1"', 'content-range': 'bytes 1-3/5' }) : stored('"part"')
    })
    assert.equal(await bucket.copyPart?.(multipart, 2, { key: 'a b', range: { start: 1, end: 4 } }, options), '"part"')
    assert.equal(asked[0]?.headers.get('x-amz-copy-source'), '/box/p/a%20b')
    assert.equal(asked[0]?.headers.get('x-amz-copy-source-range'), 'bytes=1-3')
    assert.equal(asked.at(-1)?.body, 'ell')
  })

  test('copyPart answered with NoSuchKey though the source is there (DigitalOcean): null', async () => {
    const { bucket } = scripted(({ method }) =>
      method === 'GET' ? answer(206, 'x', { etag: '"1"', 'content-range': 'bytes 0-0/5' }) : refuse(404, 'NoSuchKey'),
    )
    assert.equal(await bucket.copyPart?.(multipart, 2, { key: 'a', range: { start: 0, end: 5 } }, options), null)
  })

  test('a prefix with a percent sign or a question mark, which Ceph misreads where it copies: nothing is copied there', () => {
    const copies = (prefix: string) => 'copyPart' in scripted(() => answer(200), { prefix }).bucket
    assert.deepEqual(['a/b/', 'a+b/', 'a%2Fb/', 'a?b/'].map(copies), [true, true, false, false])
  })
})

suite('S3, credentials', () => {
  const accessKeyOf = ({ headers }: Asked): string | undefined =>
    /Credential=(\w+)\//.exec(headers.get('authorization') ?? '')?.[1]

  test('a provider: asked once for requests at once, again five minutes before the end', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: 1_000_000_000_000 })
    let count = 0
    const credentials = (): Promise<S3Credentials> =>
      Promise.resolve({
        ...keys,
        accessKeyId: `AKID${++count}`,
        sessionToken: 'token',
        expiration: new Date(Date.now() + 3_600_000),
      })
    const { bucket, asked } = scripted(() => answer(204), { credentials })
    const remove = () => bucket.delete('k', options)
    await Promise.all([remove(), remove(), remove()])
    t.mock.timers.setTime(1_000_000_000_000 + 54 * 60_000)
    await remove()
    t.mock.timers.setTime(1_000_000_000_000 + 56 * 60_000)
    await remove()
    assert.deepEqual(asked.map(accessKeyOf), ['AKID1', 'AKID1', 'AKID1', 'AKID1', 'AKID2'])
    assert.equal(asked[0]?.headers.get('x-amz-security-token'), 'token')
  })

  test('a provider that fails while the former credentials last: these go on; afterwards: failure', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: 1_000_000_000_000 })
    let count = 0
    const credentials = (): Promise<S3Credentials> =>
      ++count === 1
        ? Promise.resolve({ ...keys, expiration: new Date(Date.now() + 600_000) })
        : Promise.reject(new Error('no answer'))
    const { bucket } = scripted(() => answer(204), { credentials })
    await bucket.delete('k', options)
    t.mock.timers.setTime(1_000_000_000_000 + 400_000)
    await bucket.delete('k', options)
    assert.equal(count, 2)
    t.mock.timers.setTime(1_000_000_000_000 + 700_000)
    const error = await failure(bucket.delete('k', options))
    assert.match(error.message, /^s3:\/\/box\/p\/: no credentials: no answer$/)
    assert.equal(error.transient, true)
  })

  test('no credentials in the whole chain: failure that is not transient', async () => {
    const none = Object.assign(new Error('Could not load credentials'), { name: 'CredentialsProviderError' })
    const { bucket } = scripted(() => answer(204), { credentials: () => Promise.reject(none) })
    assert.equal((await failure(bucket.delete('k', options))).transient, false)
  })

  test('ExpiredToken: transient where a provider can give others, which the next request uses', async () => {
    let count = 0
    const { bucket, asked } = scripted((_, n) => (n === 1 ? refuse(400, 'ExpiredToken') : answer(204)), {
      credentials: () => Promise.resolve({ ...keys, accessKeyId: `AKID${++count}` }),
    })
    assert.equal((await failure(bucket.delete('k', options))).transient, true)
    await bucket.delete('k', options)
    assert.deepEqual(asked.map(accessKeyOf), ['AKID1', 'AKID2'])
    const fixed = scripted(() => refuse(400, 'ExpiredToken')).bucket
    assert.equal((await failure(fixed.delete('k', options))).transient, false)
  })

  test('a service that takes cut bodies (Versity): what is sent is hashed once that is known', async () => {
    const { bucket, asked } = scripted(() => answer(200, null, { etag: '"1"', server: 'VERSITYGW' }))
    const body = new TextEncoder().encode('hello')
    await bucket.put('k', body, { ifNoneMatch: '*' }, options)
    await bucket.put('k', body, { ifMatch: '"1"' }, options)
    await bucket.putPart(multipart, 1, body, options)
    const hello = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'
    assert.deepEqual(
      asked.map(({ headers }) => headers.get('x-amz-content-sha256')),
      ['UNSIGNED-PAYLOAD', hello, hello],
    )
  })

  test('checksum: off, what is sent is not hashed; sha256, its hash is signed', async () => {
    const plain = scripted(() => stored('"1"'))
    await plain.bucket.putPart(multipart, 1, bytes, options)
    assert.equal(plain.asked[0]?.headers.get('x-amz-content-sha256'), 'UNSIGNED-PAYLOAD')
    assert.deepEqual(
      [...(plain.asked[0]?.headers.keys() ?? [])].filter((name) => /checksum|md5/.test(name)),
      [],
    )
    const hashed = scripted(() => stored('"1"'), { checksum: 'sha256' })
    await hashed.bucket.putPart(multipart, 1, bytes, options)
    assert.equal(
      hashed.asked[0]?.headers.get('x-amz-content-sha256'),
      '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824',
    )
  })
})
