/** How many composes join how many parts, and in which order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concurrently, gather, multipartOfName, partName } from '../../src/buckets/gcs-parts.ts'

const multipart = { key: 'folder/key', multipartId: 'm' }

for (const count of [1, 2, 32, 33, 40, 63, 64, 993, 1024, 1025, 2000, 10_000]) {
  test(`gather of ${count} parts: all of them in order, with hardly more composes than there have to be`, async () => {
    const contents = new Map<string, number[]>()
    const parts = Array.from({ length: count }, (_, n) => {
      contents.set(`part ${n}`, [n])
      return { name: `part ${n}`, size: n + 1 }
    })
    let composes = 0
    const pieces = await gather(multipart, parts, async (name, sources) => {
      composes++
      assert.ok(sources.length >= 2 && sources.length <= 32, `${sources.length} sources`)
      assert.ok(!contents.has(name), 'a name of its own')
      const made = sources.flatMap((source) => contents.get(source) ?? assert.fail(`${source} is not there yet`))
      contents.set(name, made)
      return made.reduce((sum, n) => sum + n + 1, 0)
    })
    assert.ok(pieces !== null && pieces.length <= 32)
    assert.deepEqual(
      pieces.flatMap(({ name }) => contents.get(name)),
      Array.from({ length: count }, (_, n) => n),
    )
    // Each takes away 31 at most; the last one is still to come.
    const least = Math.max(1, Math.ceil((count - 1) / 31))
    assert.ok(composes + 1 <= least + 1, `${composes + 1} composes, ${least} at least`)
  })
}

test('gather once more of the same parts: the same names, so that nothing is left twice', async () => {
  const parts = Array.from({ length: 100 }, (_, n) => ({ name: `part ${n}`, size: 1 }))
  const rounds: string[][] = []
  for (let round = 0; round < 2; round++) {
    const names: string[] = []
    await gather(multipart, parts, async (name, sources) => {
      names.push(name)
      return sources.length
    })
    rounds.push(names)
  }
  assert.deepEqual(rounds[0], rounds[1])
})

test('gather, one compose makes too few bytes: null', async () => {
  const parts = Array.from({ length: 100 }, (_, n) => ({ name: `part ${n}`, size: 1 }))
  assert.equal(await gather(multipart, parts, async (_, sources) => Math.min(sources.length, 31)), null)
})

test('the name of a part: tells the key and the multipart, whatever slashes are in the key', () => {
  for (const key of ['key', 'a/b/c', '.parts/a', 'a/']) {
    assert.deepEqual(multipartOfName(partName({ key, multipartId: 'id' }, 3, 'etag')), { key, multipartId: 'id' })
  }
  assert.equal(multipartOfName('.parts/stray'), null)
  assert.equal(multipartOfName('key'), null)
})

test('concurrently, one fails: rejects after those begun have ended, begins no more', async () => {
  const begun: number[] = []
  let ended = 0
  await assert.rejects(
    concurrently(
      Array.from({ length: 100 }, (_, n) => n),
      async (n) => {
        begun.push(n)
        if (n === 3) throw new Error('third')
        await new Promise((resolve) => setImmediate(resolve))
        ended++
      },
    ),
    /third/,
  )
  assert.ok(begun.length < 40, `${begun.length} begun`)
  assert.equal(ended, begun.length - 1)
})
