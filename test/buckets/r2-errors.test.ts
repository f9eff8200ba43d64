/** What the R2 driver makes of failures, with bindings that fail as the runtime's own does. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { R2Binding } from '../../src/buckets/r2-binding.ts'
import { r2Bucket } from '../../src/buckets/r2.ts'
import { StoreError } from '../../src/errors.ts'
import { r2Store } from '../../src/stores/r2.ts'
import { collect, failure, options } from './suite-support.ts'

const nothing = (): never => {
  throw new Error('not expected')
}

function binding(methods: Partial<R2Binding>): R2Binding {
  return {
    head: nothing,
    get: nothing,
    put: nothing,
    delete: nothing,
    list: nothing,
    createMultipartUpload: nothing,
    resumeMultipartUpload: nothing,
    ...methods,
  }
}

const passing = [
  'head: We encountered an internal error. Please try again. (10001)',
  'head: Unspecified error (0)',
  'head: The service is unavailable. (10043)',
  'head: Reduce your concurrent request rate for the same object. (10058)',
  'head: The request body terminated unexpectedly. (10013)',
  'head: The client disconnected. (10054)',
  'Network connection lost.',
  'internal error; reference = abc',
]

const lasting: readonly (readonly [string, RegExp])[] = [
  ['head: The specified bucket does not exist. (10006)', /\(10006\): the bucket does not exist; create it, or correct/],
  ['head: Access denied. (10003)', /\(10003\): the Worker has no access/],
  ['head: Not entitled. (10042)', /\(10042\): the account has no R2 subscription/],
  ['head: The specified object name is not valid. (10020)', /\(10020\)/],
  ['head: Object is locked. (10069)', /\(10069\): a bucket lock rule/],
  ['Too many subrequests.', /Too many subrequests\. \(a request to a Worker may make so many calls/],
]

void describe('R2 failures', () => {
  for (const message of passing) {
    void test(`${message}: transient, named with the bucket, the call and the key`, async () => {
      const bucket = r2Bucket({ bucket: binding({ head: () => Promise.reject(new Error(message)) }), prefix: 'up/' })
      const error = await failure(bucket.head('key', options))
      assert.equal(error.code, 'unavailable')
      assert.equal(error.transient, true)
      assert.equal(error.message, `r2:up/: head "key" failed: ${message}`)
    })
  }

  for (const [message, wanted] of lasting) {
    void test(`${message}: for good, with what to do`, async () => {
      const bucket = r2Bucket({ bucket: binding({ head: () => Promise.reject(new Error(message)) }) })
      const error = await failure(bucket.head('key', options))
      assert.equal(error.code, 'unavailable')
      assert.equal(error.transient, false)
      assert.match(error.message, wanted)
    })
  }

  void test('an argument that the runtime does not take: for good', async () => {
    const refuse = () => Promise.reject(new TypeError('Part number must be between 1 and 10000 (inclusive).'))
    const bucket = r2Bucket({ bucket: binding({ head: refuse }) })
    assert.equal((await failure(bucket.head('key', options))).transient, false)
  })

  void test('a call that never ends, aborted: transient, at once', async () => {
    const bucket = r2Bucket({ bucket: binding({ head: () => new Promise(() => {}) }) })
    const controller = new AbortController()
    const error = failure(bucket.head('key', { signal: controller.signal }))
    controller.abort(new StoreError('unavailable', 'too late', { transient: true }))
    assert.equal((await error).transient, true)
    assert.equal((await error).message, 'r2: head "key" was aborted')
  })

  for (const [received, declared] of [
    [3, 10],
    [0, 10],
  ] as const) {
    void test(`${received} bytes of an object of ${declared}: transient, by get and by read`, async () => {
      const get = () => Promise.resolve(object(new Uint8Array(received), declared))
      const bucket = r2Bucket({ bucket: binding({ get }) })
      for (const call of [
        bucket.get('key', null, options),
        bucket.get('key', { start: 0, end: 20 }, options),
        collect(bucket.read('key', { start: 0, end: 20 }, options)),
      ]) {
        const error = await failure(call)
        assert.equal(error.transient, true)
        assert.match(error.message, new RegExp(`${received} bytes of ${declared} arrived`))
      }
    })
  }

  void test('a range that fails with an internal error inside of the object: that error, not an empty answer', async () => {
    const bucket = r2Bucket({
      bucket: binding({
        get: () => Promise.reject(new Error('get: Unspecified error (0)')),
        head: () => Promise.resolve({ size: 10, etag: 'e' }),
      }),
    })
    const error = await failure(bucket.get('key', { start: 5, end: 10 }, options))
    assert.equal(error.transient, true)
    assert.match(error.message, /Unspecified error/)
  })
})

void describe('R2 check', () => {
  const stored = { size: 8, etag: 'e' }

  void test('a bucket that does not exist: says so', async () => {
    const put = () => Promise.reject(new Error('put: The specified bucket does not exist. (10006)'))
    const error = await failure(r2Bucket({ bucket: binding({ put }) }).check(options))
    assert.equal(error.transient, false)
    assert.match(error.message, /^r2: put "\.probe-[-0-9a-f]+" failed: .*: the bucket does not exist; create it, or/)
  })

  for (const [title, answers] of [
    ['ifMatch', [stored]],
    ['ifNoneMatch', [null, stored, stored]],
  ] as const) {
    void test(`a bucket that ignores ${title}: says so, and the probe is removed`, async () => {
      const left = [...answers]
      const removed: string[] = []
      const bucket = r2Bucket({
        bucket: binding({
          put: () => Promise.resolve(left.shift() ?? null),
          delete: (key) => Promise.resolve(void removed.push(key)),
        }),
        prefix: 'up/',
      })
      const error = await failure(bucket.check(options))
      assert.equal(error.transient, false)
      assert.equal(
        error.message,
        `r2:up/: a write with ${title} was done although its condition fails: is the binding a real R2 bucket?`,
      )
      assert.equal(removed.length, 1)
      assert.match(removed[0] ?? '', /^up\/\.probe-/)
    })
  }
})

void describe('r2Store', () => {
  for (const [what, value] of [
    ['undefined, as of a binding with another name', undefined],
    ['a name', 'BUCKET'],
    ['a KV namespace', { get: nothing, put: nothing, delete: nothing, list: nothing }],
  ] as const) {
    void test(`bucket is ${what}: TypeError that says what is wanted`, () => {
      assert.throws(() => r2Store({ bucket: value as unknown as R2Binding }), {
        name: 'TypeError',
        message: 'r2: bucket must be an R2 bucket binding of a Worker, like env.BUCKET',
      })
    })
  }
})

function object(bytes: Uint8Array<ArrayBuffer>, size: number) {
  return {
    size,
    etag: 'e',
    body: new ReadableStream({
      type: 'bytes' as const,
      start(controller) {
        if (bytes.byteLength > 0) controller.enqueue(bytes.slice())
      },
      pull(controller) {
        controller.close()
        controller.byobRequest?.respond(0)
      },
    }),
    arrayBuffer: () => Promise.resolve(bytes.buffer),
  }
}
