/** A process of its own for the locker's tests: told over IPC what to do, and telling what happened. */
import { appendFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import type { Lock } from '../../src/locker.ts'
import { fsLocker } from '../../src/lockers/fs.ts'

export type Order =
  | { do: 'acquire'; id: string }
  | { do: 'release' }
  | { do: 'hop'; ids: string[]; rounds: number; log: string }
  | { do: 'guard' }

export type News = { is: 'ready' | 'held' | 'contended' | 'released' | 'hopped' } | { is: 'guarded'; lost: boolean }

const locker = fsLocker({ directory: process.argv[2]! })
let lock: Lock | undefined

function tell(news: News): void {
  process.send!(news)
}

async function obey(order: Order): Promise<void> {
  switch (order.do) {
    case 'acquire':
      lock = await locker.acquire(order.id, {
        signal: new AbortController().signal,
        onContention: () => tell({ is: 'contended' }),
      })
      return tell({ is: 'held' })
    case 'release':
      await lock?.release()
      return tell({ is: 'released' })
    case 'guard': {
      let lost = false
      try {
        await lock?.guard?.()
      } catch {
        lost = true
      }
      return tell({ is: 'guarded', lost })
    }
    case 'hop':
      for (let round = 0; round < order.rounds; round++) {
        const id = order.ids[round % order.ids.length]!
        const held = await locker.acquire(id, { signal: AbortSignal.timeout(30_000) })
        appendFileSync(order.log, `${id} + ${process.pid}\n`)
        await setImmediate()
        await held.guard?.()
        appendFileSync(order.log, `${id} - ${process.pid}\n`)
        await held.release()
      }
      return tell({ is: 'hopped' })
  }
}

process.on('message', (order: Order) => void obey(order))
process.on('disconnect', () => process.exit())
tell({ is: 'ready' })
