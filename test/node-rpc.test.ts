/** Calls between threads. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import { connectPort } from '../src/node/rpc.ts'

test('a call that is answered too late fails, and what came of it is told, to be undone', async () => {
  const { port1, port2 } = new MessageChannel()
  const answer = Promise.withResolvers<string>()
  const late = Promise.withResolvers<readonly unknown[]>()
  connectPort(port1, { enter: () => answer.promise }, 1000)
  const other = connectPort<{ enter: (client: string) => Promise<string> }>(port2, {}, 10, (...told) =>
    late.resolve(told),
  )
  // A port that waits for nothing else would let the process end.
  port2.ref()
  try {
    await assert.rejects(other.enter('ann'), /a thread does not answer/)
    answer.resolve('in')
    assert.deepEqual(await late.promise, ['enter', ['ann'], 'in'])
  } finally {
    port1.close()
  }
})
