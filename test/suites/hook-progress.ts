/** `onProgress`: in order, and before what comes next; what stops an upload. */
import { TusError } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import { create, expectBytes, expectOffset, head, patch, recordOf, stalled, tus } from './client.ts'
import { gate } from './fakes.ts'
import { equal, expect, expectRefusal, ok, type Case, type Suite } from './support.ts'

const bytes = bytesOf(10)

export const suite: Suite = {
  name: 'hook onProgress',
  cases: [
    ...[false, true].map((terminate): Case => ({
      title: `PATCH, onProgress stops the upload${terminate ? ' and removes it' : ''}: answered with the error`,
      async run(ctx) {
        const seen: string[] = []
        const server = await ctx.serve({
          progressIntervalMs: 0,
          onProgress({ upload, stop }) {
            seen.push('progress')
            if (upload.offset > 0) stop(new TusError('rejected', 'Quota used up', { status: 402 }), { terminate })
          },
          onFinish: () => void seen.push('finish'),
          onTerminated: () => void seen.push('terminated'),
        })
        const url = await create(server, 3_000_000)
        const answer = await patch(server, url, 0, bytesOf(2_900_000))
        await expect(answer, 402)
        equal((await answer.text()).trim(), 'Quota used up', 'body')
        if (terminate) await expect(await head(server, url), 404)
        else ok((await recordOf(server, url)).offset > 0, 'nothing was kept')
        ok(!seen.includes('finish'), 'onFinish was called')
        equal(seen.at(-1) === 'terminated', terminate, 'onTerminated was called')
      },
    })),
    {
      title: 'PATCH with all bytes, onProgress stops it before it returns: not finished; HEAD may go on',
      async run(ctx) {
        let stops = 1
        let finished = 0
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress({ stop }) {
            await Promise.resolve()
            if (stops-- > 0) stop(new TusError('rejected', 'Not yet', { status: 402 }))
          },
          onFinish: () => void finished++,
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 402)
        equal(finished, 0, 'calls of onFinish')
        await expectOffset(server, url, 10)
        equal(finished, 1, 'calls of onFinish after HEAD')
      },
    },
    {
      title: 'PATCH with all bytes, onProgress stops and removes it before it returns: gone, never finished',
      async run(ctx) {
        const seen: string[] = []
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress({ stop }) {
            await Promise.resolve()
            stop(new TusError('rejected', 'A virus'), { terminate: true })
          },
          onFinish: () => void seen.push('finish'),
          onTerminated: () => void seen.push('terminated'),
        })
        const url = await create(server, 10)
        await expectRefusal(await patch(server, url, 0, bytes), 403, /^A virus\n$/)
        await expect(await head(server, url), 404)
        equal(seen.join(), 'terminated', 'calls')
      },
    },
    {
      title:
        'waitForProgress, PATCH with half of the bytes: answered after onProgress has returned, with what it decides',
      async run(ctx) {
        const [begun, first] = [gate(), gate()]
        let isAnswered = false
        const server = await ctx.serve({
          progressIntervalMs: 0,
          waitForProgress: true,
          async onProgress({ stop, upload }) {
            if (upload.offset > 5) return
            begun.open()
            await first.opened
            stop(new TusError('rejected', 'Not yet', { status: 402 }))
          },
        })
        const [url, other] = [await create(server, 10), await create(server, 10)]
        const answer = patch(server, url, 0, bytes.subarray(0, 5)).finally(() => (isAnswered = true))
        await begun.opened
        // Time enough for an answer that waits for nothing.
        for (let n = 0; n < 10; n++) await expectOffset(server, other, 0)
        ok(!isAnswered, 'answered before onProgress has returned')
        first.open()
        await expect(await answer, 402)
        await expectOffset(server, url, 5)
        await expect(await patch(server, url, 5, bytes.subarray(5)), 204)
      },
    },
    {
      title: 'onProgress of one PATCH stops and removes the upload while the next, the last one, runs: never finished',
      async run(ctx) {
        const seen: string[] = []
        const first = gate()
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress({ stop }) {
            if (seen.push('progress') > 1) return
            await first.opened
            stop(new TusError('rejected', 'A virus'), { terminate: true })
          },
          onFinish: () => void seen.push('finish'),
          onTerminated: () => void seen.push('terminated'),
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes.subarray(0, 5)), 204)
        const last = await stalled(server, url, 5, bytes.subarray(5, 6))
        last.write(bytes.subarray(6))
        last.end()
        first.open()
        await expect(await last.response, 403)
        await expect(await head(server, url), 404)
        ok(!seen.includes('finish') && seen.at(-1) === 'terminated', seen.join())
      },
    },
    {
      title: 'stop called while onFinish runs: too late, the PATCH succeeds',
      async run(ctx) {
        let stop = (): void => undefined
        const server = await ctx.serve({
          progressIntervalMs: 0,
          onProgress(event) {
            stop = () => event.stop(new TusError('rejected', 'too late'))
          },
          onFinish: () => stop(),
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 204, { 'Upload-Offset': '10' })
        await expectOffset(server, url, 10)
      },
    },
    {
      title: 'DELETE while onProgress of an earlier PATCH runs: onTerminate waits for it',
      async run(ctx) {
        const seen: string[] = []
        const { opened, open } = gate()
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress() {
            seen.push('progress<')
            await opened
            seen.push('progress>')
          },
          onTerminate: () => void seen.push('terminate'),
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes.subarray(0, 5)), 204)
        const removed = tus(server, 'DELETE', url)
        open()
        await expect(await removed, 204)
        equal(seen.join(), 'progress<,progress>,terminate', 'calls')
      },
    },
    {
      title: 'onProgress stops the upload when its PATCH is over: the next one is answered with the error, once',
      async run(ctx) {
        const { opened, open } = gate()
        const stopped = gate()
        let calls = 0
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress({ stop }) {
            if (++calls > 1) return
            await opened
            stop(new TusError('rejected', 'Not yet', { status: 402 }))
            stopped.open()
          },
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes.subarray(0, 5)), 204)
        open()
        await stopped.opened
        await expect(await patch(server, url, 5, bytes.subarray(5, 7)), 402)
        await expectOffset(server, url, 5)
        await expect(await patch(server, url, 5, bytes.subarray(5)), 204)
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'onProgress that takes its time: one call after the other, all over before onFinish',
      async run(ctx) {
        const seen: string[] = []
        const { opened, open } = gate()
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress({ upload }) {
            seen.push(`begin ${upload.offset}`)
            if (seen.length === 1) await opened
            seen.push(`end ${upload.offset}`)
          },
          onFinish: () => void seen.push('finish'),
        })
        const url = await create(server, 20)
        await expect(await patch(server, url, 0, bytes), 204)
        const last = patch(server, url, 10, bytes)
        equal(await Promise.race([last.then(() => 'answered'), Promise.resolve('open')]), 'open', 'the last PATCH')
        open()
        await expect(await last, 204)
        const pairs = seen.slice(0, -1)
        ok(
          pairs.every((each, i) => i % 2 === 1 || pairs[i + 1] === each.replace('begin', 'end')),
          `calls overlap: ${seen.join()}`,
        )
        equal(seen.at(-1), 'finish', 'last call')
      },
    },
  ],
}
